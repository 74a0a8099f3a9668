import { chmod, mkdir, readFile, rename, stat, symlink, truncate, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { crc32 } from 'node:zlib';
import { digestHex } from '../../src/base/digest.ts';
import { MiB } from '../../src/base/units.ts';
import { Layout } from '../../src/store/layout.ts';
import { ManualClock } from '../support/manual-clock.ts';
import {
  contentOf,
  fill,
  sampleBlob,
  storeConformance,
  writePieces,
  type SampleBlob,
} from '../support/store-conformance.ts';
import { FaultyFiles, gate, systemError, until } from './faulty-files.ts';
import { bytesOnDisk, KiB4, openStore, temporaryDirectory } from './temporary.ts';

const HOUR = 3_600_000;

storeConformance(t, 'DiskStore', async (t, quotaBytes) => {
  const { store } = await openStore(t, await temporaryDirectory(t), { quotaBytes });
  return store;
});

t.test('files lie where the layout says, for their owner alone; what else is there is left alone', async (t) => {
  const dir = join(await temporaryDirectory(t), 'made', 'when missing');
  const blob = sampleBlob(100);
  const first = await openStore(t, dir);
  await fill(first.store, blob);
  const half = sampleBlob(3000, 'half');
  const incoming = await first.store.receive(half.digest, { size: 3000, pieceSize: 1000 });
  await writePieces(incoming, half.bytes, 1000, [0]);
  await incoming.close();
  await first.store.close();
  const layout = new Layout(dir);
  const hex = digestHex(blob.digest);
  t.equal(layout.blob(blob.digest), join(dir, 'v1/blobs/sha256', hex.slice(0, 2), hex));
  for (const path of [
    layout.blob(blob.digest),
    layout.incomingData(half.digest),
    layout.incomingJournal(half.digest),
  ]) {
    t.equal((await stat(path)).mode & 0o777, 0o600, path);
  }
  for (const path of [dir, layout.version, layout.blobs, layout.incoming, layout.refs, join(layout.blobs, 'sha256')]) {
    t.equal((await stat(path)).mode & 0o777, 0o700, path);
  }

  const foreign = [
    join(dir, 'v2', 'keep'),
    join(layout.blobs, 'sha256', 'README'),
    join(layout.blobs, 'sha256', 'zz', 'not-a-blob'),
    join(layout.blobs, 'sha256', hex.slice(0, 2), 'a'.repeat(64)),
    join(layout.incoming, 'notes'),
  ];
  for (const path of foreign) {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, 'mine');
  }
  const useless = [sampleBlob(1, 'data only'), sampleBlob(1, 'journal only')] as const;
  await writeFile(layout.incomingData(useless[0].digest), 'x');
  await writeFile(layout.incomingJournal(useless[1].digest), 'x');
  const second = await openStore(t, dir);
  t.same([...second.store.list()], [{ digest: blob.digest, size: 100 }]);
  for (const path of foreign) t.equal(await readFile(path, 'utf8'), 'mine');
  await t.rejects(stat(layout.incomingData(useless[0].digest)), { code: 'ENOENT' });
  await t.rejects(stat(layout.incomingJournal(useless[1].digest)), { code: 'ENOENT' });
});

t.test('a directory that cannot be used is one error that names it and says what to do', async (t) => {
  const base = await temporaryDirectory(t);
  const fails = async (dir: string, why: RegExp, options = {}): Promise<void> => {
    const error = await openStore(t, dir, options).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    t.match(error, { code: 'STORE_DIR_UNUSABLE', message: why, todo: /./ });
    t.match(error, { params: { dir } });
  };
  await fails('relative/path', /absolute/);
  await fails('/', /root of the file system/);
  await writeFile(join(base, 'file'), '');
  await fails(join(base, 'file'), /not a directory/);
  await fails(join(base, 'file', 'below'), /ENOTDIR/);
  await mkdir(join(base, 'real'));
  await symlink(join(base, 'real'), join(base, 'link'));
  await fails(join(base, 'link'), /symlinks are not followed/);
  await mkdir(join(base, 'parts', 'v1'), { recursive: true });
  await symlink(join(base, 'real'), join(base, 'parts', 'v1', 'blobs'));
  await fails(join(base, 'parts'), /blobs is not a directory/);
  await mkdir(join(base, 'open'));
  await chmod(join(base, 'open'), 0o777);
  await fails(join(base, 'open'), /others than its owner/);
  const readOnly = new FaultyFiles();
  readOnly.fault = ({ op }) => (op === 'mkdir' ? systemError('EROFS') : undefined);
  await fails(join(base, 'new'), /EROFS/, { files: readOnly });
  const foreign = new FaultyFiles();
  const { lstat } = foreign;
  foreign.lstat = async (path) => ({ ...(await lstat(path)), ownerId: 12_345 });
  await fails(join(base, 'real'), /belongs to user 12345/, { files: foreign });
});

t.test('two stores on one directory: the second is told who has it; then it can have it', async (t) => {
  const dir = await temporaryDirectory(t);
  const { store } = await openStore(t, dir);
  await t.rejects(openStore(t, dir), { code: 'STORE_LOCKED', params: { dir, pid: process.pid } });
  const files = new FaultyFiles();
  await store.close();
  files.fault = ({ op }) => (op === 'readdir' ? systemError('EIO') : undefined);
  await t.rejects(openStore(t, dir, { files }), { code: 'EIO' });
  const again = await openStore(t, dir);
  await t.rejects(store.open(sampleBlob(1).digest), { code: 'STORE_CLOSED' });
  await t.rejects(store.remove(sampleBlob(1).digest), { code: 'STORE_CLOSED' });
  await t.rejects(store.receive(sampleBlob(1).digest, { size: 1, pieceSize: 1 }), { code: 'STORE_CLOSED' });
  await again.store.close();
});

t.test('closing a store keeps the pieces of what is coming in, and open blobs readable', async (t) => {
  const dir = await temporaryDirectory(t);
  const { store } = await openStore(t, dir);
  const whole = sampleBlob(2000, 'whole');
  await fill(store, whole);
  const reader = (await store.open(whole.digest))!;
  const { digest, bytes } = sampleBlob(10_000);
  const incoming = await store.receive(digest, { size: bytes.length, pieceSize: 1000 });
  await writePieces(incoming, bytes, 1000, [4, 9]);
  const opening = store.receive(sampleBlob(10, 'just opening').digest, { size: 10, pieceSize: 10 });
  await store.close();
  await (await opening).close();
  t.equal(await reader.read(Buffer.alloc(3000), 0), 2000);
  await reader.close();
  const next = await openStore(t, dir);
  const resumed = await next.store.receive(digest, { size: bytes.length, pieceSize: 1000 });
  t.same(
    [...resumed.kept.keys()].sort((a, b) => a - b),
    [4, 9],
  );
  await resumed.close();
});

t.test('resuming believes no more than it can check', async (t) => {
  const dir = await temporaryDirectory(t);
  const { digest, bytes } = sampleBlob(10_000);
  const shape = { size: bytes.length, pieceSize: 1000 };
  const layout = new Layout(dir);
  const keptAfter = async (damage: () => Promise<void>): Promise<number[]> => {
    const { store } = await openStore(t, dir);
    const incoming = await store.receive(digest, shape);
    await writePieces(incoming, bytes, 1000, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await incoming.close();
    await store.close();
    await damage();
    const next = await openStore(t, dir);
    const resumed = await next.store.receive(digest, shape);
    const kept = [...resumed.kept.keys()].sort((a, b) => a - b);
    // Whatever was found: completed, it is the blob.
    await writePieces(
      resumed,
      bytes,
      1000,
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter((piece) => !kept.includes(piece)),
    );
    await resumed.publish(digest, bytes.length);
    await resumed.close();
    t.ok((await contentOf(next.store, digest))?.equals(bytes));
    await next.store.remove(digest);
    await next.store.close();
    return kept;
  };
  const data = layout.incomingData(digest);
  const journal = layout.incomingJournal(digest);
  t.same(await keptAfter(async () => undefined), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  t.same(await keptAfter(() => truncate(data, 7500)), [0, 1, 2, 3, 4, 5, 6]);
  t.same(
    await keptAfter(async () => writeFile(data, Buffer.concat([bytes, Buffer.from('more')]))),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  t.same(await keptAfter(async () => truncate(journal, (await stat(journal)).size - 5)), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  t.same(await keptAfter(() => writeFile(journal, 'something else')), []);
  t.same(await keptAfter(() => truncate(journal, 0)), []);
  t.same(await keptAfter(() => unlink(journal)), []);
  t.same(await keptAfter(() => unlink(data)), []);
});

t.test('an incoming blob that cannot be read, or whose journal cannot be written, goes on without', async (t) => {
  const dir = await temporaryDirectory(t);
  const files = new FaultyFiles();
  const { store, codes } = await openStore(t, dir, { files });
  const { digest, bytes } = sampleBlob(3000);
  const shape = { size: 3000, pieceSize: 1000 };
  const first = await store.receive(digest, shape);
  await writePieces(first, bytes, 1000, [0]);
  await first.close();
  files.fault = ({ op, path }) => {
    if (op === 'file.read' && !path.endsWith('.journal')) return systemError('EIO');
    return op === 'file.write' && path.endsWith('.journal') ? systemError('EIO') : undefined;
  };
  const second = await store.receive(digest, shape);
  t.equal(second.kept.size, 0, 'a piece that cannot be read is not a good one');
  await writePieces(second, bytes, 1000, [0, 1]);
  await second.close();
  t.same(codes(), ['STORE_JOURNAL_FAILED'], 'said once');
  files.fault = () => undefined;
  const third = await store.receive(digest, shape);
  t.same([...third.kept.keys()], [0]);
  await third.discard();
});

t.test('a stored blob that was changed under us is dropped with a warning, never served', async (t) => {
  const dir = await temporaryDirectory(t);
  const { digest, bytes } = sampleBlob(50_000);
  const path = new Layout(dir).blob(digest);
  const damages: [string, () => Promise<unknown>][] = [
    ['truncated', () => truncate(path, 100)],
    ['longer', () => writeFile(path, 'x', { flag: 'a' })],
    ['other bytes', () => writeFile(path, Buffer.alloc(50_000))],
    ['gone', () => unlink(path)],
    [
      'a symlink',
      async () => {
        await rename(path, join(dir, 'elsewhere'));
        await symlink(join(dir, 'elsewhere'), path);
      },
    ],
  ];
  for (const [damage, doDamage] of damages) {
    const { store, codes } = await openStore(t, dir);
    await fill(store, { digest, bytes });
    await utimes(path, 1e9, 1e9);
    await store.close();
    const next = await openStore(t, dir);
    await doDamage();
    t.equal(await next.store.open(digest), undefined, damage);
    t.equal(next.store.sizeOf(digest), undefined);
    t.same(next.codes(), ['STORE_BLOB_DAMAGED']);
    t.same(next.store.usage().bytes, 0);
    await next.store.close();
    await t.rejects(stat(path), { code: 'ENOENT' });
    t.same(codes(), []);
  }
});

t.test('a blob that cannot be read is dropped, so that it is fetched again', async (t) => {
  const dir = await temporaryDirectory(t);
  const files = new FaultyFiles();
  const { store, codes } = await openStore(t, dir, { files });
  const blob = sampleBlob(5000);
  await fill(store, blob);
  const reader = (await store.open(blob.digest))!;
  await t.rejects(reader.read(Buffer.alloc(10), -5), RangeError);
  t.equal(store.sizeOf(blob.digest), 5000, 'a mistake of the caller says nothing against it');
  files.fault = ({ op }) => (op === 'file.read' ? systemError('EIO') : undefined);
  await t.rejects(reader.read(Buffer.alloc(10), 0), { code: 'STORE_READ_FAILED', cause: { code: 'EIO' } });
  await t.rejects(reader.read(Buffer.alloc(10), 0), { code: 'STORE_READ_FAILED' });
  t.equal(store.sizeOf(blob.digest), undefined);
  t.same(codes(), ['STORE_BLOB_DAMAGED']);
  files.fault = () => undefined;
  await fill(store, blob);
  await reader.close();
  t.ok((await contentOf(store, blob.digest))?.equals(blob.bytes));

  const cut = (await store.open(blob.digest))!;
  await truncate(new Layout(dir).blob(blob.digest), 3000);
  await t.rejects(cut.read(Buffer.alloc(10), 4000), { code: 'STORE_READ_FAILED', message: /ends at byte/ });
  await cut.close();
  t.equal(store.sizeOf(blob.digest), undefined);

  await fill(store, blob);
  files.fault = ({ op }) => (op === 'open read' ? systemError('EMFILE') : undefined);
  await t.rejects(store.open(blob.digest), { code: 'STORE_READ_FAILED' });
  files.fault = ({ op }) => (op === 'file.stat' ? systemError('EIO') : undefined);
  t.equal(await store.open(blob.digest), undefined);
});

t.test('the order of use survives a restart, as far as an hour', async (t) => {
  const dir = await temporaryDirectory(t);
  const clock = new ManualClock(Date.now());
  const files = new FaultyFiles();
  const [a, b, c] = ['a', 'b', 'c'].map((seed) => sampleBlob(MiB, seed)) as [SampleBlob, SampleBlob, SampleBlob];
  const { store } = await openStore(t, dir, { clock, files });
  for (const blob of [a, b, c]) await fill(store, blob);
  const touches = (): number => files.calls.filter(({ op }) => op === 'file.setModified').length;
  await clock.advance(HOUR / 2);
  await contentOf(store, c.digest);
  t.equal(touches(), 0);
  await clock.advance(HOUR);
  await Promise.all(Array.from({ length: 20 }, () => contentOf(store, a.digest)));
  await contentOf(store, a.digest);
  t.equal(touches(), 1, 'noted once an hour');
  await clock.advance(2 * HOUR);
  files.fault = ({ op }) => (op === 'file.setModified' ? systemError('EROFS') : undefined);
  await contentOf(store, c.digest);
  await contentOf(store, c.digest);
  files.fault = () => undefined;
  t.ok((await contentOf(store, c.digest))?.equals(c.bytes), 'a use that cannot be noted is no damage');
  await store.close();
  const next = await openStore(t, dir, { clock });
  t.same(
    Array.from(next.store.list(), ({ digest }) => digest),
    [c.digest, a.digest, b.digest],
  );
  await next.store.close();

  const smaller = await openStore(t, dir, { clock, quotaBytes: 2 * MiB });
  t.same(
    Array.from(smaller.store.list(), ({ digest }) => digest),
    [c.digest, a.digest],
  );
  await smaller.store.close();
  const tiny = await openStore(t, dir, { clock, quotaBytes: MiB - 1 });
  t.same([...tiny.store.list()], []);
  t.equal(await bytesOnDisk(dir), 0);
  await t.rejects(tiny.store.receive(a.digest, { size: MiB, pieceSize: MiB }), {
    code: 'STORE_NO_ROOM',
    message: /larger than the quota/,
  });
});

t.test('the books are right: while blobs come in, idle, and after a restart', async (t) => {
  const dir = await temporaryDirectory(t);
  const { store, metrics } = await openStore(t, dir, { quotaBytes: 20 * MiB });
  const gauges = async (): Promise<number[]> =>
    Promise.all(
      [metrics.storeBytes, metrics.storeQuotaBytes].map(async (gauge) => (await gauge.get()).values[0]!.value),
    );
  t.same(await gauges(), [0, 20 * MiB]);
  await fill(store, sampleBlob(100));
  await fill(store, sampleBlob(0));
  t.match(store.usage(), { bytes: 2 * KiB4, quota: 20 * MiB });
  const { digest, bytes } = sampleBlob(10 * MiB);
  const incoming = await store.receive(digest, { size: bytes.length, pieceSize: MiB });
  t.equal(store.usage().bytes, 2 * KiB4, 'held is not yet taken');
  await writePieces(incoming, bytes, MiB, [0, 9, 9]);
  t.equal(store.usage().bytes, 2 * KiB4 + 3 * MiB, 'at most so much');
  await incoming.close();
  t.equal(store.usage().bytes, 2 * KiB4 + 2 * MiB, 'the holes take nothing');
  t.same(await gauges(), [2 * KiB4 + 2 * MiB, 20 * MiB]);
  await store.close();
  t.equal(await bytesOnDisk(dir), 2 * KiB4 + 2 * MiB);
  const next = await openStore(t, dir, { quotaBytes: 20 * MiB });
  t.equal(next.store.usage().bytes, 2 * KiB4 + 2 * MiB);
  const resumed = await next.store.receive(digest, { size: bytes.length, pieceSize: MiB });
  t.same(
    [...resumed.kept.keys()].sort((a, b) => a - b),
    [0, 9],
  );
  t.equal(next.store.usage().bytes, 2 * KiB4 + 2 * MiB);
  await resumed.close();
  await next.store.close();
  const trimmed = await openStore(t, dir, { quotaBytes: MiB });
  t.equal(trimmed.store.usage().bytes, 2 * KiB4, 'of too much, the idle go first');
  t.equal(await bytesOnDisk(dir), 2 * KiB4);
  await trimmed.store.close();
  const smaller = await openStore(t, dir, { quotaBytes: KiB4 });
  t.equal(smaller.store.usage().bytes, KiB4);
});

t.test('a full disk is no room: at the start, in the middle and at the end', async (t) => {
  const dir = await temporaryDirectory(t);
  const files = new FaultyFiles();
  const { store } = await openStore(t, dir, { files, diskReserveBytes: 10 * MiB });
  const [a, b] = ['a', 'b'].map((seed) => sampleBlob(2 * MiB, seed)) as [SampleBlob, SampleBlob];
  const shape = { size: 2 * MiB, pieceSize: MiB };
  const noRoom = { code: 'STORE_NO_ROOM' };

  files.freeDiskBytes = 12 * MiB - 1;
  await t.rejects(store.receive(a.digest, shape), noRoom, 'what the disk keeps free is not for us');
  files.freeDiskBytes = 12 * MiB;
  await fill(store, a);
  files.freeDiskBytes = 11 * MiB;
  const evicting = await store.receive(b.digest, shape);
  t.equal(store.sizeOf(a.digest), undefined, 'what can go makes way');
  await evicting.write(b.bytes.subarray(0, MiB), 0);
  evicting.record(0, crc32(b.bytes.subarray(0, MiB)));
  for (const code of ['ENOSPC', 'EDQUOT']) {
    files.fault = ({ op }) => (op === 'file.write' ? systemError(code) : undefined);
    await t.rejects(evicting.write(b.bytes.subarray(MiB), MiB), { ...noRoom, cause: { code } });
  }
  files.fault = ({ op }) => (op === 'file.write' ? systemError('EIO') : undefined);
  await t.rejects(evicting.write(b.bytes.subarray(MiB), MiB), { code: 'STORE_WRITE_FAILED', cause: { code: 'EIO' } });
  files.fault = () => undefined;
  await evicting.write(b.bytes.subarray(MiB), MiB);
  for (const op of ['file.sync', 'rename']) {
    files.fault = (call) => (call.op === op ? systemError('ENOSPC') : undefined);
    await t.rejects(evicting.publish(b.digest, 2 * MiB), noRoom);
    t.equal(store.sizeOf(b.digest), undefined);
  }
  files.fault = () => undefined;
  await evicting.publish(b.digest, 2 * MiB);
  await evicting.close();
  t.ok((await contentOf(store, b.digest))?.equals(b.bytes));

  files.freeDiskBytes = undefined;
  for (const op of ['open create', 'file.write', 'freeBytes']) {
    files.fault = (call) => (call.op === op ? systemError('ENOSPC') : undefined);
    await t.rejects(store.receive(a.digest, shape), noRoom, op);
  }
  files.fault = () => undefined;
  const unknown = await store.receive(a.digest, { size: undefined, pieceSize: MiB });
  await unknown.write(Buffer.alloc(MiB), 0);
  files.freeDiskBytes = 10 * MiB - 1;
  await t.rejects(unknown.write(Buffer.alloc(MiB), 31 * MiB), noRoom, 'the disk is looked at as it grows');
  await unknown.discard();
  t.equal(store.usage().bytes, 0, 'what may go has gone first');
});

t.test('what goes wrong after the rename does not undo a publish', async (t) => {
  const dir = await temporaryDirectory(t);
  const files = new FaultyFiles();
  const { store, codes } = await openStore(t, dir, { files });
  const blob = sampleBlob(5000);
  files.fault = ({ op }) => (['unlink', 'syncDirectory'].includes(op) ? systemError('EIO') : undefined);
  await mkdir(join(new Layout(dir).blob(blob.digest), '..'));
  await fill(store, blob);
  t.same(codes().sort(), ['STORE_REMOVE_FAILED', 'STORE_SYNC_FAILED']);
  t.ok((await contentOf(store, blob.digest))?.equals(blob.bytes));

  files.fault = ({ op }) => (op === 'rename' ? systemError('EIO') : undefined);
  const again = await store.receive(blob.digest, { size: 5000, pieceSize: 5000 });
  await again.write(blob.bytes, 0);
  await t.rejects(again.publish(blob.digest, 5000), { code: 'STORE_WRITE_FAILED' });
  files.fault = () => undefined;
  await again.publish(blob.digest, 5000);
  await again.close();
  t.ok((await contentOf(store, blob.digest))?.equals(blob.bytes));
});

t.test('a write that is under way when a blob is published is done before it counts as verified', async (t) => {
  const { store } = await openStore(t, await temporaryDirectory(t));
  const { digest, bytes } = sampleBlob(MiB);
  const incoming = await store.receive(digest, { size: MiB, pieceSize: MiB });
  const writing = incoming.write(bytes, 0);
  await incoming.publish(digest, MiB);
  await writing;
  await incoming.close();
  t.ok((await contentOf(store, digest))?.equals(bytes));
});

t.test('a late unlink never takes what has come since under the same name', async (t) => {
  const dir = await temporaryDirectory(t);
  const files = new FaultyFiles();
  const { store } = await openStore(t, dir, { files, quotaBytes: 4 * MiB });
  const blob = sampleBlob(MiB);
  const shape = { size: MiB, pieceSize: MiB };
  const unlink = gate();
  files.hold = ({ op }) => (op === 'unlink' ? unlink.promise : undefined);

  const discarded = await store.receive(blob.digest, shape);
  await discarded.discard();
  const receiving = store.receive(blob.digest, shape).then(async (incoming) => {
    await writePieces(incoming, blob.bytes, MiB, [0]);
    return incoming;
  });
  await until(() => files.done.filter(({ op }) => op === 'freeBytes').length === 2);
  await turns();
  t.equal(
    files.calls.filter(({ op }) => op === 'open create').length,
    2,
    'nothing is made anew before the old is gone',
  );
  unlink.open();
  await (await receiving).close();
  files.hold = () => undefined;
  const resumed = await store.receive(blob.digest, shape);
  t.equal(resumed.kept.size, 1);
  await resumed.publish(blob.digest, MiB);
  await resumed.close();

  const second = gate();
  files.hold = ({ op, path }) =>
    op === 'unlink' && path === new Layout(dir).blob(blob.digest) ? second.promise : undefined;
  const removing = store.remove(blob.digest);
  const filling = fill(store, blob);
  await until(() => files.done.filter(({ op }) => op === 'file.sync').length === 2);
  await turns();
  t.equal(files.calls.filter(({ op }) => op === 'rename').length, 2, 'nothing is put there before the old is gone');
  second.open();
  await removing;
  await filling;
  t.ok((await contentOf(store, blob.digest))?.equals(blob.bytes));
});

t.test('a blob that is being replaced is not evicted by its old name', async (t) => {
  const dir = await temporaryDirectory(t);
  const files = new FaultyFiles();
  const { store } = await openStore(t, dir, { files, quotaBytes: 4 * MiB });
  const blob = sampleBlob(MiB);
  await fill(store, blob);
  const [rename, unlink] = [gate(), gate()];
  files.hold = ({ op }) => (op === 'rename' ? rename.promise : op === 'unlink' ? unlink.promise : undefined);
  const before = files.calls.length;
  const replacing = fill(store, blob);
  await until(() => files.calls.slice(before).some(({ op }) => op === 'rename'));
  const other = store.receive(sampleBlob(3 * MiB).digest, { size: 3 * MiB, pieceSize: MiB });
  await turns();
  rename.open();
  await turns();
  unlink.open();
  await replacing;
  await (await other).discard();
  t.ok((await contentOf(store, blob.digest))?.equals(blob.bytes));
});

/** Time enough for what is not held up. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 100; turn += 1) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

t.test('killed at any call of publish and eviction: whole blobs or none, and good pieces stay', async (t) => {
  const base = await temporaryDirectory(t);
  const [old, oldest, fresh] = ['old', 'oldest', 'fresh'].map((seed) => sampleBlob(3 * KiB4, seed)) as [
    SampleBlob,
    SampleBlob,
    SampleBlob,
  ];
  const shape = { size: fresh.bytes.length, pieceSize: KiB4 };
  const quotaBytes = 7 * KiB4;
  const outcomes = new Set<string>();
  let finished = false;
  for (let step = 0; !finished; step += 1) {
    const dir = join(base, `${step}`);
    const { store: before } = await openStore(t, dir, { quotaBytes });
    await fill(before, oldest);
    await fill(before, old);
    await before.close();
    const files = new FaultyFiles();
    const { store } = await openStore(t, dir, { quotaBytes, files });
    files.dieAt = files.calls.length + step;
    try {
      const incoming = await store.receive(fresh.digest, shape);
      await writePieces(incoming, fresh.bytes, KiB4, [0, 1, 2]);
      await incoming.publish(fresh.digest, shape.size);
      await incoming.close();
      await store.remove(old.digest);
    } catch (error) {
      if (!files.isDead) throw error;
    }
    await store.close();
    finished = !files.isDead;

    const { store: after } = await openStore(t, dir, { quotaBytes });
    const here: string[] = [];
    for (const [name, blob] of Object.entries({ old, oldest, fresh })) {
      const content = await contentOf(after, blob.digest);
      if (content && !content.equals(blob.bytes)) t.fail(`step ${step}: ${name} is torn`);
      if (content) here.push(name);
    }
    if (after.usage().bytes > quotaBytes) t.fail(`step ${step}: over the quota`);
    if (!here.includes('fresh')) {
      const incoming = await after.receive(fresh.digest, shape);
      outcomes.add(`${here.join()} + ${incoming.kept.size} pieces`);
      await incoming.discard();
    } else outcomes.add(here.join());
    const bytes = await bytesOnDisk(dir);
    if (bytes !== after.usage().bytes) t.fail(`step ${step}: ${bytes} on disk, ${after.usage().bytes} in the books`);
    await after.close();
  }
  for (const outcome of ['old,oldest + 0 pieces', 'old + 0 pieces', 'old + 3 pieces', 'old,fresh', 'fresh']) {
    t.ok(outcomes.has(outcome), `seen: ${outcome}`);
  }
});
