import { createHash, type Hash } from 'node:crypto';
import { crc32 } from '../../base/crc32.ts';
import { digestAlgorithm, hasherFor, type Digest } from '../../base/digest.ts';
import { Pieces } from '../../base/pieces.ts';
import { MiB } from '../../base/units.ts';
import type { ByteSource } from '../../base/metrics.ts';
import type { LentBytes } from '../../http/body-source.ts';
import type { BufferPool } from '../../http/buffer-pool.ts';
import type { BlobStore, IncomingBlob } from '../../store/blob-store.ts';
import type { PieceRun } from '../protocol/coordinator.ts';
import { BytesUnderWay } from './bytes-under-way.ts';
import { HashThreadDied } from './errors.ts';
import { HASH_THREAD_LEAST_BYTES, type HashThread } from './hash-thread.ts';
import { HotBytes } from './hot-bytes.ts';
import { Intervals } from './intervals.ts';
import { PieceStretches, type WholePiece } from './piece-crcs.ts';
import { PrefixHash } from './prefix-hash.ts';
import { LocalSums } from './sums.ts';

const NO_PIECES: ReadonlyMap<number, number> = new Map();

/** The bytes of a blob that is coming in: its file, which of them are in it, their check sums, the hash over its prefix. */
export class IncomingBytes {
  readonly #digest: Digest;
  readonly #store: BlobStore;
  readonly #hashThread: HashThread | undefined;
  #hash: PrefixHash;
  readonly #available = new Intervals();
  readonly #kept = new Intervals();
  readonly #fromPeers = new Intervals();
  /** CRCs of pieces whose bytes have all come, but are not all written yet. */
  readonly #crcOf = new Map<number, number>();
  /** Pieces that are whole, or just being found to be. */
  readonly #noted = new Set<number>();
  /** Pieces that are here whole, with their CRC-32. */
  readonly #whole = new Map<number, number>();
  /** Whether an earlier try may have left something: what, is known once `opened` has resolved. */
  readonly mayHaveKept: boolean;
  #file: IncomingBlob | undefined;
  #opening: Promise<void> | undefined;
  #pieces: Pieces | undefined;
  #stretches: PieceStretches | undefined;
  #size: number | undefined;
  #losses = 0;
  readonly #hot: HotBytes;
  readonly #underWay: BytesUnderWay;

  /** `pool`: of the buffers that are written. `hashThread` undefined: all is hashed in this thread. */
  constructor(digest: Digest, store: BlobStore, pool: BufferPool, hashThread?: HashThread) {
    this.#hot = new HotBytes(pool);
    this.#underWay = new BytesUnderWay(pool);
    this.#digest = digest;
    this.#store = store;
    this.#hashThread = hashThread;
    this.mayHaveKept = store.mayHavePart(digest);
    this.#hash = this.#freshHash();
  }

  /** The blob's size in bytes, once known. */
  get size(): number | undefined {
    return this.#size;
  }

  /** Its pieces, once its size is known. */
  get pieces(): Pieces | undefined {
    return this.#pieces;
  }

  /** Pieces that an earlier try has left, with their CRC-32; known once `opened` has resolved. */
  get keptPieces(): ReadonlyMap<number, number> {
    return this.#file?.kept ?? NO_PIECES;
  }

  /** Sets the size and begins to open the file. */
  sizeIs(size: number): Pieces {
    this.#size = size;
    this.#pieces = new Pieces(size);
    this.#stretches = new PieceStretches(this.#pieces);
    if (size >= HASH_THREAD_LEAST_BYTES && this.#hash.cursor === 0) {
      const sums = this.#hashThread?.open(digestAlgorithm(this.#digest));
      if (sums) this.#hash = new PrefixHash(sums);
    }
    // Who waits for it hears of a failure.
    this.opened().catch(() => undefined);
    return this.#pieces;
  }

  /** As `sizeIs`, of a blob of which nothing is to be kept: no file is opened. */
  isOnlyOfSize(size: number): void {
    this.#size = size;
    this.#pieces = new Pieces(size);
  }

  /** Opens the file unless it is open; without a size yet, one that cannot be resumed. Rejects as `BlobStore.receive`. */
  opened(): Promise<void> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** Resolves once the file is open, where that has begun. Rejects as `opened`. */
  async whenOpen(): Promise<void> {
    await this.#opening;
  }

  /** Whether something of an earlier try is among the bytes. Resolves once that is known. */
  async hasKept(): Promise<boolean> {
    await this.#opening?.catch(() => undefined);
    return (this.#file?.kept.size ?? 0) > 0;
  }

  /** Who gave the byte at `position`; `store`: an earlier try has left it. */
  sourceAt(position: number): ByteSource {
    if (this.#kept.endFrom(position) > position) return 'store';
    return this.#fromPeers.endFrom(position) > position ? 'peers' : 'origin';
  }

  /** The pieces that are here whole, with their CRC-32 where this process has seen it. */
  get wholePieces(): ReadonlyMap<number, number> {
    return this.#whole;
  }

  /** Whether the bytes belong to pieces that are here whole. */
  hasWhole(start: number, end: number): boolean {
    const pieces = this.#pieces;
    if (!pieces || end > pieces.blobSize) return false;
    for (let piece = pieces.at(start); pieces.start(piece) < end; piece += 1) if (!this.#whole.has(piece)) return false;
    return true;
  }

  /** How far the bytes from `position` on are here without a gap, in the file or on their way to it. */
  endFrom(position: number): number {
    for (let end = position; ;) {
      const next = this.#available.endFrom(this.#underWay.endFrom(end));
      if (next === end) return end;
      end = next;
    }
  }

  /** Whether these bytes are all here, in the file or on their way to it. */
  covers(start: number, end: number): boolean {
    return this.#available.covers(start, end) || this.endFrom(start) >= end;
  }

  /** The first byte of piece `index`; of the blob while its size is not known. */
  startOfPiece(index: number): number {
    return this.#pieces?.start(index) ?? 0;
  }

  /** The byte after piece `index`; Infinity while the size is not known. */
  endOfPiece(index: number): number {
    return this.#pieces?.end(index) ?? Number.POSITIVE_INFINITY;
  }

  /** The byte after the piece that holds the byte at `position`; that byte itself while the size is not known. */
  pieceEndAt(position: number): number {
    return this.#pieces ? this.#pieces.end(this.#pieces.at(position)) : position;
  }

  /** First missing byte and end (exclusive) of a run of pieces; undefined when all of it is here. */
  missingOf(run: PieceRun): { start: number; end: number } | undefined {
    if (!this.#pieces) return { start: 0, end: Number.POSITIVE_INFINITY };
    const start = this.#available.endFrom(this.#pieces.start(run.first));
    const end = this.#pieces.end(Math.min(this.#pieces.count, run.first + run.count) - 1);
    return start < end ? { start, end } : undefined;
  }

  /**
   * Writes bytes; gives the pieces that have become whole with them. With `pieceCrc32` they are of one piece, which has that
   * CRC-32. Rejects as `IncomingBlob.write`. Once the file is open, readers may have them from the moment of the call.
   */
  async write(bytes: Buffer, position: number, source: 'origin' | 'peers', pieceCrc32?: number): Promise<WholePiece[]> {
    if (!this.#file) await this.opened();
    // Two reads may bring the same bytes; the second must not write into what may be verified by now.
    if (this.#available.covers(position, position + bytes.length)) return [];
    if (pieceCrc32 !== undefined) this.#crcOf.set(this.#pieces!.at(position), pieceCrc32);
    const summing = this.#summed(bytes, position, pieceCrc32 === undefined);
    if (source === 'peers') this.#fromPeers.add(position, position + bytes.length);
    const part = this.#underWay.begin(bytes, position);
    try {
      await this.#file!.write(bytes, position);
    } catch (error) {
      this.#underWay.failed(part);
      throw error;
    } finally {
      // Where they are hashed in the other thread they are not to be changed before.
      if (summing) await summing;
    }
    this.#hot.keep(bytes, position);
    this.#available.add(position, position + bytes.length);
    this.#underWay.written(part);
    return this.#wholeBetween(position, position + bytes.length);
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const inMemory = this.#hot.read(buffer, position) || this.#underWay.read(buffer, position);
    return inMemory || this.#file!.read(buffer, position);
  }

  /** As `BodySource.lend`. */
  lend(position: number, length: number): LentBytes | undefined {
    return this.#hot.lend(position, length) ?? this.#underWay.lend(position, length);
  }

  /** Hashes what came early, up to the first gap. Rejects when it cannot be read back. */
  async catchUp(): Promise<void> {
    const file = this.#file;
    if (!file) return;
    const hash = this.#hash;
    const end = () => this.#available.endFrom(hash.cursor);
    try {
      const from = {
        lend: (position: number, length: number) => this.#hot.lend(position, length),
        read: (buffer: Uint8Array, position: number) => file.read(buffer, position),
      };
      await hash.catchUp(from, end);
    } catch (error) {
      if (!(error instanceof HashThreadDied)) throw error;
      this.#hashHere(hash);
      await this.catchUp();
    }
  }

  /** Whether every byte is here and hashed. */
  get isComplete(): boolean {
    const size = this.#size;
    if (size === undefined || !this.#file) return false;
    return this.#hash.cursor >= size && this.#available.covers(0, size);
  }

  /** The digest of all bytes, once complete; ends the hash. */
  digestOfAll(): Digest {
    return this.#hash.finish();
  }

  /** As `digestOfAll`, but hashed anew from the file; undefined where not all is here, or a piece was lost meanwhile. */
  async hashAgain(): Promise<Digest | undefined> {
    const hash = this.#freshHash();
    this.#hash.close();
    this.#hash = hash;
    this.#hot.clear();
    await this.catchUp();
    return this.#hash === hash && this.isComplete ? hash.finish() : undefined;
  }

  /** A hash that has taken in the bytes before `position`, read back; `covers(0, position)` must hold. */
  async hashBefore(position: number): Promise<Hash> {
    const hash = hasherFor(this.#digest);
    const buffer = Buffer.allocUnsafe(Math.min(position, MiB));
    for (let at = 0; at < position;) {
      const count = await this.read(buffer.subarray(0, position - at), at);
      hash.update(buffer.subarray(0, count));
      at += count;
    }
    return hash;
  }

  // --- pieces that are in doubt ---

  /** How many times a piece was lost: bytes that were read while this has changed are not to be used. */
  get losses(): number {
    return this.#losses;
  }

  /** Whether all pieces are here. */
  get isWhole(): boolean {
    return this.#pieces !== undefined && this.#whole.size === this.#pieces.count;
  }

  hasPiece(piece: number): boolean {
    return this.#whole.has(piece);
  }

  /** Whether this process has read all of the piece from the origin itself. */
  isOwn(piece: number): boolean {
    const [start, end] = this.#span(piece);
    return this.#whole.has(piece) && !this.#kept.overlaps(start, end) && !this.#fromPeers.overlaps(start, end);
  }

  /** SHA-256 of a piece that is here, read back, in base64url. */
  async sha256Of(piece: number): Promise<string> {
    const [start, end] = this.#span(piece);
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(Math.min(end - start, MiB));
    for (let at = start; at < end;) {
      const count = await this.read(buffer.subarray(0, end - at), at);
      hash.update(buffer.subarray(0, count));
      at += count;
    }
    return hash.digest('base64url');
  }

  /** A piece that is here is wrong: it is missing again, and the hash starts over. False: it is not here. */
  lose(piece: number): boolean {
    const crc32 = this.#whole.get(piece);
    if (crc32 === undefined) return false;
    this.#losses += 1;
    this.#hot.clear();
    // A later process reads the journal: it is not to keep these bytes for having this check sum.
    this.#file!.record(piece, ~crc32 >>> 0);
    this.#whole.delete(piece);
    this.#noted.delete(piece);
    for (const known of [this.#available, this.#kept, this.#fromPeers]) known.remove(...this.#span(piece));
    this.#hash.close();
    this.#hash = this.#freshHash();
    return true;
  }

  /** Writes a part of a piece that is missing, without further ado: see `restore`. Rejects as `IncomingBlob.write`. */
  async patch(bytes: Buffer, position: number): Promise<void> {
    this.#hot.clear();
    await this.#file!.write(bytes, position);
  }

  /** All of a missing piece was written by `patch`, with what this process has read from the origin. */
  restore(piece: number, crc32: number): void {
    if (this.#whole.has(piece)) return;
    for (const given of [this.#kept, this.#fromPeers]) given.remove(...this.#span(piece));
    this.#available.add(...this.#span(piece));
    this.#noted.add(piece);
    this.#whole.set(piece, crc32);
    this.#file!.record(piece, crc32);
  }

  #span(piece: number): [start: number, end: number] {
    const pieces = this.#pieces!;
    return [pieces.start(piece), pieces.end(piece)];
  }

  // --- its end ---

  /** Rejects as `IncomingBlob.publish`. */
  publish(): Promise<void> {
    return this.#file!.publish(this.#digest, this.#size!);
  }

  /** Closes the file, once it is open: an incoming file that is just being opened must not stay behind. */
  async close(what: 'keep' | 'discard'): Promise<void> {
    this.#hot.close();
    this.#underWay.close();
    this.#hash.close();
    await this.#opening?.catch(() => undefined);
    await (what === 'keep' ? this.#file?.close() : this.#file?.discard());
  }

  // --- its sums ---

  #freshHash(): PrefixHash {
    return new PrefixHash(new LocalSums(digestAlgorithm(this.#digest)));
  }

  /** Takes bytes into hash and CRCs (`withCrcs`); undefined: that is done. */
  #summed(bytes: Uint8Array, position: number, withCrcs: boolean): Promise<void> | undefined {
    const hash = this.#hash;
    const stretches = (withCrcs && this.#stretches?.take(bytes.length, position)) || [];
    const whole = hash.feed(bytes, position, stretches);
    if (!(whole instanceof Promise)) {
      this.#know(whole);
      return undefined;
    }
    return whole.then(
      (pieces) => this.#know(pieces),
      () => this.#hashHere(hash),
    );
  }

  #know(pieces: readonly WholePiece[]): void {
    for (const { piece, crc32 } of pieces) this.#crcOf.set(piece, crc32);
  }

  /** The other thread has died with what it had hashed: all is read back, and hashed in this one. */
  #hashHere(lost: PrefixHash): void {
    if (this.#hash === lost) this.#hash = this.#freshHash();
  }

  async #open(): Promise<void> {
    const pieces = this.#pieces;
    const shape = { size: this.#size, pieceSize: pieces?.pieceSize ?? MiB };
    this.#file = await this.#store.receive(this.#digest, shape);
    if (!pieces) return;
    for (const [piece, crc32] of this.#file.kept) {
      this.#noted.add(piece);
      this.#whole.set(piece, crc32);
      this.#available.add(pieces.start(piece), pieces.end(piece));
      this.#kept.add(pieces.start(piece), pieces.end(piece));
    }
  }

  async #wholeBetween(start: number, end: number): Promise<WholePiece[]> {
    const pieces = this.#pieces;
    const whole: WholePiece[] = [];
    if (!pieces) return whole;
    for (let piece = pieces.at(start); piece < pieces.count && pieces.start(piece) < end; piece += 1) {
      if (this.#noted.has(piece) || !this.#available.covers(pieces.start(piece), pieces.end(piece))) continue;
      this.#noted.add(piece);
      const crc32 = this.#crcOf.get(piece) ?? (await this.#crcFromFile(pieces.start(piece), pieces.end(piece)));
      this.#crcOf.delete(piece);
      this.#whole.set(piece, crc32);
      this.#file!.record(piece, crc32);
      whole.push({ piece, crc32 });
    }
    return whole;
  }

  /** For a piece whose bytes did not come in order: two reads met in it. */
  async #crcFromFile(start: number, end: number): Promise<number> {
    const buffer = Buffer.allocUnsafe(end - start);
    for (let at = start; at < end;) at += await this.read(buffer.subarray(at - start), at);
    return crc32(buffer);
  }
}
