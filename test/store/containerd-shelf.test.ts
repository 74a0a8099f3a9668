import assert from 'node:assert/strict';
import { utimesSync } from 'node:fs';
import { chmod, mkdir, readFile, rename, stat, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { digestHex, digestOf, type Digest } from '../../src/base/digest.ts';
import { MiB } from '../../src/base/units.ts';
import type { StoredBlob } from '../../src/store/blob-store.ts';
import { ContainerdShelf, type ShelfOptions } from '../../src/store/containerd-shelf.ts';
import { encodeShelfState, parseShelfState } from '../../src/store/shelf-state.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { sampleBlob, type SampleBlob } from '../support/store-conformance.ts';
import { FaultyFiles, systemError, until } from './faulty-files.ts';
import { recordingLogger, temporaryDirectory } from './temporary.ts';

const BLOBS = 'io.containerd.content.v1.content/blobs/sha256';
const RESCAN_MS = 5 * 60_000;

interface Rig {
  readonly root: string;
  readonly blobs: string;
  readonly clock: ManualClock;
  readonly files: FaultyFiles;
  readonly codes: () => string[];
  /** Which blobs' files were opened. */
  readonly opened: () => string[];
  readonly open: (options?: Partial<ShelfOptions>) => Promise<ContainerdShelf>;
  readonly put: (blob: SampleBlob, ageSeconds?: number) => Promise<string>;
}

async function rig(t: Test): Promise<Rig> {
  const base = await temporaryDirectory(t);
  const root = join(base, 'containerd');
  const blobs = join(root, BLOBS);
  await mkdir(blobs, { recursive: true });
  const { log, codes } = recordingLogger();
  const clock = new ManualClock();
  const files = new FaultyFiles();
  return {
    root,
    blobs,
    clock,
    files,
    codes,
    opened: () =>
      files.calls
        .filter(({ op, path }) => op === 'open read' && path.startsWith(root))
        .map(({ path }) => path.slice(blobs.length + 1)),
    open: async (options = {}) => {
      const shelf = await ContainerdShelf.open({
        root,
        stateFile: join(base, 'shelf.json'),
        log,
        clock,
        files,
        ...options,
      });
      t.teardown(() => shelf.close());
      return shelf;
    },
    put: async ({ digest, bytes }, ageSeconds = 0) => {
      const path = join(blobs, digestHex(digest));
      await writeFile(`${path}.ingest`, bytes);
      const time = 1_700_000_000 - ageSeconds;
      await utimes(`${path}.ingest`, time, time);
      await rename(`${path}.ingest`, path);
      return path;
    },
  };
}

async function bytesOf(blob: StoredBlob | undefined): Promise<Buffer | undefined> {
  if (!blob) return undefined;
  const bytes = Buffer.alloc(blob.size);
  for (let at = 0; at < blob.size;) at += await blob.read(bytes.subarray(at), at);
  await blob.close();
  return bytes;
}

const listed = (shelf: ContainerdShelf): Digest[] => Array.from(shelf.list(), ({ digest }) => digest);

t.test('blobs are offered once their hash was right, the newest first; wrong ones never', async (t) => {
  const { open, put, blobs, opened, codes } = await rig(t);
  const [older, newer, wrong] = ['older', 'newer', 'wrong'].map((seed) => sampleBlob(5000, seed)) as [
    SampleBlob,
    SampleBlob,
    SampleBlob,
  ];
  await put(older, 100);
  await put(newer, 50);
  await put({ digest: wrong.digest, bytes: Buffer.from('something else') }, 10);
  await writeFile(join(blobs, 'README'), 'not a blob');
  await mkdir(join(blobs, 'a'.repeat(64)));
  const shelf = await open();
  t.equal(shelf.sizeOf(older.digest), undefined);
  await until(() => listed(shelf).length === 2 && codes().length > 0);
  t.same(
    opened().slice(0, 3),
    [wrong, newer, older].map(({ digest }) => digestHex(digest)),
  );
  t.same(listed(shelf), [newer.digest, older.digest]);
  t.equal(shelf.sizeOf(older.digest), 5000);
  t.ok((await bytesOf(await shelf.open(older.digest)))?.equals(older.bytes));
  t.equal(shelf.sizeOf(wrong.digest), undefined);
  t.equal(await shelf.open(wrong.digest), undefined);
  t.equal(await shelf.open(digestOf('not there')), undefined);
  t.equal(await shelf.open(digestOf('of another kind', 'sha512')), undefined);
  t.same(codes(), ['SHELF_BLOB_WRONG']);
});

t.test('what was hashed is remembered over a restart, unless the file has changed', async (t) => {
  const { open, put, opened, clock } = await rig(t);
  const [same, changed, gone] = ['same', 'changed', 'gone'].map((seed) => sampleBlob(5000, seed)) as [
    SampleBlob,
    SampleBlob,
    SampleBlob,
  ];
  const paths = [await put(same), await put(changed), await put(gone)] as const;
  const first = await open();
  await until(() => listed(first).length === 3);
  await first.close();
  await utimes(paths[1], 1_600_000_000, 1_600_000_000);
  await unlink(paths[2]);
  const before = opened().length;
  const second = await open();
  t.equal(second.sizeOf(same.digest), 5000, 'at once');
  await until(() => opened().length > before);
  await until(() => second.sizeOf(gone.digest) === undefined);
  await until(() => second.sizeOf(changed.digest) === 5000);
  t.same(opened().slice(before), [digestHex(changed.digest)]);
  await clock.advance(RESCAN_MS);
  t.same(opened().slice(before), [digestHex(changed.digest)]);
});

t.test('what vanishes or changes drops out; who reads it can go on', async (t) => {
  const { open, put, codes, files } = await rig(t);
  const [a, b, c] = ['a', 'b', 'c'].map((seed) => sampleBlob(5000, seed)) as [SampleBlob, SampleBlob, SampleBlob];
  const paths = [await put(a), await put(b), await put(c)] as const;
  const shelf = await open();
  await until(() => listed(shelf).length === 3);
  const reader = await shelf.open(a.digest);
  await unlink(paths[0]);
  t.equal(await shelf.open(a.digest), undefined);
  t.equal(shelf.sizeOf(a.digest), undefined);
  t.ok((await bytesOf(reader))?.equals(a.bytes));

  await writeFile(paths[1], 'shorter');
  t.equal(await shelf.open(b.digest), undefined);
  t.equal(shelf.sizeOf(b.digest), undefined);
  t.same(codes(), ['SHELF_BLOB_WRONG']);

  const broken = (await shelf.open(c.digest))!;
  files.fault = ({ op }) => (op === 'file.read' ? systemError('EIO') : undefined);
  await t.rejects(broken.read(Buffer.alloc(10), 0), { code: 'STORE_READ_FAILED' });
  t.equal(shelf.sizeOf(c.digest), undefined);
  await broken.close();
});

t.test(
  'a lookup finds what has come since the last scan: a small one at once, a large one soon, before others',
  async (t) => {
    const { open, put, opened, clock } = await rig(t);
    const shelf = await open();
    await until(() => clock.waiting > 0);
    const small = sampleBlob(4 * MiB, 'small');
    const large = sampleBlob(4 * MiB + 1, 'large');
    const other = sampleBlob(5000, 'other');
    await put(small);
    await put(large);
    await put(other);
    const [first, again] = await Promise.all([shelf.open(small.digest), shelf.open(small.digest)]);
    t.ok((await bytesOf(first))?.equals(small.bytes));
    t.ok((await bytesOf(again))?.equals(small.bytes));
    t.equal(opened().filter((name) => name === digestHex(small.digest)).length, 3, 'hashed once, opened twice');
    t.equal(await shelf.open(large.digest), undefined, 'not yet');
    const ticking = setInterval(() => void clock.advance(10), 1);
    await until(() => shelf.sizeOf(large.digest) !== undefined);
    clearInterval(ticking);
    t.ok((await bytesOf(await shelf.open(large.digest)))?.equals(large.bytes));
    t.equal(shelf.sizeOf(other.digest), undefined, 'nobody asked for it');
    await clock.advance(RESCAN_MS);
    await until(() => shelf.sizeOf(other.digest) !== undefined);
  },
);

t.test('the background pass is paced', async (t) => {
  const { open, put, clock } = await rig(t);
  const blob = sampleBlob(3 * MiB);
  await put(blob);
  const shelf = await open({ bytesPerSecond: MiB });
  for (let second = 0; second < 3; second += 1) {
    await until(() => clock.waiting > 0);
    t.equal(shelf.sizeOf(blob.digest), undefined, `after ${second} s`);
    await clock.advance(1000);
  }
  await until(() => shelf.sizeOf(blob.digest) !== undefined);
  await put(sampleBlob(20 * MiB, 'long'));
  await clock.advance(RESCAN_MS);
  await shelf.close();
  t.equal(shelf.sizeOf(sampleBlob(20 * MiB, 'long').digest), undefined, 'closing does not wait for it');
});

t.test('root may be containerd’s, its content store or its blobs, and may come later', async (t) => {
  const { open, put, root, clock, codes } = await rig(t);
  const blob = sampleBlob(100);
  await put(blob);
  for (const path of [
    root,
    join(root, 'io.containerd.content.v1.content'),
    join(root, 'io.containerd.content.v1.content/blobs'),
  ]) {
    const shelf = await open({ root: path });
    await until(() => shelf.sizeOf(blob.digest) === 100);
    await shelf.close();
  }
  t.same(codes(), []);
  const late = join(root, 'late');
  const shelf = await open({ root: late });
  t.same(codes(), ['SHELF_NOT_FOUND']);
  t.equal(await shelf.open(blob.digest), undefined);
  await clock.advance(RESCAN_MS);
  t.same(codes(), ['SHELF_NOT_FOUND'], 'said once');
  await mkdir(late);
  await rename(join(root, 'io.containerd.content.v1.content'), join(late, 'io.containerd.content.v1.content'));
  await clock.advance(RESCAN_MS);
  await until(() => shelf.sizeOf(blob.digest) === 100);
});

t.test('trouble is said, and does not end the shelf', async (t) => {
  const { open, put, files, codes, clock, root } = await rig(t);
  const blob = sampleBlob(100);
  const path = await put(blob);
  files.fault = ({ op }) => (op === 'readdir' ? systemError('EACCES') : undefined);
  const shelf = await open();
  await until(() => codes().length > 0);
  files.fault = ({ op, path }) => (op === 'open read' && path.startsWith(root) ? systemError('EIO') : undefined);
  await clock.advance(RESCAN_MS);
  await until(() => codes().length > 1);
  t.equal(await shelf.open(blob.digest), undefined, 'cannot be read');
  t.same(codes(), ['SHELF_UNREADABLE', 'SHELF_UNREADABLE']);
  files.fault = ({ op }) => (op === 'rename' ? systemError('ENOSPC') : undefined);
  await clock.advance(RESCAN_MS);
  await until(() => shelf.sizeOf(blob.digest) === 100 && codes().length > 2);
  await shelf.close();
  t.same(codes(), ['SHELF_UNREADABLE', 'SHELF_UNREADABLE', 'SHELF_STATE_UNWRITABLE']);
  await chmod(path, 0o600);

  files.fault = ({ op }) => (op === 'lstat' ? systemError('EACCES') : undefined);
  const refused = await open();
  t.equal(codes().at(-1), 'SHELF_UNREADABLE', 'not the same as not found');
  await refused.close();
});

t.test('a file that changes while it is hashed is not offered', async (t) => {
  const { open, put, files, clock } = await rig(t);
  const blob = sampleBlob(100);
  const path = await put(blob);
  let changes = 1;
  files.fault = ({ op, path: read }) => {
    if (op === 'file.read' && read === path && changes > 0) {
      changes -= 1;
      utimesSync(path, 1_500_000_000, 1_500_000_000);
    }
    return undefined;
  };
  const stateOf = async (): Promise<number> => (await stat(path)).mtimeMs;
  const shelf = await open();
  await until(() => clock.waiting > 0);
  t.equal(await stateOf(), 1_500_000_000_000);
  const early = shelf.sizeOf(blob.digest);
  await clock.advance(RESCAN_MS);
  await until(() => shelf.sizeOf(blob.digest) === 100);
  t.equal(early, undefined);
});

t.test('a damaged state file costs a new pass, no more', async (t) => {
  const { open, put, root, codes } = await rig(t);
  const blob = sampleBlob(100);
  await put(blob);
  const stateFile = join(root, 'state.json');
  const first = await open({ stateFile });
  await until(() => shelf0(first));
  await first.close();
  t.ok(parseShelfState(await readFile(stateFile), join(root, BLOBS))?.get(blob.digest)?.good);
  await writeFile(stateFile, '{"format":1,"pa');
  const second = await open({ stateFile });
  t.same(codes(), ['SHELF_STATE_DAMAGED']);
  await until(() => shelf0(second));
  function shelf0(shelf: ContainerdShelf): boolean {
    return shelf.sizeOf(blob.digest) === 100;
  }
});

t.test('the state that is written is read again, of its own directory only', async () => {
  const hashed = fc.array(
    fc.tuple(
      fc.string().map((seed) => digestOf(seed)),
      fc.record(
        { inode: fc.maxSafeNat(), modifiedMs: fc.maxSafeNat(), size: fc.maxSafeNat(), good: fc.boolean() },
        { noNullPrototype: true },
      ),
    ),
  );
  fc.assert(
    fc.property(hashed, fc.string(), (files, path) => {
      const hashed = new Map(files);
      assert.deepStrictEqual(parseShelfState(encodeShelfState(path, hashed), path), hashed);
      assert.deepStrictEqual(parseShelfState(encodeShelfState(path, hashed), `${path}/other`), new Map());
    }),
  );
});

t.test('anything else is no state, and no error', async (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      assert.equal(parseShelfState(Buffer.from(text), '/'), undefined);
    }),
  );
  const file: unknown[] = [digestOf('a'), 1, 2, 3, true];
  const state = (files: unknown): Buffer => Buffer.from(JSON.stringify({ format: 1, path: '/', files }));
  t.equal(parseShelfState(state([file]), '/')?.size, 1);
  for (const wrong of [
    7,
    [7],
    [file.with(0, 'x')],
    [file.with(1, 'x')],
    [file.with(2, null)],
    [file.with(3, '3')],
    [file.with(4, 1)],
  ]) {
    t.equal(parseShelfState(state(wrong), '/'), undefined);
  }
});

t.test(
  'a blob that is a symlink is none, wherever it leads: not found, and not opened when it takes the place of one',
  async (t) => {
    const { root, open, put, opened, blobs } = await rig(t);
    const [outside, inside, swapped] = ['outside', 'inside', 'swapped'].map((seed) => sampleBlob(5000, seed)) as [
      SampleBlob,
      SampleBlob,
      SampleBlob,
    ];
    await put(inside);
    const path = await put(swapped);
    const elsewhere = join(root, '..', 'elsewhere');
    await writeFile(elsewhere, outside.bytes);
    await symlink(elsewhere, join(blobs, digestHex(outside.digest)));
    const shelf = await open();
    await until(() => listed(shelf).length === 2);
    t.notOk(listed(shelf).includes(outside.digest));
    t.equal(await shelf.open(outside.digest), undefined);
    t.notOk(opened().includes(digestHex(outside.digest)));
    // Another file with the right bytes, of the same size.
    await rename(path, join(root, '..', 'moved'));
    await symlink(join(root, '..', 'moved'), path);
    t.equal(await shelf.open(swapped.digest), undefined);
    t.ok(await bytesOf(await shelf.open(inside.digest)));
  },
);
