import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { parseDigest } from '../../src/base/digest.ts';
import { MiB } from '../../src/base/units.ts';
import { DiskStore } from '../../src/store/disk-store.ts';
import { isOfTheDisk, isPassing } from '../../src/store/disk-health.ts';
import { StoreWriteFailed } from '../../src/store/errors.ts';
import { openStore } from '../../src/store/late-store.ts';
import { PrivateBlobs } from '../../src/store/private-blobs.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { FaultyFiles, systemError, until } from './faulty-files.ts';

const DIGEST = parseDigest(`sha256:${'a'.repeat(64)}`)!;
const OTHER = parseDigest(`sha256:${'b'.repeat(64)}`)!;
const SHAPE = { size: 4096, pieceSize: MiB };

async function scene(t: Test) {
  const dir = join(t.testdir({}), 'store');
  await mkdir(dir, { mode: 0o700 });
  const files = new FaultyFiles();
  const clock = new ManualClock();
  const metrics = new Metrics();
  return { dir, files, clock, options: { dir, quotaBytes: 100 * MiB, log: silentLogger, metrics, clock, files } };
}

t.test('a disk that takes nothing at the start: no store until it does', async (t) => {
  const { files, clock, options } = await scene(t);
  files.fault = ({ op }) => (op === 'mkdir' ? systemError('EROFS') : undefined);
  const store = await openStore(options);
  t.notOk(store instanceof DiskStore);
  t.equal(store.sizeOf(DIGEST), undefined);
  t.equal(await store.open(DIGEST), undefined);
  t.equal(await store.remove(DIGEST), false);
  t.equal(await store.crcsOf(DIGEST), undefined);
  t.same([...store.list()], []);
  t.match(store.usage(), { bytes: 0, quota: 100 * MiB });
  t.match(await store.disk(), { roomBytes: 0, failure: /EROFS/ });
  await t.rejects(store.receive(DIGEST, SHAPE), { code: 'STORE_NO_ROOM' });
  await clock.advance(10_000);
  t.match(await store.disk(), { failure: /EROFS/ }, 'it is tried again, in vain');
  files.fault = () => undefined;
  let isOpen = false;
  while (!isOpen) {
    await clock.advance(5000);
    isOpen = (await store.disk()).failure === undefined;
  }
  const blob = await store.receive(DIGEST, SHAPE);
  await blob.discard();
  await store.close();
});

t.test('while the process before it ends: no store until it has, then what that has noted is read again', async (t) => {
  const { dir, clock, options } = await scene(t);
  const before = await DiskStore.open(options);
  await t.rejects(openStore(options), { code: 'STORE_LOCKED' }, 'one that is not about to end');
  before.stopping();
  let opened = 0;
  const notes = PrivateBlobs.open(dir, () => true);
  const store = await openStore({
    ...options,
    onOpened: () => {
      opened += 1;
      notes.reread();
    },
  });
  await t.rejects(store.receive(DIGEST, SHAPE), { code: 'STORE_NO_ROOM' });
  PrivateBlobs.open(dir, () => true).add(DIGEST);
  t.notOk(notes.has(DIGEST));
  await before.close();
  while ((await store.disk()).failure !== undefined) await clock.advance(100);
  t.equal(opened, 1);
  t.ok(notes.has(DIGEST), 'I4: what came in meanwhile with a credential is known');
  const blob = await store.receive(DIGEST, SHAPE);
  await blob.discard();
  store.stopping();
  await t.rejects(DiskStore.open(options), { code: 'STORE_LOCKED', params: { isStopping: true } });
  await store.close();
});

t.test('what is no matter of the disk stops the start', async (t) => {
  const { dir, options } = await scene(t);
  await chmod(dir, 0o777);
  await t.rejects(openStore(options), { code: 'STORE_DIR_UNUSABLE' });
});

t.test('a failed write makes the disk fail until a probe can be written', async (t) => {
  const { files, clock, options } = await scene(t);
  const store = await openStore(options);
  t.match(await store.disk(), { failure: undefined });
  files.fault = ({ op }) => (op === 'open create' ? systemError('EIO') : undefined);
  await t.rejects(store.receive(DIGEST, SHAPE), { code: 'STORE_WRITE_FAILED' });
  t.match(await store.disk(), { failure: /EIO/ });
  await clock.advance(10_000);
  t.match(await store.disk(), { failure: /EIO/ });
  files.fault = () => undefined;
  t.match(await store.disk(), { failure: /EIO/ }, 'not tried each time');
  await clock.advance(10_000);
  t.match(await store.disk(), { failure: undefined });
  await store.close();
});

t.test('without descriptors an earlier try stays, and the disk is well', async (t) => {
  const { files, options } = await scene(t);
  const store = await openStore(options);
  const first = await store.receive(DIGEST, SHAPE);
  await first.write(Buffer.alloc(4096, 1), 0);
  first.record(0, 123);
  await first.close();
  files.fault = ({ op }) => (op.startsWith('open') ? systemError('EMFILE') : undefined);
  await t.rejects(store.receive(DIGEST, SHAPE), { code: 'STORE_WRITE_FAILED' });
  t.match(await store.disk(), { failure: undefined });
  t.ok(store.usage().bytes > 0, 'it counts');
  files.fault = () => undefined;
  t.ok((await readFile(join(options.dir, 'v1/incoming', `sha256-${'a'.repeat(64)}`))).length > 0);
  await store.close();
});

t.test('where no file can be made, the oldest blobs make way', async (t) => {
  const { files, options } = await scene(t);
  const store = await openStore(options);
  const idle = await store.receive(OTHER, SHAPE);
  await idle.write(Buffer.alloc(4096), 0);
  await idle.close();
  let isFull = true;
  files.fault = ({ op }) => {
    if (op === 'unlink') isFull = false;
    return op === 'open create' && isFull ? systemError('ENOSPC') : undefined;
  };
  const blob = await store.receive(DIGEST, SHAPE);
  isFull = true;
  files.fault = ({ op }) => (op === 'file.write' ? systemError('ENOSPC') : undefined);
  await t.rejects(blob.write(Buffer.alloc(4096), 0), { code: 'STORE_NO_ROOM' }, 'with nothing left to go it is full');
  t.match(await store.disk(), { failure: /ENOSPC/ });
  await blob.discard();
  files.fault = () => undefined;
  await until(() => store.usage().bytes === 0);
  await store.close();
});

t.test('which errors are of the disk', async (t) => {
  const failed = (code: string) => new StoreWriteFailed({ digest: DIGEST, why: 'x' }, { cause: systemError(code) });
  for (const code of ['ENOSPC', 'EROFS', 'EIO', 'EDQUOT'])
    t.ok(isOfTheDisk(failed(code)) && isPassing(failed(code)), code);
  for (const code of ['EMFILE', 'EFBIG', 'EEXIST']) t.notOk(isOfTheDisk(failed(code)) || isPassing(failed(code)), code);
  t.notOk(isPassing(failed('EACCES')));
});

t.test('private blobs: a list that cannot be shortened stays as it is', async (t) => {
  const dir = t.testdir({ v1: {} });
  const path = join(dir, 'v1', 'private-blobs');
  const blobs = PrivateBlobs.open(dir, () => true);
  blobs.add(DIGEST);
  blobs.add(OTHER);
  await writeFile(path, `${await readFile(path, 'utf8')}sha256:torn`);
  PrivateBlobs.open(dir, () => true).add(parseDigest(`sha256:${'c'.repeat(64)}`)!);
  await mkdir(`${path}.new`);
  const again = PrivateBlobs.open(dir, (digest) => digest === DIGEST);
  t.ok(again.has(OTHER), 'not forgotten, for that could not be written');
  t.ok(again.has(parseDigest(`sha256:${'c'.repeat(64)}`)!), 'what a torn line would have hidden');
});

t.test('a quota that changes holds for the store, also for one that is opened later', async (t) => {
  const { files, clock, options } = await scene(t);
  files.fault = ({ op }) => (op === 'mkdir' ? systemError('EROFS') : undefined);
  const late = await openStore(options);
  late.setQuota(MiB);
  t.match(late.usage(), { bytes: 0, quota: MiB });
  files.fault = () => undefined;
  for (let isOpen = false; !isOpen; isOpen = (await late.disk()).failure === undefined) await clock.advance(5000);
  t.match(late.usage(), { bytes: 0, quota: MiB });
  await t.rejects(late.receive(DIGEST, { size: 2 * MiB, pieceSize: MiB }), { code: 'STORE_NO_ROOM' });
  late.setQuota(3 * MiB);
  const blob = await late.receive(DIGEST, { size: 2 * MiB, pieceSize: MiB });
  await blob.discard();
  t.match(await options.metrics.registry.metrics(), `hawker_store_quota_bytes ${3 * MiB}`);
  await late.close();
});
