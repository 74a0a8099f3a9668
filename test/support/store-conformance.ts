import { createHash } from 'node:crypto';
import type { Test } from 'tap';
import { crc32 } from 'node:zlib';
import { digestOf, type Digest } from '../../src/base/digest.ts';
import { Pieces } from '../../src/base/pieces.ts';
import { MiB } from '../../src/base/units.ts';
import type { BlobStore, IncomingBlob } from '../../src/store/blob-store.ts';

export interface SampleBlob {
  readonly digest: Digest;
  readonly bytes: Buffer;
}

/** A blob of `size` bytes that depend on `seed` alone. */
export function sampleBlob(
  size: number,
  seed: string | number = 0,
  algorithm: 'sha256' | 'sha512' = 'sha256',
): SampleBlob {
  const bytes = createHash('shake256', { outputLength: Math.max(1, size) })
    .update(`${seed}`)
    .digest()
    .subarray(0, size);
  return { bytes, digest: digestOf(bytes, algorithm) };
}

/** Receives and publishes a blob, and closes it. */
export async function fill(store: BlobStore, { digest, bytes }: SampleBlob, pieceSize = MiB): Promise<void> {
  const incoming = await store.receive(digest, { size: bytes.length, pieceSize });
  await incoming.write(bytes, 0);
  await incoming.publish(digest, bytes.length);
  await incoming.close();
}

/** Writes and records pieces. */
export async function writePieces(
  incoming: IncomingBlob,
  bytes: Buffer,
  pieceSize: number,
  which: number[],
): Promise<void> {
  const pieces = new Pieces(bytes.length, pieceSize);
  for (const piece of which) {
    const part = bytes.subarray(pieces.start(piece), pieces.end(piece));
    await incoming.write(part, pieces.start(piece));
    incoming.record(piece, crc32(part));
  }
}

/** All bytes of a stored blob; undefined where it is not there. */
export async function contentOf(store: BlobStore, digest: Digest): Promise<Buffer | undefined> {
  const blob = await store.open(digest);
  if (!blob) return undefined;
  const bytes = Buffer.alloc(blob.size);
  for (let at = 0; at < blob.size;) at += await blob.read(bytes.subarray(at), at);
  await blob.close();
  return bytes;
}

/** What every `BlobStore` does. `makeStore` gives an empty one with the quota named, in bytes. */
export function storeConformance(
  t: Test,
  name: string,
  makeStore: (t: Test, quotaBytes: number) => Promise<BlobStore> | BlobStore,
): void {
  t.test(`${name}: a blob comes in, is published, read, listed and removed`, async (t) => {
    const store = await makeStore(t, 64 * MiB);
    for (const blob of [
      sampleBlob(0),
      sampleBlob(1),
      sampleBlob(3 * MiB + 17),
      sampleBlob(70_000, 'other', 'sha512'),
    ]) {
      const { digest, bytes } = blob;
      t.equal(store.sizeOf(digest), undefined);
      t.equal(await store.open(digest), undefined);
      const incoming = await store.receive(digest, { size: bytes.length, pieceSize: MiB });
      t.equal(incoming.digest, digest);
      t.equal(incoming.kept.size, 0);
      const half = bytes.length >> 1;
      await incoming.write(bytes.subarray(half), half);
      await incoming.write(bytes.subarray(0, half), 0);
      const back = Buffer.alloc(100);
      const count = await incoming.read(back, half);
      t.ok(back.subarray(0, count).equals(bytes.subarray(half, half + count)), 'what was written can be read back');
      t.equal(store.sizeOf(digest), undefined, 'not there before it is published');
      await incoming.publish(digest, bytes.length);
      t.equal(store.sizeOf(digest), bytes.length);
      t.equal(await incoming.read(back, half), count, 'the handle stays readable');
      t.equal(await incoming.read(back, bytes.length), 0);
      await incoming.close();
      t.ok((await contentOf(store, digest))?.equals(bytes));
      t.same([...store.list()], [{ digest, size: bytes.length }]);
      t.equal(await store.remove(digest), true);
      t.equal(await store.remove(digest), false);
      t.equal(await store.open(digest), undefined);
      t.same([...store.list()], []);
    }
  });

  t.test(`${name}: reads are bounded by the blob, and go on after it was removed`, async (t) => {
    const store = await makeStore(t, 64 * MiB);
    const { digest, bytes } = sampleBlob(10_000);
    await fill(store, { digest, bytes });
    const blob = (await store.open(digest))!;
    t.equal(blob.digest, digest);
    t.equal(blob.size, 10_000);
    await store.remove(digest);
    const buffer = Buffer.alloc(20_000, 0xff);
    t.equal(await blob.read(buffer, 4000), 6000);
    t.ok(buffer.subarray(0, 6000).equals(bytes.subarray(4000)));
    t.ok(buffer.subarray(6000).every((byte) => byte === 0xff));
    t.equal(await blob.read(buffer, 10_000), 0);
    t.equal(await blob.read(buffer, 12_000), 0);
    await Promise.all([blob.close(), blob.close()]);
    await blob.close();
    await t.rejects(blob.read(buffer, 0), { code: 'STORE_READ_FAILED' });
  });

  t.test(`${name}: nothing but the right bytes is published`, async (t) => {
    const store = await makeStore(t, 64 * MiB);
    const { digest, bytes } = sampleBlob(5000);
    const other = sampleBlob(5000, 'other').digest;
    const incoming = await store.receive(digest, { size: 5000, pieceSize: MiB });
    await incoming.write(bytes.subarray(0, 4000), 0);
    await t.rejects(incoming.publish(other, 5000), { code: 'STORE_DIGEST_MISMATCH' });
    await t.rejects(incoming.publish(digest, 4999), { code: 'STORE_SIZE_MISMATCH' });
    await t.rejects(incoming.publish(digest, 5000), { code: 'STORE_SIZE_MISMATCH' }, 'not all is there');
    await t.rejects(incoming.write(Buffer.alloc(2), 4999), { code: 'STORE_WRITE_FAILED' }, 'beyond its end');
    t.equal(store.sizeOf(digest), undefined);
    await incoming.write(bytes.subarray(4000), 4000);
    await Promise.all([incoming.publish(digest, 5000), incoming.publish(digest, 5000)]);
    await incoming.publish(digest, 5000);
    await t.rejects(
      incoming.write(Buffer.alloc(1), 0),
      { code: 'STORE_WRITE_FAILED' },
      'a verified blob is not written to',
    );
    incoming.record(0, 1);
    await incoming.discard();
    await t.rejects(incoming.write(Buffer.alloc(1), 0), { code: 'STORE_WRITE_FAILED' });
    await t.rejects(incoming.read(Buffer.alloc(1), 0), { code: 'STORE_READ_FAILED' });
    t.ok((await contentOf(store, digest))?.equals(bytes), 'to discard what is published does no harm');

    const closed = await store.receive(other, { size: 5000, pieceSize: MiB });
    await closed.close();
    await t.rejects(closed.publish(other, 5000), { code: 'STORE_WRITE_FAILED' });
  });

  t.test(`${name}: recorded pieces are kept if they are good`, async (t) => {
    const store = await makeStore(t, 64 * MiB);
    const { digest, bytes } = sampleBlob(10_500);
    const shape = { size: bytes.length, pieceSize: 1000 };
    const first = await store.receive(digest, shape);
    t.throws(() => first.record(11, 1), RangeError);
    t.throws(() => first.record(-1, 1), RangeError);
    t.throws(() => first.record(0.5, 1), RangeError);
    await writePieces(first, bytes, 1000, [0, 3, 10, 7]);
    first.record(5, crc32(Buffer.alloc(1000, 1)));
    await first.write(Buffer.from('spoilt'), 7100);
    await t.rejects(store.receive(digest, shape), { code: 'STORE_INCOMING_BUSY' });
    // Taken up again at once, while it is being closed.
    const closing = first.close();
    const second = await store.receive(digest, shape);
    await closing;
    const crcOf = (piece: number): number => crc32(bytes.subarray(piece * 1000, (piece + 1) * 1000));
    t.same(
      new Map([...second.kept].sort(([a], [b]) => a - b)),
      new Map([0, 3, 10].map((piece) => [piece, crcOf(piece)])),
    );
    await writePieces(second, bytes, 1000, [5, 7]);
    await second.close();
    await second.discard();
    const third = await store.receive(digest, shape);
    t.same(
      [...third.kept.keys()].sort((a, b) => a - b),
      [0, 3, 5, 7, 10],
      'closed is closed: discarding comes too late',
    );
    await writePieces(third, bytes, 1000, [1, 2, 4, 6, 8, 9]);
    await third.publish(digest, bytes.length);
    await third.close();
    t.ok((await contentOf(store, digest))?.equals(bytes));
  });

  t.test(`${name}: the check sums of a published blob's pieces are kept`, async (t) => {
    const store = await makeStore(t, 64 * MiB);
    const publish = async (size: number, which?: number[]) => {
      const { digest, bytes } = sampleBlob(size);
      const incoming = await store.receive(digest, { size, pieceSize: MiB });
      await incoming.write(bytes, 0);
      await writePieces(incoming, bytes, MiB, which ?? Array.from({ length: Math.ceil(size / MiB) }, (_, i) => i));
      await incoming.publish(digest, size);
      await incoming.close();
      return { digest, bytes };
    };
    const whole = await publish(2 * MiB + 5);
    const crcs = [0, 1, 2].map((piece) => crc32(whole.bytes.subarray(piece * MiB, (piece + 1) * MiB)));
    t.same(await store.crcsOf(whole.digest), Uint32Array.from(crcs));
    t.equal(await store.crcsOf((await publish(2 * MiB + 6, [0, 2])).digest), undefined, 'one of them is not known');
    t.equal(await store.crcsOf((await publish(1000)).digest), undefined, 'its digest is as good');
    t.equal(await store.crcsOf(digestOf('not here')), undefined);
    await store.remove(whole.digest);
    t.equal(await store.crcsOf(whole.digest), undefined);
    t.same(
      await store.crcsOf((await publish(2 * MiB + 5)).digest),
      Uint32Array.from(crcs),
      'and come back with the blob',
    );
  });

  t.test(`${name}: what is discarded, of another shape or of unknown size is not taken up again`, async (t) => {
    const store = await makeStore(t, 64 * MiB);
    const { digest, bytes } = sampleBlob(5000);
    const keptAfter = async (shape: { size: number | undefined; pieceSize: number }): Promise<number> => {
      const incoming = await store.receive(digest, shape);
      const { size } = incoming.kept;
      await incoming.write(bytes.subarray(0, 3000), 0);
      for (const piece of [0, 1, 2]) incoming.record(piece, crc32(bytes.subarray(piece * 1000, (piece + 1) * 1000)));
      await incoming.close();
      return size;
    };
    t.equal(await keptAfter({ size: 5000, pieceSize: 1000 }), 0);
    t.equal(await keptAfter({ size: 5000, pieceSize: 1000 }), 3);
    t.equal(await keptAfter({ size: 6000, pieceSize: 1000 }), 0);
    t.equal(await keptAfter({ size: 5000, pieceSize: 500 }), 0);
    t.equal(await keptAfter({ size: undefined, pieceSize: 1000 }), 0);
    t.equal(await keptAfter({ size: undefined, pieceSize: 1000 }), 0);
    t.equal(await keptAfter({ size: 5000, pieceSize: 1000 }), 0);
    await (await store.receive(digest, { size: 5000, pieceSize: 1000 })).discard();
    t.equal(await keptAfter({ size: 5000, pieceSize: 1000 }), 0);
  });

  t.test(`${name}: it knows whether a part of a blob may be there`, async (t) => {
    const store = await makeStore(t, 64 * MiB);
    const { digest, bytes } = sampleBlob(3000);
    const shape = { size: 3000, pieceSize: 1000 };
    t.notOk(store.mayHavePart(digest), 'it has never come');
    const first = await store.receive(digest, shape);
    t.ok(store.mayHavePart(digest), 'it comes in');
    await first.write(bytes.subarray(0, 1000), 0);
    first.record(0, crc32(bytes.subarray(0, 1000)));
    await first.close();
    t.ok(store.mayHavePart(digest), 'a part is kept');
    const second = await store.receive(digest, shape);
    t.equal(second.kept.size, 1);
    await second.write(bytes.subarray(1000), 1000);
    await second.publish(digest, 3000);
    await second.close();
    t.notOk(store.mayHavePart(digest), 'it is published');
    t.ok(await store.remove(digest));
    const third = await store.receive(digest, shape);
    t.equal(third.kept.size, 0);
    await third.discard();
    t.notOk(store.mayHavePart(digest), 'it was discarded');
  });

  t.test(`${name}: a blob of unknown size grows until it is published`, async (t) => {
    const store = await makeStore(t, 4 * MiB);
    const { digest, bytes } = sampleBlob(2 * MiB + 5);
    const incoming = await store.receive(digest, { size: undefined, pieceSize: MiB });
    for (let at = 0; at < bytes.length; at += 700_000) await incoming.write(bytes.subarray(at, at + 700_000), at);
    incoming.record(0, 1);
    await incoming.publish(digest, bytes.length);
    await incoming.close();
    t.ok((await contentOf(store, digest))?.equals(bytes));

    const tooLarge = await store.receive(sampleBlob(1, 'too large').digest, { size: undefined, pieceSize: MiB });
    for (let at = 0; at < 4; at += 1) await tooLarge.write(Buffer.alloc(MiB), at * MiB);
    t.equal(store.sizeOf(digest), undefined, 'the older one has made way');
    await t.rejects(tooLarge.write(Buffer.alloc(1), 4 * MiB), { code: 'STORE_NO_ROOM' });
    await tooLarge.discard();
    await fill(store, { digest, bytes });
    t.ok((await contentOf(store, digest))?.equals(bytes), 'the room is there again');
  });

  t.test(`${name}: the least recently used goes when room is wanted, idle incoming blobs before it`, async (t) => {
    const store = await makeStore(t, 4 * MiB);
    const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map((seed) => sampleBlob(MiB, seed)) as [
      SampleBlob,
      SampleBlob,
      SampleBlob,
      SampleBlob,
      SampleBlob,
    ];
    const here = (): Digest[] => Array.from(store.list(), ({ digest }) => digest);
    await fill(store, a);
    await fill(store, b);
    await fill(store, c);
    t.same(here(), [c.digest, b.digest, a.digest]);
    store.sizeOf(a.digest);
    await contentOf(store, a.digest);
    t.same(here(), [a.digest, c.digest, b.digest], 'opening is a use, asking for the size is not');
    const idle = await store.receive(d.digest, { size: MiB, pieceSize: MiB });
    await writePieces(idle, d.bytes, MiB, [0]);
    await idle.close();
    await fill(store, e);
    t.same(here(), [e.digest, a.digest, c.digest, b.digest]);
    const gone = await store.receive(d.digest, { size: MiB, pieceSize: MiB });
    t.equal(gone.kept.size, 0, 'the idle one went');
    t.same(here(), [e.digest, a.digest, c.digest]);
    await gone.discard();
  });

  t.test(`${name}: what is in use stays, and is not room`, async (t) => {
    const store = await makeStore(t, 3 * MiB);
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((seed) => sampleBlob(MiB, seed)) as [
      SampleBlob,
      SampleBlob,
      SampleBlob,
      SampleBlob,
    ];
    await fill(store, a);
    const readers = [(await store.open(a.digest))!, (await store.open(a.digest))!] as const;
    await fill(store, b);
    await fill(store, c);
    await fill(store, d);
    t.equal(store.sizeOf(b.digest), undefined);
    t.equal(store.sizeOf(a.digest), MiB, 'the oldest, but being read');
    await readers[0].close();
    await t.rejects(store.receive(b.digest, { size: 3 * MiB, pieceSize: MiB }), { code: 'STORE_NO_ROOM' });
    t.equal([...store.list()].length, 3, 'nothing is evicted for what cannot be had');
    await t.rejects(store.receive(b.digest, { size: 3 * MiB + 1, pieceSize: MiB }), { code: 'STORE_NO_ROOM' });

    const two = await store.receive(sampleBlob(2 * MiB).digest, { size: 2 * MiB, pieceSize: MiB });
    t.same([...store.list()], [{ digest: a.digest, size: MiB }]);
    await t.rejects(store.receive(b.digest, { size: MiB, pieceSize: MiB }), { code: 'STORE_NO_ROOM' });
    await readers[1].close();
    await fill(store, b);
    t.equal(store.sizeOf(a.digest), undefined, 'read no more, it could go');
    await two.discard();
  });

  t.test(
    `${name}: a removed blob counts until its last reader is gone; a handle that published counts as one`,
    async (t) => {
      const store = await makeStore(t, 2 * MiB);
      const [a, b] = ['a', 'b'].map((seed) => sampleBlob(2 * MiB, seed)) as [SampleBlob, SampleBlob];
      const incoming = await store.receive(a.digest, { size: a.bytes.length, pieceSize: MiB });
      await incoming.write(a.bytes, 0);
      await incoming.publish(a.digest, a.bytes.length);
      await t.rejects(store.receive(b.digest, { size: b.bytes.length, pieceSize: MiB }), { code: 'STORE_NO_ROOM' });
      const reader = (await store.open(a.digest))!;
      await incoming.close();
      await store.remove(a.digest);
      await t.rejects(store.receive(b.digest, { size: b.bytes.length, pieceSize: MiB }), { code: 'STORE_NO_ROOM' });
      await reader.close();
      await fill(store, b);
      t.ok((await contentOf(store, b.digest))?.equals(b.bytes));
    },
  );

  t.test(`${name}: a blob that is published again replaces the first`, async (t) => {
    const store = await makeStore(t, 64 * MiB);
    const blob = sampleBlob(MiB + 1);
    await fill(store, blob);
    const reader = (await store.open(blob.digest))!;
    await fill(store, blob);
    await fill(store, blob);
    t.same([...store.list()], [{ digest: blob.digest, size: MiB + 1 }]);
    const buffer = Buffer.alloc(MiB);
    t.equal(await reader.read(buffer, 0), MiB);
    t.ok(buffer.equals(blob.bytes.subarray(0, MiB)));
    await reader.close();
    t.ok((await contentOf(store, blob.digest))?.equals(blob.bytes));
  });
}
