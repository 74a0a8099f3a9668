import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { digestOf } from '../../src/base/digest.ts';
import { placeOf, type Shown } from '../../src/base/shown.ts';
import { ShownBlobs } from '../../src/store/shown-blobs.ts';

const A = digestOf('a');
const B = digestOf('b');
const C = digestOf('c');
const OPEN: Shown = { at: 'all', isWhole: true };
const APP: Shown = { at: new Set([placeOf('registry.test/org/app')]), isWhole: false };

t.test('the last note of a blob counts, after a restart too', async (t) => {
  const dir = t.testdir({ v1: {} });
  const path = join(dir, 'v1', 'shown-blobs');
  const first = ShownBlobs.open(dir);
  t.equal(first.get(A), undefined);
  const other = ShownBlobs.open(dir);
  await first.note(A, OPEN);
  await first.note(A, APP);
  await first.note(B, OPEN);
  await first.note(C, OPEN);
  await first.forget(C);
  const { size } = statSync(path);
  await first.note(B, OPEN);
  await first.forget(C);
  t.equal(statSync(path).size, size, 'what is known is not written again');
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.notMatch(readFileSync(path, 'utf8'), /registry\.test/);
  other.reread();
  for (const blobs of [first, ShownBlobs.open(dir), other]) {
    t.same(blobs.get(A), APP);
    t.same(blobs.get(B), OPEN);
    t.equal(blobs.get(C), undefined);
  }
});

t.test('what is damaged is unknown', async (t) => {
  const dir = t.testdir({ v1: {} });
  const path = join(dir, 'v1', 'shown-blobs');
  await ShownBlobs.open(dir).note(A, OPEN);
  await ShownBlobs.open(dir).note(B, OPEN);
  // A full disk has taken a part of a line.
  writeFileSync(path, `${readFileSync(path, 'utf8')}\n${A} part x`);
  t.equal(ShownBlobs.open(dir).get(A), undefined);
  await ShownBlobs.open(dir).note(A, APP);
  t.same(ShownBlobs.open(dir).get(A), APP);
  t.same(ShownBlobs.open(dir).get(B), OPEN);
  writeFileSync(path, 'garbage\n');
  t.equal(ShownBlobs.open(dir).get(B), undefined);
});

t.test('it is bounded: the oldest are forgotten, and the file is written anew', async (t) => {
  const dir = t.testdir({ v1: {} });
  const blobs = ShownBlobs.open(dir, 10);
  for (let n = 0; n < 200; n += 1) await blobs.note(digestOf(`${n}`), OPEN);
  for (const each of [blobs, ShownBlobs.open(dir, 10)]) {
    t.equal(each.get(digestOf('150')), undefined);
    t.same(each.get(digestOf('199')), OPEN);
  }
  t.ok(readFileSync(join(dir, 'v1', 'shown-blobs'), 'utf8').split('\n').length < 50);
});

t.test('what could not be written is known here, and written with the next note', async (t) => {
  const dir = t.testdir({});
  const blobs = ShownBlobs.open(dir);
  await blobs.note(A, OPEN);
  t.same(blobs.get(A), OPEN);
  t.equal(ShownBlobs.open(dir).get(A), undefined);
  mkdirSync(join(dir, 'v1'));
  await blobs.note(B, APP);
  t.same(ShownBlobs.open(dir).get(A), OPEN);
  t.same(ShownBlobs.open(dir).get(B), APP);
});

t.test('no symlink is followed, to read nor to write', async (t) => {
  const dir = t.testdir({ v1: {}, elsewhere: `${A} whole *\n` });
  symlinkSync(join(dir, 'elsewhere'), join(dir, 'v1', 'shown-blobs'));
  const blobs = ShownBlobs.open(dir);
  t.equal(blobs.get(A), undefined);
  await blobs.note(B, OPEN);
  await blobs.note(C, OPEN);
  t.equal(readFileSync(join(dir, 'elsewhere'), 'utf8'), `${A} whole *\n`);
  t.same(ShownBlobs.open(dir).get(B), OPEN);
});
