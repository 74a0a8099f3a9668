/*
 * One blob that is coming in.
 *
 * Who owns what: the download owns the incoming file, the set of bytes that are in it and the hash over its prefix. Its
 * fetcher owns the reads from sources and writes through `RunTarget`. Its readers (one a client's response) only read; the
 * slowest of them holds nobody back. Bytes go: source → run writer (1 MiB) → hash and CRC → file → each reader's own ring.
 *
 * It ends in one of four ways: verified and published; failed (no source can give what is missing: readers are cut off);
 * left idle (nobody reads: what came stays in the store for later); or the store cannot take it, and each reader goes on
 * with a read of its own (`ThroughBody`).
 */
import { crc32 } from 'node:zlib';
import type { Clock } from '../../base/clock.ts';
import { hasherFor, type Digest } from '../../base/digest.ts';
import { asError, codeOf, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { ByteSource } from '../../base/metrics.ts';
import { Pieces } from '../../base/pieces.ts';
import { MiB } from '../../base/units.ts';
import type { BufferPool } from '../../http/buffer-pool.ts';
import type { BlobHead } from '../../http/byte-sink.ts';
import type { BlobStore, IncomingBlob } from '../../store/blob-store.ts';
import type { Coordinator, PieceRun } from '../protocol/coordinator.ts';
import { BlobDigestMismatch, BlobUnavailable, BlobWrongSize, DownloadsClosed } from './errors.ts';
import { Fetcher, type FetchTarget } from './fetcher.ts';
import { Intervals } from './intervals.ts';
import { PieceCrcs } from './piece-crcs.ts';
import type { PieceSource } from './piece-source.ts';
import { PrefixHash } from './prefix-hash.ts';
import { Reader, type AskedRange } from './reader.ts';
import { releasedTo } from './release.ts';
import { Signal } from './signal.ts';
import { ThroughBody } from './through-body.ts';

/** How far a read goes ahead of clients that want a range only. */
export const READ_AHEAD_BYTES = 8 * MiB;
/** A download that nobody has read for so long finishes its pieces and stops asking. */
export const IDLE_MS = 30_000;
/** A read held back by a slow client for so long gives its connection to the origin back. */
export const HELD_BACK_READ_MS = 5000;

export interface DownloadDeps {
  readonly store: BlobStore;
  readonly coordinator: Coordinator;
  readonly pool: BufferPool;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface DownloadRequest {
  readonly digest: Digest;
  /** Where this client may read it. */
  readonly origin: PieceSource;
  /** Its size in bytes as a manifest says, or an earlier answer of the origin. */
  readonly size: number | undefined;
  /**
   * Set where that origin has not yet said that the client may read it: asks it. Called only where bytes would go out that
   * the origin does not give in this very download. Rejects with the origin's no.
   */
  readonly confirm?: (() => Promise<void>) | undefined;
}

/** A download, as status pages show it. */
export interface DownloadStatus {
  readonly digest: Digest;
  /** In bytes; null while nobody has said it. */
  readonly size: number | null;
  /** Bytes that are here, from the front on. */
  readonly inOrder: number;
  readonly readers: number;
}

export class Download implements FetchTarget {
  readonly digest: Digest;
  readonly #deps: DownloadDeps;
  readonly #origins: PieceSource[];
  readonly #available = new Intervals();
  readonly #fromStore = new Intervals();
  readonly #readers = new Set<Reader>();
  readonly #changed = new Signal();
  readonly #flow = new Signal();
  readonly #hash: PrefixHash;
  readonly #ended: (until: Promise<void> | undefined) => void;
  #fetching: Fetcher | undefined;
  #incoming: IncomingBlob | undefined;
  #opening: Promise<void> | undefined;
  #pieces: Pieces | undefined;
  #crcs: PieceCrcs | undefined;
  /** Of pieces whose bytes have all come, but are not all written yet. */
  readonly #crcOf = new Map<number, number>();
  readonly #reported = new Set<number>();
  #size: number | undefined;
  #mediaType: string | undefined;
  #verified = false;
  #through = false;
  #failure: Error | undefined;
  #finishing = false;
  #wantsWhole = false;
  #cancelIdle: (() => void) | undefined;
  #cancelHeldBack: (() => void) | undefined;
  #over = false;
  #keep = true;
  #closing: Promise<void> | undefined;

  /**
   * `ended` is called once, when requests for the blob are to start afresh: it is in the store, or not coming any more; with
   * a promise where they have to wait until its incoming file is closed.
   */
  constructor(deps: DownloadDeps, request: DownloadRequest, ended: (until: Promise<void> | undefined) => void) {
    this.#deps = deps;
    this.digest = request.digest;
    this.#ended = ended;
    this.#origins = [request.origin];
    this.#hash = new PrefixHash(request.digest);
    void this.#start(request);
  }

  get mediaType(): string | undefined {
    return this.#mediaType;
  }

  /**
   * Whether what a client gets who may read the blob at the origin `name` is all given by that origin, now. Known once what
   * an earlier try has left is.
   */
  async isFrom(name: string): Promise<boolean> {
    await this.#opening?.catch(() => undefined);
    return this.#origins[0]?.name === name && (this.#incoming?.kept.size ?? 0) === 0;
  }

  get isIdle(): boolean {
    return this.#readers.size === 0;
  }

  status(): DownloadStatus {
    const { digest } = this;
    return { digest, size: this.#size ?? null, inOrder: this.#available.endFrom(0), readers: this.#readers.size };
  }

  /**
   * Joins a client: `range` undefined wants the whole blob, of which it has the bytes before `from` already. Resolves when
   * its first bytes may be sent.
   */
  async join(
    request: DownloadRequest,
    range: AskedRange | undefined,
    signal: AbortSignal,
    from = range?.start ?? 0,
  ): Promise<Reader> {
    const reader = new Reader(this, { origin: request.origin.name, range, position: from });
    this.#readers.add(reader);
    this.#cancelIdle?.();
    this.#cancelIdle = undefined;
    if (!this.#origins.some((known) => known.name === request.origin.name)) {
      this.#origins.push(request.origin);
      this.#fetching?.addOrigin(request.origin);
    }
    const hangUp = () => reader.close();
    signal.addEventListener('abort', hangUp, { once: true });
    try {
      this.#demand();
      while (this.#size === undefined && !this.#failureOf(reader) && !signal.aborted) await this.#changed.wait();
      if (this.#size === undefined) throw this.#failureOf(reader) ?? asError(signal.reason);
      reader.setSize(this.#size);
      if (reader.position < reader.end) await reader.ready(reader.position);
      signal.throwIfAborted();
      return reader;
    } catch (error) {
      reader.close();
      throw signal.aborted ? asError(signal.reason) : error;
    } finally {
      signal.removeEventListener('abort', hangUp);
    }
  }

  // --- what readers ask ---

  /** See `BodySource.ready`. */
  async readyFor(reader: Reader, position: number): Promise<number> {
    reader.position = position;
    this.#flow.fire();
    let said = false;
    for (;;) {
      if (reader.through) return reader.through.ready(position);
      const failure = this.#failureOf(reader);
      if (failure) throw failure;
      const end = this.#releasedTo(reader, position);
      if (end > position) return end;
      if (reader.closed) throw new Error('closed');
      if (this.#through) {
        reader.through = await this.#startThrough(reader, position);
        continue;
      }
      if (!said) this.#demand();
      said = true;
      reader.waitsAt = position;
      await this.#changed.wait();
      reader.waitsAt = undefined;
    }
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return this.#failure ? Promise.reject(this.#failure) : this.#incoming!.read(buffer, position);
  }

  /** Who gave the byte at `position`. */
  sourceAt(position: number): ByteSource {
    return this.#fromStore.endFrom(position) > position ? 'store' : 'origin';
  }

  leave(reader: Reader): void {
    if (!this.#readers.delete(reader)) return;
    this.#changed.fire();
    if (this.#readers.size > 0) this.#demand();
    else if (this.#over) void this.#closeIncoming();
    else this.#cancelIdle = this.#deps.clock.after(IDLE_MS, () => void this.#leaveIdle());
  }

  // --- what the fetcher asks (FetchTarget) ---

  size(): number | undefined {
    return this.#size;
  }

  missingOf(run: PieceRun): { start: number; end: number } | undefined {
    if (!this.#pieces) return { start: 0, end: Number.POSITIVE_INFINITY };
    const first = this.#pieces.start(run.first);
    const end = this.#pieces.end(Math.min(this.#pieces.count, run.first + run.count) - 1);
    const start = this.#available.endFrom(first);
    return start < end ? { start, end } : undefined;
  }

  pieceEndAt(position: number): number {
    return this.#pieces ? this.#pieces.end(this.#pieces.at(position)) : position;
  }

  endOfPiece(index: number): number {
    return this.#pieces ? this.#pieces.end(index) : Number.POSITIVE_INFINITY;
  }

  begin(head: BlobHead): void {
    if (head.mediaType !== undefined) this.#mediaType ??= head.mediaType;
    if (!head.ranges) this.#fetching?.report({ kind: 'no-ranges' });
    if (head.total === undefined) return;
    if (this.#size === undefined) this.#sizeIs(head.total);
    else if (head.total !== this.#size) {
      throw new BlobWrongSize({ digest: this.digest, expected: this.#size, actual: head.total, source: 'the origin' });
    }
  }

  async store(bytes: Buffer, position: number): Promise<void> {
    this.#opening ??= this.#open();
    await this.#opening;
    for (const { piece, crc32 } of this.#crcs?.feed(bytes, position) ?? []) this.#crcOf.set(piece, crc32);
    this.#hash.feed(bytes, position);
    await this.#incoming!.write(bytes, position);
    this.#available.add(position, position + bytes.length);
    await this.#reportPieces(position, position + bytes.length);
    this.#advance();
  }

  denied(name: string, error: Error): void {
    const at = this.#origins.findIndex((origin) => origin.name === name);
    if (at >= 0) this.#origins.splice(at, 1);
    // Others may still read it elsewhere; these may not.
    for (const reader of this.#readers) if (reader.origin === name) reader.failure = error;
    this.#changed.fire();
  }

  isAwaited(start: number, end: number): boolean {
    for (const { waitsAt } of this.#readers)
      if (waitsAt !== undefined && waitsAt >= start && waitsAt < end) return true;
    return false;
  }

  mayReadTo(position: number): number {
    if (this.#wantsWhole || this.#size === undefined) return Number.POSITIVE_INFINITY;
    let to = 0;
    for (const reader of this.#readers) {
      // To the end of the last piece that it needs: a part of a piece is of no use to anybody else.
      const wanted = this.pieceEndAt(reader.end - 1);
      const isNear = wanted > position && reader.position <= position + READ_AHEAD_BYTES;
      if (isNear) to = Math.max(to, reader.position + READ_AHEAD_BYTES);
    }
    if (to <= position) this.#cancelHeldBack ??= this.#deps.clock.after(HELD_BACK_READ_MS, () => this.#endHeldBack());
    return to;
  }

  flowChanged(): Promise<void> {
    return this.#flow.wait();
  }

  endedAt(size: number): void {
    this.#sizeIs(size);
    this.#advance();
  }

  storeFailed(error: unknown): void {
    if (this.#through || this.#over) return;
    if (this.#size === undefined) {
      this.#fail(asError(error));
      return;
    }
    this.#deps.log.warn(
      { code: codeOf(error), digest: this.digest },
      `the store cannot take this blob, it is streamed through: ${describeError(error)}`,
    );
    this.#through = true;
    this.#end('readable');
    this.#changed.fire();
  }

  gaveUp(error: unknown): void {
    this.#fail(new BlobUnavailable({ digest: this.digest, last: describeError(error) }, { cause: error }));
  }

  /** Ends it: readers are cut off, what came is kept. */
  async close(): Promise<void> {
    this.#fail(new DownloadsClosed({}));
    await this.#closeIncoming();
  }

  // --- its own course ---

  /** Notes and reports the pieces that have become whole with the bytes from `start` to `end`. */
  async #reportPieces(start: number, end: number): Promise<void> {
    const pieces = this.#pieces;
    if (!pieces) return;
    for (let piece = pieces.at(start); piece < pieces.count && pieces.start(piece) < end; piece += 1) {
      if (this.#reported.has(piece) || !this.#available.covers(pieces.start(piece), pieces.end(piece))) continue;
      this.#reported.add(piece);
      const crc32 = this.#crcOf.get(piece) ?? (await this.#crcFromDisk(pieces.start(piece), pieces.end(piece)));
      this.#crcOf.delete(piece);
      this.#incoming!.record(piece, crc32);
      this.#fetching?.report({ kind: 'piece', piece, crc32, source: 'origin' });
    }
  }

  /** For a piece whose bytes did not come in order: two reads met in it. */
  async #crcFromDisk(start: number, end: number): Promise<number> {
    const buffer = Buffer.allocUnsafe(end - start);
    for (let at = start; at < end;) at += await this.#incoming!.read(buffer.subarray(at - start), at);
    return crc32(buffer);
  }

  async #start(request: DownloadRequest): Promise<void> {
    try {
      if (request.size !== undefined) {
        this.#sizeIs(request.size);
        await this.#opening;
      }
    } catch (error) {
      this.storeFailed(error);
      return;
    }
    if (this.#over) return;
    const fetcher = new Fetcher({
      digest: this.digest,
      pieceCount: this.#pieces?.count,
      held: this.#incoming?.kept.keys() ?? [],
      coordinator: this.#deps.coordinator,
      target: this,
      origin: request.origin,
      pool: this.#deps.pool,
      log: this.#deps.log,
    });
    for (const origin of this.#origins) fetcher.addOrigin(origin);
    this.#fetching = fetcher;
    this.#demand();
    this.#advance();
  }

  #sizeIs(size: number): void {
    this.#size = size;
    this.#pieces = new Pieces(size);
    this.#crcs = new PieceCrcs(this.#pieces);
    this.#opening ??= this.#open();
    this.#opening.catch(() => undefined);
    this.#fetching?.report({ kind: 'pieces', pieceCount: this.#pieces.count });
    this.#changed.fire();
  }

  async #open(): Promise<void> {
    const pieceSize = this.#pieces?.pieceSize ?? MiB;
    const incoming = await this.#deps.store.receive(this.digest, { size: this.#size, pieceSize });
    this.#incoming = incoming;
    for (const piece of incoming.kept.keys()) {
      this.#reported.add(piece);
      this.#available.add(this.#pieces!.start(piece), this.#pieces!.end(piece));
      this.#fromStore.add(this.#pieces!.start(piece), this.#pieces!.end(piece));
    }
    if (this.#size === 0) queueMicrotask(() => this.#advance());
  }

  /** Bytes have come: readers go on, the hash follows, and the last byte ends it. */
  #advance(): void {
    this.#changed.fire();
    const end = () => this.#available.endFrom(this.#hash.cursor);
    const incoming = this.#incoming;
    if (!incoming || this.#over) return;
    if (this.#hash.cursor >= end()) {
      this.#finishIfWhole();
      return;
    }
    this.#hash
      .catchUp((buffer, position) => incoming.read(buffer, position), end)
      .then(
        () => this.#finishIfWhole(),
        (error: unknown) => this.storeFailed(error),
      );
  }

  #finishIfWhole(): void {
    if (this.#size === undefined || this.#hash.cursor < this.#size || this.#finishing || this.#over) return;
    if (!this.#available.covers(0, this.#size)) return;
    this.#finishing = true;
    void this.#finish(this.#size);
  }

  async #finish(size: number): Promise<void> {
    const actual = this.#hash.finish();
    if (actual !== this.digest) {
      this.#mismatch(actual);
      return;
    }
    this.#verified = true;
    this.#changed.fire();
    try {
      await this.#incoming!.publish(actual, size);
    } catch (error) {
      this.#deps.log.error(
        { code: codeOf(error), digest: this.digest },
        `a verified blob could not be kept: ${describeError(error)}`,
      );
    }
    this.#end('readable');
  }

  #mismatch(actual: Digest): void {
    const sources = this.#origins.map((origin) => origin.name).join(', ');
    const error = new BlobDigestMismatch({ digest: this.digest, actual, sources });
    this.#deps.log.error({ code: error.code, digest: this.digest, actual }, error.message);
    this.#keep = false;
    this.#fail(error);
  }

  #fail(error: Error): void {
    if (this.#over) return;
    this.#failure = error;
    this.#end('closed');
    this.#changed.fire();
  }

  /** Requests for the blob start afresh from here on. What is here stays `readable` to the readers that are left, or not. */
  #end(what: 'readable' | 'closed'): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelIdle?.();
    this.#cancelHeldBack?.();
    const nobodyReads = this.#readers.size === 0;
    const closing = what === 'closed' || nobodyReads ? this.#closeIncoming() : this.#fetching?.close();
    this.#ended(what === 'closed' ? closing : undefined);
    this.#flow.fire();
  }

  async #leaveIdle(): Promise<void> {
    if (this.#readers.size > 0 || this.#over) return;
    this.#deps.log.debug(
      { digest: this.digest },
      'nobody reads this blob any more: it stops coming in, what is here is kept',
    );
    this.#wantsWhole = false;
    this.#fetching?.awaiting([]);
    this.#fetching?.stopUnneeded(() => false);
    this.#flow.fire();
    await this.#fetching?.idle();
    if (this.#readers.size === 0) this.#end('closed');
    else this.#demand();
  }

  #closeIncoming(): Promise<void> {
    this.#closing ??= this.#closeNow().catch((error: unknown) => {
      this.#deps.log.warn({ code: codeOf(error), digest: this.digest }, describeError(error));
    });
    return this.#closing;
  }

  async #closeNow(): Promise<void> {
    await this.#fetching?.close();
    // An incoming file that is just being opened is waited for: it must not stay behind.
    await this.#opening?.catch(() => undefined);
    await (this.#keep && !this.#through ? this.#incoming?.close() : this.#incoming?.discard());
  }

  /** Says what the readers wait for, and lets reads that none of them needs end. */
  #demand(): void {
    const fetcher = this.#fetching;
    if (this.#over || this.#finishing) return;
    const readers = [...this.#readers];
    this.#wantsWhole = readers.some((reader) => reader.wantsWhole);
    if (!fetcher) return;
    this.#flow.fire();
    const runs: PieceRun[] = [];
    for (const reader of readers) {
      const run = this.#runOf(reader);
      if (run) runs.push(run);
    }
    // Ranges first: they are few pieces, and jump the queue.
    runs.sort((a, b) => a.count - b.count);
    fetcher.awaiting(runs);
    if (!this.#wantsWhole && readers.length > 0) {
      fetcher.stopUnneeded((position, end) => readers.some((reader) => reader.end > position && reader.position < end));
    }
  }

  #runOf(reader: Reader): PieceRun | undefined {
    if (!this.#pieces) return { first: 0, count: Number.POSITIVE_INFINITY };
    const { position } = reader;
    const first = this.#pieces.at(position);
    if (reader.wantsWhole) return { first, count: this.#pieces.count - first };
    if (reader.end <= position) return undefined;
    // Nothing is asked for while enough is here: who reads slowly, or not at all, keeps no connection busy.
    if (this.#available.covers(position, Math.min(reader.end, position + READ_AHEAD_BYTES / 2))) return undefined;
    return { first, count: this.#pieces.at(reader.end - 1) + 1 - first };
  }

  #failureOf(reader: Reader): Error | undefined {
    return this.#failure ?? reader.failure;
  }

  #releasedTo(reader: Reader, position: number): number {
    if (this.#size === undefined) return position;
    const available = Math.min(this.#available.endFrom(position), reader.end);
    return reader.holdsBack && !this.#verified ? Math.min(available, releasedTo(this.#size, available)) : available;
  }

  #endHeldBack(): void {
    this.#cancelHeldBack = undefined;
    this.#demand();
    this.#fetching?.stopUnneeded((position) => this.mayReadTo(position) > position);
    this.#flow.fire();
  }

  /** The reader goes on with a read of its own; its hash takes in what it has had so far. */
  async #startThrough(reader: Reader, position: number): Promise<ThroughBody> {
    // A range that starts where nothing is here cannot be hashed; it may go out as it comes from our own read (I1).
    const isWhole = reader.holdsBack && this.#available.covers(0, position);
    const hash = isWhole ? hasherFor(this.digest) : undefined;
    if (hash && position > 0) {
      const buffer = Buffer.allocUnsafe(MiB);
      for (let at = 0; at < position;) {
        const count = await this.read(buffer.subarray(0, Math.min(buffer.length, position - at)), at);
        hash.update(buffer.subarray(0, count));
        at += count;
      }
    }
    return new ThroughBody({
      digest: this.digest,
      size: this.#size!,
      origin: this.#origins.at(-1)!,
      start: position,
      end: reader.end,
      hash,
      clock: this.#deps.clock,
      log: this.#deps.log,
    });
  }
}
