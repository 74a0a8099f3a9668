import assert from 'node:assert/strict';
import { readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { crc32 } from 'node:zlib';
import { codeOf } from '../../src/base/errors.ts';
import type { IncomingBlob, StoredBlob } from '../../src/store/blob-store.ts';
import type { DiskStore } from '../../src/store/disk-store.ts';
import { RECORD_BYTES } from '../../src/store/journal.ts';
import { Layout } from '../../src/store/layout.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { PATIENCE_MS } from '../support/patience.ts';
import { contentOf, sampleBlob, writePieces, type SampleBlob } from '../support/store-conformance.ts';
import { FaultyFiles, systemError } from './faulty-files.ts';
import { bytesOnDisk, KiB4, openStore, temporaryDirectory } from './temporary.ts';

const PIECE = KiB4;
/** The second is what some starts have. */
const QUOTAS = [12 * KiB4, 7 * KiB4] as const;
const TWO_DAYS_MS = 2 * 24 * 3_600_000;
const BLOBS = [0, 1, KiB4, 2 * KiB4 + 7, 5 * KiB4, 9 * KiB4].map((size, seed) => sampleBlob(size, seed));

interface Incoming {
  readonly handle: IncomingBlob;
  readonly known: boolean;
  /** Pieces written right, and whether each was noted in the journal. */
  readonly good: Set<number>;
  readonly recorded: Set<number>;
  published: boolean;
  journalBytes: number;
}

function pieceOf({ bytes }: SampleBlob, piece: number): Buffer {
  return bytes.subarray(piece * PIECE, (piece + 1) * PIECE);
}

function pieceCount({ bytes }: SampleBlob): number {
  return Math.ceil(bytes.length / PIECE);
}

/** A store, and what we did to it: enough to know what it may and must answer. */
class Model {
  readonly #t: Test;
  readonly #dir: string;
  readonly #layout: Layout;
  readonly #incoming = new Map<SampleBlob, Incoming>();
  readonly #readers = new Map<SampleBlob, StoredBlob>();
  /** Pieces that a later `receive` must find, unless the whole try was evicted. */
  readonly #kept = new Map<SampleBlob, Set<number>>();
  readonly #isRotten = new Set<SampleBlob>();
  readonly #clock = new ManualClock(Date.now());
  #files = new FaultyFiles();
  #quota: number = QUOTAS[0];
  #isFull = false;
  #store!: DiskStore;

  constructor(t: Test, dir: string) {
    this.#t = t;
    this.#dir = dir;
    this.#layout = new Layout(dir);
  }

  async start(quota: number = QUOTAS[0]): Promise<void> {
    this.#quota = quota;
    const files = new FaultyFiles();
    files.fault = ({ op, path }) =>
      this.#isFull && ['file.write', 'open create'].includes(op) && !path.endsWith('.journal')
        ? systemError('ENOSPC')
        : undefined;
    this.#files = files;
    const options = { quotaBytes: quota, files, clock: this.#clock };
    ({ store: this.#store } = await openStore(this.#t, this.#dir, options));
    assert.equal(this.#store.usage().bytes, await bytesOnDisk(this.#dir), 'the books, after a start');
  }

  async stop(crash: boolean): Promise<void> {
    for (const blob of BLOBS) await this.endReading(blob);
    for (const [blob, incoming] of this.#incoming) {
      if (crash) await this.#journalWritten(blob, incoming);
      this.#noteKept(blob, incoming);
    }
    this.#incoming.clear();
    if (crash) this.#files.dieAt = this.#files.calls.length;
    await this.#store.close();
    if (crash) return;
    assert.equal(this.#store.usage().bytes, await bytesOnDisk(this.#dir), 'the books, after the end');
    const names = await readdir(this.#dir, { recursive: true });
    // What notes checks is written anew in passing, and is whole or not there: on a full disk it may stay as it was begun.
    const litter = names.filter((name) => name.endsWith('.new') && !name.endsWith('verified.new'));
    assert.deepEqual(litter, [], 'no litter');
    for (const name of names.filter((name) => /incoming\/[^/]+\.journal$/.test(name))) {
      assert.ok(names.includes(name.slice(0, -'.journal'.length)), 'a journal with its data');
    }
  }

  async receive(blob: SampleBlob, known: boolean): Promise<void> {
    if (this.#incoming.has(blob)) return;
    const size = known ? blob.bytes.length : undefined;
    const handle = await orNoRoom(this.#store.receive(blob.digest, { size, pieceSize: PIECE }));
    if (!handle) return;
    for (const [piece, crc] of handle.kept) assert.equal(crc, crc32(pieceOf(blob, piece)), 'a kept piece is good');
    if (known && handle.kept.size > 0) {
      for (const piece of this.#kept.get(blob) ?? []) assert.ok(handle.kept.has(piece), `piece ${piece} is kept`);
    }
    this.#kept.delete(blob);
    const journalBytes = known ? (await stat(this.#layout.incomingJournal(blob.digest))).size : 0;
    const kept = [...handle.kept.keys()];
    this.#incoming.set(blob, {
      handle,
      known,
      good: new Set(kept),
      recorded: new Set(kept),
      published: false,
      journalBytes,
    });
  }

  async write(blob: SampleBlob, choice: readonly number[]): Promise<void> {
    const incoming = this.#incoming.get(blob);
    if (!incoming || incoming.published) return;
    const all = [...Array(pieceCount(blob)).keys()];
    const pieces = incoming.known ? choice.filter((piece) => piece < all.length) : all;
    const written = await orNoRoom(writePieces(incoming.handle, blob.bytes, PIECE, pieces).then(() => true));
    if (!written) return;
    if (incoming.known) incoming.journalBytes += pieces.length * RECORD_BYTES;
    for (const piece of pieces) {
      incoming.good.add(piece);
      incoming.recorded.add(piece);
    }
  }

  async spoil(blob: SampleBlob): Promise<void> {
    const incoming = this.#incoming.get(blob);
    if (!incoming || blob.bytes.length === 0) return;
    const spoilt = incoming.handle.write(Buffer.from([blob.bytes[0]! ^ 1]), 0).then(() => incoming.good.delete(0));
    if (incoming.published) await assert.rejects(spoilt, { code: 'STORE_WRITE_FAILED' });
    else await orNoRoom(spoilt);
  }

  async publish(blob: SampleBlob): Promise<void> {
    const incoming = this.#incoming.get(blob);
    if (!incoming || incoming.good.size < pieceCount(blob)) return;
    if (!incoming.published) {
      const another = BLOBS.find((one) => one !== blob)!;
      const wrong = incoming.handle.publish(another.digest, blob.bytes.length);
      await assert.rejects(wrong, { code: 'STORE_DIGEST_MISMATCH' });
      const short = incoming.handle.publish(blob.digest, blob.bytes.length + 1);
      await assert.rejects(short, { code: 'STORE_SIZE_MISMATCH' });
    }
    // A second time it says what came of the first, and does nothing: what was removed since stays away.
    const size = incoming.published ? this.#store.sizeOf(blob.digest) : blob.bytes.length;
    await incoming.handle.publish(blob.digest, blob.bytes.length);
    incoming.published = true;
    assert.equal(this.#store.sizeOf(blob.digest), size);
  }

  async end(blob: SampleBlob, how: 'close' | 'discard'): Promise<void> {
    const incoming = this.#incoming.get(blob);
    if (!incoming) return;
    if (how === 'close') this.#noteKept(blob, incoming);
    await incoming.handle[how]();
    this.#incoming.delete(blob);
  }

  async fill(blob: SampleBlob): Promise<void> {
    if (this.#incoming.has(blob)) return;
    const { digest, bytes } = blob;
    const incoming = await orNoRoom(this.#store.receive(digest, { size: bytes.length, pieceSize: PIECE }));
    this.#kept.delete(blob);
    if (!incoming) return;
    const isWritten = await orNoRoom(incoming.write(bytes, 0).then(() => true));
    if (isWritten) await incoming.publish(digest, bytes.length);
    await incoming.close();
  }

  /** Others take the last of the disk, or give it back. */
  fullDisk(isFull: boolean): void {
    this.#isFull = isFull;
  }

  /** A bit of a stored file flips, and nothing shows it; it is found by who reads it a while later. */
  async rot(blob: SampleBlob, at: number, isReadNow: boolean): Promise<void> {
    if (this.#store.sizeOf(blob.digest) === undefined || this.#isInUse(blob) || blob.bytes.length === 0) return;
    await this.#files.rot(this.#layout.blob(blob.digest), at % blob.bytes.length);
    this.#clock.set(TWO_DAYS_MS);
    this.#isRotten.add(blob);
    if (isReadNow) await this.open(blob);
  }

  /** A stored file is cut under the store: whoever asks for it next does not get it, and it may come in again. */
  async cut(blob: SampleBlob): Promise<void> {
    if (this.#store.sizeOf(blob.digest) === undefined || this.#isInUse(blob) || blob.bytes.length === 0) return;
    await truncate(this.#layout.blob(blob.digest), blob.bytes.length - 1);
    assert.equal(await this.#store.open(blob.digest), undefined);
    assert.equal(this.#store.sizeOf(blob.digest), undefined);
  }

  #isInUse(blob: SampleBlob): boolean {
    return this.#readers.has(blob) || this.#incoming.get(blob)?.published === true;
  }

  async open(blob: SampleBlob): Promise<void> {
    const wasHere = this.#store.sizeOf(blob.digest) !== undefined;
    const content = await contentOf(this.#store, blob.digest);
    if (!content) {
      assert.ok(!wasHere || this.#isRotten.has(blob), 'what is here can be had');
      assert.equal(this.#store.sizeOf(blob.digest), undefined, 'what has rotted is dropped');
      this.#isRotten.delete(blob);
      return;
    }
    // It has come in again.
    this.#isRotten.delete(blob);
    assert.ok(content.equals(blob.bytes), 'a stored blob has the right bytes');
    const reader = this.#readers.has(blob) ? undefined : await this.#store.open(blob.digest);
    if (reader) this.#readers.set(blob, reader);
  }

  async endReading(blob: SampleBlob): Promise<void> {
    await this.#readers.get(blob)?.close();
    this.#readers.delete(blob);
  }

  async remove(blob: SampleBlob): Promise<void> {
    const here = this.#store.sizeOf(blob.digest) !== undefined;
    assert.equal(await this.#store.remove(blob.digest), here);
    assert.equal(this.#store.sizeOf(blob.digest), undefined);
  }

  async check(): Promise<void> {
    assert.ok(this.#store.usage().bytes <= this.#quota, 'the quota is kept');
    for (const [{ bytes }, reader] of this.#readers) {
      const buffer = Buffer.alloc(bytes.length);
      assert.equal(await reader.read(buffer, 0), bytes.length);
      assert.ok(buffer.equals(bytes), 'what is being read stays as it is');
    }
  }

  #noteKept(blob: SampleBlob, { known, published, good, recorded }: Incoming): void {
    if (known && !published) this.#kept.set(blob, new Set([...recorded].filter((piece) => good.has(piece))));
  }

  /** The journal is written in the background. */
  async #journalWritten(blob: SampleBlob, { known, published, journalBytes }: Incoming): Promise<void> {
    if (!known || published) return;
    const end = performance.now() + PATIENCE_MS;
    while ((await stat(this.#layout.incomingJournal(blob.digest))).size < journalBytes)
      assert.ok(performance.now() < end, 'the journal is written');
  }
}

async function orNoRoom<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'STORE_NO_ROOM') return undefined;
    throw error;
  }
}

type Step = (model: Model) => Promise<void>;

function step(text: string, run: Step): { run: Step; toString(): string } {
  return { run, toString: () => text };
}

const blob = fc.nat({ max: BLOBS.length - 1 });
const steps = fc.oneof(
  fc.tuple(blob, fc.boolean()).map(([i, known]) => step(`receive ${i} ${known}`, (m) => m.receive(BLOBS[i]!, known))),
  fc
    .tuple(blob, fc.array(fc.nat({ max: 8 }), { maxLength: 9 }))
    .map(([i, pieces]) => step(`write ${i} ${pieces.join()}`, (m) => m.write(BLOBS[i]!, pieces))),
  blob.map((i) => step(`write all of ${i}`, (m) => m.write(BLOBS[i]!, [0, 1, 2, 3, 4, 5, 6, 7, 8]))),
  blob.map((i) => step(`spoil ${i}`, (m) => m.spoil(BLOBS[i]!))),
  blob.map((i) => step(`publish ${i}`, (m) => m.publish(BLOBS[i]!))),
  blob.map((i) => step(`close ${i}`, (m) => m.end(BLOBS[i]!, 'close'))),
  blob.map((i) => step(`discard ${i}`, (m) => m.end(BLOBS[i]!, 'discard'))),
  blob.map((i) => step(`fill ${i}`, (m) => m.fill(BLOBS[i]!))),
  blob.map((i) => step(`open ${i}`, (m) => m.open(BLOBS[i]!))),
  blob.map((i) => step(`end reading ${i}`, (m) => m.endReading(BLOBS[i]!))),
  blob.map((i) => step(`remove ${i}`, (m) => m.remove(BLOBS[i]!))),
  blob.map((i) => step(`cut ${i}`, (m) => m.cut(BLOBS[i]!))),
  fc
    .tuple(blob, fc.nat(), fc.boolean())
    .map(([i, at, now]) => step(`rot ${i} at ${at}${now ? ', read' : ''}`, (m) => m.rot(BLOBS[i]!, at, now))),
  fc.boolean().map((isFull) => step(`disk ${isFull ? 'full' : 'free'}`, async (m) => m.fullDisk(isFull))),
  fc.tuple(fc.boolean(), fc.constantFrom(...QUOTAS)).map(([crash, quota]) =>
    step(`${crash ? 'crash' : 'restart'}, ${quota}`, async (m) => {
      await m.stop(crash);
      await m.start(quota);
    }),
  ),
);

t.test('whatever is done to it, it gives no wrong byte, keeps good pieces, its quota and its books', async (t) => {
  const base = await temporaryDirectory(t);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { maxLength: 60, size: 'max' }), async (steps) => {
      run += 1;
      const model = new Model(t, join(base, `${run}`));
      await model.start();
      for (const { run } of steps) {
        await run(model);
        await model.check();
      }
      await model.stop(false);
    }),
    { numRuns: 100 },
  );
});
