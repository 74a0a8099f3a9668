import { open, stat, utimes } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { crc32 } from 'node:zlib';
import { createHash } from 'node:crypto';
import { digestFrom, fileIdOf } from '../../src/base/digest.ts';
import type { Metrics } from '../../src/base/metrics.ts';
import { MiB } from '../../src/base/units.ts';
import { Layout } from '../../src/store/layout.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { contentOf, fill, sampleBlob, writePieces, type SampleBlob } from '../support/store-conformance.ts';
import { FaultyFiles, systemError } from './faulty-files.ts';
import { openStore, temporaryDirectory } from './temporary.ts';

const DAY = 24 * 3_600_000;

async function rig(t: Test) {
  const dir = await temporaryDirectory(t);
  const clock = new ManualClock(Date.now());
  const files = new FaultyFiles();
  const layout = new Layout(dir);
  const opened = await openStore(t, dir, { clock, files, quotaBytes: 1024 * MiB });
  /** Reads of a path's file since the last time this was asked. */
  let seen = 0;
  const reads = (path: string): number => {
    const calls = files.calls.slice(seen).filter((call) => call.op === 'file.read' && call.path === path);
    seen = files.calls.length;
    return calls.length;
  };
  return { dir, clock, files, layout, reads, ...opened };
}

async function dropped(metrics: Metrics): Promise<Record<string, number>> {
  const { values } = await metrics.storeDroppedBlobs.get();
  return Object.fromEntries(
    values.filter(({ value }) => value > 0).map(({ labels, value }) => [labels['reason'], value]),
  );
}

async function publishPieces(store: Awaited<ReturnType<typeof rig>>['store'], { digest, bytes }: SampleBlob) {
  const incoming = await store.receive(digest, { size: bytes.length, pieceSize: MiB });
  await writePieces(incoming, bytes, MiB, [...Array(Math.ceil(bytes.length / MiB)).keys()]);
  await incoming.publish(digest, bytes.length);
  await incoming.close();
}

t.test('a blob is checked as it is read, once a day, piece by piece', async (t) => {
  const { store, clock, layout, reads } = await rig(t);
  const blob = sampleBlob(3 * MiB + 5);
  await publishPieces(store, blob);
  const path = layout.blob(blob.digest);
  const asItIs = async () => {
    reads(path);
    t.ok((await contentOf(store, blob.digest))?.equals(blob.bytes));
    return reads(path);
  };
  t.equal(await asItIs(), 1, 'just published, it is read as it is');
  await clock.advance(DAY + 2000);
  t.equal(await asItIs(), 5, 'each of its four pieces is read before');
  t.equal(await asItIs(), 1);
  await clock.advance(DAY + 2000);
  const part = (await store.open(blob.digest))!;
  reads(path);
  await Promise.all(Array.from({ length: 20 }, () => part.read(Buffer.alloc(10), MiB + 7)));
  t.equal(reads(path), 21, 'many at once: the piece is read once');
  await part.close();
  t.equal(await asItIs(), 4, 'and it is remembered, whoever reads on');
  clock.set(-100 * DAY);
  t.equal(await asItIs(), 5, 'a time that is yet to come is no proof');
  t.equal(await asItIs(), 1);
});

t.test('bytes that have rotted are never given away: whatever the piece, whoever reads', async (t) => {
  const { store, clock, files, layout, codes, metrics } = await rig(t);
  const blob = sampleBlob(3 * MiB);
  const buffer = Buffer.alloc(MiB);
  await publishPieces(store, blob);
  const before = (await store.open(blob.digest))!;
  await files.rot(layout.blob(blob.digest), 2 * MiB - 1);
  await clock.advance(DAY + 2000);
  const reader = (await store.open(blob.digest))!;
  t.equal(await reader.read(buffer, 0), MiB, 'a piece that is right');
  t.equal(reader.readNow!(buffer, 0), MiB, 'and at once, now that it is known');
  t.equal(reader.readNow!(buffer, MiB), 0, 'of a piece that is not checked nothing is given at once');
  t.equal(reader.readNow!(buffer, MiB / 2), 0);
  await t.rejects(reader.read(buffer.subarray(0, 10), MiB), {
    code: 'STORE_READ_FAILED',
    message: /bytes 1048576 to 2097151 are not those that were stored/,
  });
  t.equal(store.sizeOf(blob.digest), undefined);
  t.same(codes(), ['STORE_BLOB_ROTTEN']);
  t.same(await dropped(metrics), { rotten: 1 });
  await reader.close();
  await before.close();
  await publishPieces(store, blob);
  t.ok((await contentOf(store, blob.digest))?.equals(blob.bytes), 'it can come in again');
});

t.test(
  'a piece is whole before its first byte goes, also where it is larger than what is read at a time',
  async (t) => {
    const { store, clock, files, layout } = await rig(t);
    const [size, pieceSize] = [258 * MiB, 2 * MiB];
    const zeros = Buffer.alloc(pieceSize);
    const hash = createHash('sha256');
    for (let at = 0; at < size; at += pieceSize) hash.update(zeros);
    const digest = digestFrom('sha256', hash);
    const incoming = await store.receive(digest, { size, pieceSize });
    await incoming.write(zeros, size - pieceSize);
    for (let piece = 0; piece < size / pieceSize; piece += 1) incoming.record(piece, crc32(zeros));
    await incoming.publish(digest, size);
    await incoming.close();
    await clock.advance(DAY + 2000);
    await files.rot(layout.blob(digest), 4 * MiB - 1);
    const reader = (await store.open(digest))!;
    const buffer = Buffer.alloc(MiB);
    t.equal(await reader.read(buffer, MiB), MiB);
    await t.rejects(reader.read(buffer, 2 * MiB), { code: 'STORE_READ_FAILED' }, 'the wrong byte is in the next MiB');
    await reader.close();
  },
);

t.test('a file, whose id says nothing of its bytes, is checked by the check sums of its pieces', async (t) => {
  const { store, clock, files, layout, codes, metrics } = await rig(t);
  const named = (size: number, name: string) => ({ ...sampleBlob(size, name), digest: fileIdOf(name) });
  const [large, small, streamed] = [named(3 * MiB + 5, 'large'), named(1000, 'small'), named(2 * MiB, 'streamed')];
  for (const blob of [large, small]) await publishPieces(store, blob);
  const incoming = await store.receive(streamed.digest, { size: undefined, pieceSize: MiB });
  await incoming.write(streamed.bytes, 0);
  await incoming.publish(streamed.digest, streamed.bytes.length);
  await incoming.close();
  for (const blob of [large, small, streamed]) t.ok((await contentOf(store, blob.digest))?.equals(blob.bytes));
  await clock.advance(DAY + 2000);
  for (const blob of [large, small]) t.ok((await contentOf(store, blob.digest))?.equals(blob.bytes), 'still right');
  t.equal(await store.open(streamed.digest), undefined, 'without check sums nobody can tell: it is fetched anew');
  await clock.advance(DAY + 2000);
  for (const { digest, bytes } of [large, small]) {
    await files.rot(layout.blob(digest), bytes.length - 1);
    await t.rejects(contentOf(store, digest), { code: 'STORE_READ_FAILED' });
    t.equal(store.sizeOf(digest), undefined);
  }
  t.same(codes(), ['STORE_BLOB_DAMAGED', 'STORE_BLOB_ROTTEN', 'STORE_BLOB_ROTTEN']);
  t.same(await dropped(metrics), { damaged: 1, rotten: 2 });
});

t.test('without check sums of pieces the whole is hashed before it is opened', async (t) => {
  const { store, clock, files, layout, reads, codes, metrics } = await rig(t);
  const small = sampleBlob(5000, 'small');
  const empty = sampleBlob(0);
  const streamed = sampleBlob(3 * MiB, 'streamed');
  const sha512 = sampleBlob(70_000, 'long', 'sha512');
  for (const blob of [small, empty, sha512, streamed]) {
    const incoming = await store.receive(blob.digest, { size: undefined, pieceSize: MiB });
    if (blob.bytes.length > 0) await incoming.write(blob.bytes, 0);
    await incoming.publish(blob.digest, blob.bytes.length);
    await incoming.close();
  }
  await clock.advance(DAY + 2000);
  for (const blob of [small, empty, sha512, streamed]) {
    t.ok((await contentOf(store, blob.digest))?.equals(blob.bytes));
    reads(layout.blob(blob.digest));
    await contentOf(store, blob.digest);
    t.ok(reads(layout.blob(blob.digest)) <= 1, 'once');
  }
  await clock.advance(DAY + 2000);
  for (const blob of [small, sha512, streamed]) {
    await files.rot(layout.blob(blob.digest), blob.bytes.length - 1);
    const both = await Promise.all([store.open(blob.digest), store.open(blob.digest)]);
    t.same(both, [undefined, undefined]);
    t.equal(store.sizeOf(blob.digest), undefined);
  }
  t.same(codes(), ['STORE_BLOB_ROTTEN', 'STORE_BLOB_ROTTEN', 'STORE_BLOB_ROTTEN']);
  t.same(await dropped(metrics), { rotten: 3 });
});

t.test(
  'a file that something has touched is checked at once, though its size and time of writing are as before',
  async (t) => {
    const { store, dir, layout, codes, reads } = await rig(t);
    const [changed, touched] = [sampleBlob(2 * MiB, 'changed'), sampleBlob(2 * MiB, 'touched')];
    for (const blob of [changed, touched]) await publishPieces(store, blob);
    const path = layout.blob(changed.digest);
    const { atimeMs, mtimeMs, size } = await stat(path, { bigint: false });
    const file = await open(path, 'r+');
    await file.write(Buffer.from('other bytes'), 0, undefined, 100);
    await file.close();
    await utimes(path, atimeMs / 1000, mtimeMs / 1000);
    t.equal((await stat(path)).size, size);
    // The system keeps nanoseconds, which cannot be set back from here.
    if ((await stat(path)).mtimeMs === mtimeMs) {
      const reader = (await store.open(changed.digest))!;
      await t.rejects(reader.read(Buffer.alloc(10), 0), { code: 'STORE_READ_FAILED' });
      await reader.close();
      t.same(codes(), ['STORE_BLOB_ROTTEN']);
    }
    await utimes(layout.blob(touched.digest), new Date(), (await stat(layout.blob(touched.digest))).mtime);
    await store.close();

    const again = await openStore(t, dir);
    const reader = (await again.store.open(touched.digest))!;
    reads(layout.blob(touched.digest));
    t.equal(await reader.read(Buffer.alloc(10), 0), 10, 'nothing was wrong with it');
    await reader.close();
    await again.store.close();
  },
);

t.test('what cannot be read while it is checked is damaged', async (t) => {
  const { store, clock, files, layout, codes, metrics } = await rig(t);
  const [large, small] = [sampleBlob(2 * MiB, 'large'), sampleBlob(100, 'small')];
  await publishPieces(store, large);
  await fill(store, small);
  await clock.advance(DAY + 2000);
  files.fault = ({ op, path }) =>
    op === 'file.read' && path.startsWith(layout.blobs) ? systemError('EIO') : undefined;
  const reader = (await store.open(large.digest))!;
  await t.rejects(reader.read(Buffer.alloc(10), 0), { code: 'STORE_READ_FAILED', message: /cannot be read/ });
  await reader.close();
  t.equal(await store.open(small.digest), undefined);
  t.same(codes(), ['STORE_BLOB_DAMAGED', 'STORE_BLOB_DAMAGED']);
  t.same(await dropped(metrics), { damaged: 2 });
});
