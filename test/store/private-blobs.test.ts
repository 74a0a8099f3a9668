import { readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { digestOf } from '../../src/base/digest.ts';
import { PrivateBlobs } from '../../src/store/private-blobs.ts';

t.test('what is private stays so after a restart, and is forgotten with the blob', async (t) => {
  const dir = t.testdir({ v1: {} });
  const [a, b] = [digestOf('a'), digestOf('b')];
  const first = PrivateBlobs.open(dir, () => true);
  t.notOk(first.has(a));
  first.add(a);
  first.add(a);
  first.add(b);
  const path = join(dir, 'v1', 'private-blobs');
  t.equal(statSync(path).mode & 0o777, 0o600);
  const second = PrivateBlobs.open(dir, (digest) => digest === b);
  t.notOk(second.has(a));
  t.ok(second.has(b));
  writeFileSync(path, 'garbage\n');
  t.notOk(PrivateBlobs.open(dir, () => true).has(b));
  t.throws(() => PrivateBlobs.open(join(dir, 'none'), () => true).add(a), { code: 'ENOENT' });
});

t.test('no symlink is followed, to read nor to write', async (t) => {
  const dir = t.testdir({ v1: {}, elsewhere: `${digestOf('a')}\n` });
  const path = join(dir, 'v1', 'private-blobs');
  const opened = PrivateBlobs.open(dir, () => true);
  symlinkSync(join(dir, 'elsewhere'), path);
  t.throws(() => PrivateBlobs.open(dir, () => true), { code: 'ELOOP' });
  t.throws(() => opened.add(digestOf('b')), { code: 'ELOOP' });
  t.notOk(opened.has(digestOf('b')), 'what is not noted does not count as noted');
  renameSync(path, `${path}.new`);
  writeFileSync(path, `${digestOf('b')}\n`);
  PrivateBlobs.open(dir, () => false);
  t.equal(readFileSync(join(dir, 'elsewhere'), 'utf8'), `${digestOf('a')}\n`, 'nor to tidy up');
  t.equal(readFileSync(path, 'utf8'), '');
});
