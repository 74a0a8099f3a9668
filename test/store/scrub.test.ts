import { stat, unlink, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { MiB } from '../../src/base/units.ts';
import type { DiskStoreOptions } from '../../src/store/disk-store.ts';
import { Layout } from '../../src/store/layout.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { contentOf, fill, sampleBlob } from '../support/store-conformance.ts';
import { FaultyFiles, systemError } from './faulty-files.ts';
import { openStore, temporaryDirectory } from './temporary.ts';

const MINUTE = 60_000;
const WEEK = 7 * 24 * 60 * MINUTE;
const BLOBS = ['a', 'b', 'c'].map((seed) => sampleBlob(2 * MiB, seed));

async function storeWithBlobs(t: Test, options: Partial<DiskStoreOptions> = {}) {
  const dir = await temporaryDirectory(t);
  const clock = new ManualClock(Date.now());
  const files = new FaultyFiles();
  const opened = await openStore(t, dir, { clock, files, ...options });
  for (const blob of BLOBS) await fill(opened.store, blob);
  return { dir, clock, files, layout: new Layout(dir), ...opened };
}

/** Lets time pass until a condition holds; files take their own time. */
async function pass(clock: ManualClock, condition: () => Promise<boolean>, stepMs = 200): Promise<void> {
  for (let step = 0; step < 20_000; step += 1) {
    if (await condition()) return;
    await clock.advance(stepMs);
    await new Promise((resolve) => {
      setTimeout(resolve, 1);
    });
  }
  throw new Error(`waited in vain for ${condition.toString()}`);
}

const scrubbed = async ({ metrics }: Awaited<ReturnType<typeof openStore>>): Promise<number> =>
  (await metrics.storeScrubbedBytes.get()).values[0]!.value;

t.test('each blob is hashed once a week, slowly, and one that has rotted is dropped', async (t) => {
  const rig = await storeWithBlobs(t);
  const { store, clock, files, layout, codes, metrics } = rig;
  const order = Array.from(store.list(), ({ digest }) => digest);
  await clock.advance(WEEK - 60 * MINUTE);
  t.equal(await scrubbed(rig), 0, 'not before it is due');
  await files.rot(layout.blob(BLOBS[1]!.digest), 2 * MiB - 1);
  const reads = (): number =>
    files.calls.filter(({ op, path }) => op === 'file.read' && path.startsWith(layout.blobs)).length;
  await pass(clock, async () => reads() > 0, 10_000);
  const from = clock.monotonic();
  await pass(clock, async () => (await scrubbed(rig)) === 6 * MiB, 20);
  const seconds = (clock.monotonic() - from) / 1000;
  t.ok(seconds > 4 / 16, `slowly: six MiB, of which two may have been read before, took ${seconds} s`);
  t.equal(store.sizeOf(BLOBS[1]!.digest), undefined);
  t.same(codes(), ['STORE_BLOB_ROTTEN']);
  const { values } = await metrics.storeDroppedBlobs.get();
  t.equal(values.find(({ labels }) => labels['reason'] === 'rotten')?.value, 1);
  t.same(
    Array.from(store.list(), ({ digest }) => digest),
    order.filter((digest) => digest !== BLOBS[1]!.digest),
    'it is no use: the order of going is as before',
  );
  await clock.advance(WEEK - 60 * MINUTE);
  t.equal(await scrubbed(rig), 6 * MiB, 'and again only a week later');
  await pass(clock, async () => (await scrubbed(rig)) === 10 * MiB, 10_000);
  for (const blob of [BLOBS[0]!, BLOBS[2]!]) t.ok((await contentOf(store, blob.digest))?.equals(blob.bytes));
});

t.test('it is resumed after a restart: what was verified is remembered, the rest comes first', async (t) => {
  const { dir, store, clock, layout } = await storeWithBlobs(t);
  await store.close();
  const files = new FaultyFiles();
  const rig = await openStore(t, dir, { clock, files });
  const unknown = sampleBlob(MiB, 'published and killed');
  await fill(rig.store, unknown);
  files.dieAt = files.calls.length;
  await rig.store.close();
  const next = await openStore(t, dir, { clock });
  await clock.advance(MINUTE);
  await pass(clock, async () => (await scrubbed(next)) > 0);
  t.equal(await scrubbed(next), MiB, 'only of what nothing is known');
  await next.store.close();

  await unlink(layout.verified);
  const all = await openStore(t, dir, { clock });
  await pass(clock, async () => (await scrubbed(all)) === 7 * MiB);
  await all.store.close();
  t.same([...next.codes(), ...all.codes()], []);
});

t.test('it is in nobody’s way: a closed store, blobs that go meanwhile, no descriptors', async (t) => {
  const rig = await storeWithBlobs(t);
  const { store, clock, files, codes, dir } = rig;
  await clock.advance(WEEK - 60 * MINUTE);
  files.fault = ({ op }) => (op === 'open read' ? systemError('EMFILE') : undefined);
  await clock.advance(120 * MINUTE);
  t.equal(await scrubbed(rig), 0);
  t.equal([...store.list()].length, 3, 'want of descriptors says nothing of a blob');
  files.fault = () => undefined;
  files.hold = ({ op, path }) =>
    op === 'file.read' && path.includes('blobs') ? store.remove(BLOBS[0]!.digest).then(() => undefined) : undefined;
  await pass(clock, async () => (await scrubbed(rig)) >= 4 * MiB);
  files.hold = () => undefined;
  t.same(codes(), [], 'a blob that was removed is not missed');
  await store.close();
  t.equal(clock.waiting, 0, 'nothing goes on');
  t.ok((await stat(new Layout(dir).verified)).size > 0);
});

t.test('what is known cannot be read or written: all are verified again', async (t) => {
  const { dir, store, clock, layout } = await storeWithBlobs(t);
  await store.close();
  await writeFile(layout.verified, 'no such file');
  const files = new FaultyFiles();
  const rig = await openStore(t, dir, { clock, files });
  t.same(rig.codes(), ['STORE_VERIFIED_DAMAGED']);
  files.fault = ({ op, path }) =>
    op === 'open create' && path.includes('verified') ? systemError('EACCES') : undefined;
  await pass(clock, async () => (await scrubbed(rig)) === 6 * MiB);
  await rig.store.close();
  t.same([...new Set(rig.codes())], ['STORE_VERIFIED_DAMAGED', 'STORE_VERIFIED_UNWRITABLE']);
});
