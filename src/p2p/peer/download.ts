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
import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import { asError, codeOf, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { ByteSource, Metrics } from '../../base/metrics.ts';
import type { BufferPool } from '../../http/buffer-pool.ts';
import type { BlobHead } from '../../http/byte-sink.ts';
import type { BlobStore } from '../../store/blob-store.ts';
import type { Coordinator, PieceRun } from '../protocol/coordinator.ts';
import { awaitedBy, readAheadTo } from './demand.ts';
import { BlobDigestMismatch, BlobUnavailable, BlobWrongSize, DownloadsClosed } from './errors.ts';
import { Fetcher, type FetchTarget, type PeerSources } from './fetcher.ts';
import { IncomingBytes } from './incoming-bytes.ts';
import type { PartialBlob } from './inventory.ts';
import type { WholePiece } from './piece-crcs.ts';
import type { PieceSource } from './piece-source.ts';
import type { OpenPart } from './upload.ts';
import { Reader, type AskedRange } from './reader.ts';
import { releasedTo } from './release.ts';
import { Signal } from './signal.ts';
import { ThroughBody } from './through-body.ts';

/** A download that nobody has read for so long finishes its pieces and stops asking. */
export const IDLE_MS = 30_000;
/** A read held back by a slow client for so long gives its connection to the origin back. */
const HELD_BACK_READ_MS = 5000;

export interface DownloadDeps {
  readonly store: BlobStore;
  readonly coordinator: Coordinator;
  /** For blobs that stay on this node: nobody is told of them. */
  readonly solo: Coordinator;
  readonly peers?: PeerSources | undefined;
  readonly pool: BufferPool;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface DownloadRequest {
  readonly digest: Digest;
  /** Where this client may read it. */
  readonly origin: PieceSource;
  /** Its size in bytes as a manifest says, or an earlier answer of the origin. */
  readonly size: number | undefined;
  /** See `Want.isSmall`. */
  readonly isSmall?: boolean | undefined;
  /** The manifest that names it, where known: the blobs of an image share the origin's attention. */
  readonly image?: Digest | undefined;
  /** What is read with a configured credential stays on this node, and comes from the origin alone. */
  readonly isPrivate?: boolean | undefined;
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
  readonly #bytes: IncomingBytes;
  readonly #origins: PieceSource[];
  readonly #readers = new Set<Reader>();
  /** It came for a client with a configured credential first. */
  readonly isPrivate: boolean;
  readonly #changed = new Signal();
  readonly #flow = new Signal();
  readonly #ended: (until: Promise<void> | undefined) => void;
  #fetching: Fetcher | undefined;
  #mediaType: string | undefined;
  #wantsWhole = false;
  #hasPeerBytes = false;
  #publishing: Promise<void> | undefined;
  #verified = false;
  #through = false;
  #failure: Error | undefined;
  #over = false;
  #keep = true;
  #closing: Promise<void> | undefined;
  #cancelIdle: (() => void) | undefined;
  #cancelHeldBack: (() => void) | undefined;

  /**
   * `ended` is called once, when requests for the blob are to start afresh: it is in the store, or not coming any more; with
   * a promise where they have to wait until its incoming file is closed.
   */
  constructor(deps: DownloadDeps, request: DownloadRequest, ended: (until: Promise<void> | undefined) => void) {
    this.#deps = deps;
    this.digest = request.digest;
    this.#bytes = new IncomingBytes(request.digest, deps.store);
    this.isPrivate = request.isPrivate ?? false;
    this.#origins = [request.origin];
    this.#ended = ended;
    void this.#start(request);
  }

  get mediaType(): string | undefined {
    return this.#mediaType;
  }

  get isIdle(): boolean {
    return this.#readers.size === 0;
  }

  /**
   * Whether what a client gets who may read the blob at the origin `name` is all given by that origin, now. Known once what
   * an earlier try has left is.
   */
  async isFrom(name: string): Promise<boolean> {
    const hasKept = await this.#bytes.hasKept();
    return this.#origins[0]?.name === name && !hasKept && !this.#hasPeerBytes;
  }

  status(): DownloadStatus {
    const { digest } = this;
    const { size = null } = this.#bytes;
    return { digest, size, inOrder: this.#bytes.endFrom(0), readers: this.#readers.size };
  }

  /**
   * Joins a client: `range` undefined wants the whole blob, of which it has the bytes before `from` already. Resolves when
   * its first bytes may be sent.
   */
  async join(
    { origin, confirm }: DownloadRequest,
    range: AskedRange | undefined,
    signal: AbortSignal,
    from = range?.start ?? 0,
  ): Promise<Reader> {
    const reader = new Reader(this, { origin, range, position: from });
    reader.confirm = confirm;
    this.#readers.add(reader);
    this.#cancelIdle?.();
    this.#addOrigin(origin);
    const hangUp = () => reader.close();
    signal.addEventListener('abort', hangUp, { once: true });
    try {
      this.#demand();
      while (this.#bytes.size === undefined && !this.#failureOf(reader) && !signal.aborted) await this.#changed.wait();
      if (this.#bytes.size === undefined) throw this.#failureOf(reader) ?? asError(signal.reason);
      reader.setSize(this.#bytes.size);
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

  /** Ends it: readers are cut off, what came is kept. One that is being published is published. */
  async close(): Promise<void> {
    await this.#publishing;
    this.#fail(new DownloadsClosed({}));
    await this.#closeBytes();
  }

  // --- what readers ask ---

  /** See `BodySource.ready`. */
  async readyFor(reader: Reader, position: number): Promise<number> {
    reader.position = position;
    this.#flow.fire();
    for (let said = false; ; said = true) {
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
      reader.waitsAt = position;
      await this.#changed.wait();
      reader.waitsAt = undefined;
    }
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return this.#failure ? Promise.reject(this.#failure) : this.#bytes.read(buffer, position);
  }

  /** Who gave the byte at `position`. */
  sourceAt(position: number): ByteSource {
    return this.#bytes.sourceAt(position);
  }

  // --- what other proxies ask ---

  /** A part of what has come so far, whole checked pieces only; undefined: not here, or not to be shared. */
  openPart(start: number, end: number): OpenPart | undefined {
    const { size } = this.#bytes;
    if (this.isPrivate || this.#over || size === undefined) return undefined;
    const to = Math.min(end, size);
    if (!this.#bytes.hasWhole(start, to)) return undefined;
    return { size, ready: () => Promise.resolve(to), read: (buffer, at) => this.read(buffer, at), close: ignore };
  }

  /** Its whole pieces, to be announced; undefined: none, or not to be shared. */
  wholePart(): PartialBlob | undefined {
    const { size, wholePieces } = this.#bytes;
    if (this.isPrivate || size === undefined || wholePieces.size === 0) return undefined;
    return { digest: this.digest, size, pieces: wholePieces };
  }

  leave(reader: Reader): void {
    if (!this.#readers.delete(reader)) return;
    this.#changed.fire();
    if (this.#readers.size > 0) this.#demand();
    else if (this.#over) void this.#closeBytes();
    else this.#cancelIdle = this.#deps.clock.after(IDLE_MS, () => void this.#leaveIdle());
  }

  // --- what the fetcher asks (FetchTarget) ---

  size(): number | undefined {
    return this.#bytes.size;
  }

  missingOf(run: PieceRun): { start: number; end: number } | undefined {
    return this.#bytes.missingOf(run);
  }

  pieceEndAt(position: number): number {
    const { pieces } = this.#bytes;
    return pieces ? pieces.end(pieces.at(position)) : position;
  }

  startOfPiece(index: number): number {
    return this.#bytes.pieces?.start(index) ?? 0;
  }

  endOfPiece(index: number): number {
    return this.#bytes.pieces?.end(index) ?? Number.POSITIVE_INFINITY;
  }

  begin({ total, mediaType, ranges }: BlobHead): void {
    this.#mediaType ??= mediaType;
    if (!ranges) this.#fetching?.report({ kind: 'no-ranges' });
    if (total === undefined) return;
    const { size } = this.#bytes;
    if (size === undefined) this.#sizeIs(total);
    else if (total !== size) {
      throw new BlobWrongSize({ digest: this.digest, expected: size, actual: total, source: 'the origin' });
    }
  }

  async store(bytes: Buffer, position: number, source: 'origin' | 'peers'): Promise<WholePiece[]> {
    const whole = await this.#bytes.write(bytes, position, source);
    this.#advance();
    return whole;
  }

  async beforePeers(): Promise<void> {
    this.#hasPeerBytes = true;
    await Promise.all([...this.#readers].map((reader) => this.#confirmed(reader)));
  }

  /** A reader whose origin says no is out. */
  async #confirmed(reader: Reader): Promise<void> {
    try {
      await reader.confirm?.();
      reader.confirm = undefined;
    } catch (error) {
      reader.failure = asError(error);
      this.#changed.fire();
    }
  }

  isAwaited(start: number, end: number): boolean {
    for (const { waitsAt } of this.#readers) {
      if (waitsAt !== undefined && waitsAt >= start && waitsAt < end) return true;
    }
    return false;
  }

  mayReadTo(position: number): number {
    if (this.#wantsWhole || this.#bytes.size === undefined) return Number.POSITIVE_INFINITY;
    const to = readAheadTo(this.#readers, position, (at) => this.pieceEndAt(at));
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

  denied(name: string, error: Error): void {
    const at = this.#origins.findIndex((origin) => origin.name === name);
    if (at >= 0) this.#origins.splice(at, 1);
    // Others may still read it elsewhere; these may not.
    for (const reader of this.#readers) if (reader.origin.name === name) reader.failure = error;
    this.#changed.fire();
  }

  gaveUp(error: unknown): void {
    this.#fail(new BlobUnavailable({ digest: this.digest, last: describeError(error) }, { cause: error }));
  }

  storeFailed(error: unknown): void {
    if (this.#through || this.#over) return;
    if (this.#bytes.size === undefined) {
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

  // --- its own course ---

  async #start({ origin, size, image, isSmall }: DownloadRequest): Promise<void> {
    try {
      if (size !== undefined) {
        this.#sizeIs(size);
        await this.#bytes.opened();
      }
    } catch (error) {
      this.storeFailed(error);
      return;
    }
    if (this.#over) return;
    const { coordinator, solo, peers, pool, clock, log, metrics } = this.#deps;
    this.#fetching = new Fetcher({
      want: {
        digest: this.digest,
        pieceCount: this.#bytes.pieces?.count,
        held: this.#bytes.keptPieces.keys(),
        crcs: this.#bytes.keptPieces,
        size: this.#bytes.size,
        origin: registryOf(origin),
        image,
        isSmall,
      },
      coordinator: this.isPrivate ? solo : coordinator,
      target: this,
      origin,
      peers: this.isPrivate ? undefined : peers,
      pool,
      clock,
      log,
      metrics,
    });
    for (const other of this.#origins) this.#fetching.addOrigin(other);
    this.#demand();
    this.#advance();
  }

  #addOrigin(origin: PieceSource): void {
    if (this.#origins.some((known) => known.name === origin.name)) return;
    this.#origins.push(origin);
    this.#fetching?.addOrigin(origin);
  }

  #sizeIs(size: number): void {
    const { count } = this.#bytes.sizeIs(size);
    this.#fetching?.report({ kind: 'pieces', pieceCount: count, size });
    this.#changed.fire();
    // Of a blob of no bytes nothing will come that could end it.
    if (size === 0) void this.#bytes.opened().then(() => this.#advance(), ignore);
  }

  /** Bytes have come: readers go on, the hash follows, and the last byte ends it. */
  #advance(): void {
    this.#changed.fire();
    if (this.#over) return;
    this.#bytes.catchUp().then(
      () => this.#finishIfComplete(),
      (error: unknown) => this.storeFailed(error),
    );
  }

  #finishIfComplete(): void {
    if (this.#publishing || this.#over || !this.#bytes.isComplete) return;
    const actual = this.#bytes.digestOfAll();
    if (actual === this.digest) this.#publishing = this.#publish();
    else this.#mismatch(actual);
  }

  async #publish(): Promise<void> {
    this.#verified = true;
    this.#changed.fire();
    try {
      await this.#bytes.publish();
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
    const closing = what === 'closed' || this.isIdle ? this.#closeBytes() : this.#fetching?.close();
    this.#ended(what === 'closed' ? closing : undefined);
    this.#flow.fire();
  }

  async #leaveIdle(): Promise<void> {
    if (!this.isIdle || this.#over) return;
    this.#deps.log.debug({ digest: this.digest }, 'nobody reads this blob any more: what is here of it is kept');
    this.#wantsWhole = false;
    this.#fetching?.awaiting([]);
    this.#fetching?.stopUnneeded(() => false);
    this.#flow.fire();
    await this.#fetching?.idle();
    if (this.isIdle) this.#end('closed');
    else this.#demand();
  }

  #closeBytes(): Promise<void> {
    this.#closing ??= this.#closeNow().catch((error: unknown) => {
      this.#deps.log.warn({ code: codeOf(error), digest: this.digest }, describeError(error));
    });
    return this.#closing;
  }

  async #closeNow(): Promise<void> {
    await this.#fetching?.close();
    await this.#bytes.close(this.#keep && !this.#through ? 'keep' : 'discard');
  }

  /** Says what the readers wait for, and lets reads that none of them needs end. */
  #demand(): void {
    if (this.#over || this.#publishing) return;
    const readers = [...this.#readers];
    this.#wantsWhole = readers.some((reader) => reader.wantsWhole);
    this.#flow.fire();
    const fetcher = this.#fetching;
    if (!fetcher) return;
    fetcher.awaiting(awaitedBy(readers, this.#bytes));
    if (!this.#wantsWhole && readers.length > 0) {
      fetcher.stopUnneeded((position, end) => readers.some((reader) => reader.end > position && reader.position < end));
    }
  }

  #endHeldBack(): void {
    this.#cancelHeldBack = undefined;
    this.#demand();
    this.#fetching?.stopUnneeded((position) => this.mayReadTo(position) > position);
    this.#flow.fire();
  }

  #failureOf(reader: Reader): Error | undefined {
    return this.#failure ?? reader.failure;
  }

  #releasedTo(reader: Reader, position: number): number {
    const { size } = this.#bytes;
    if (size === undefined) return position;
    const available = Math.min(this.#bytes.endFrom(position), reader.end);
    return reader.holdsBack && !this.#verified ? Math.min(available, releasedTo(size, available)) : available;
  }

  /** The reader goes on with a read of its own; its hash takes in what it has had so far. */
  async #startThrough(reader: Reader, position: number): Promise<ThroughBody> {
    // A range that starts where nothing is here cannot be hashed; it may go out as it comes from our own read (I1).
    const isWhole = reader.holdsBack && this.#bytes.covers(0, position);
    const hash = isWhole ? await this.#bytes.hashBefore(position) : undefined;
    return new ThroughBody({
      digest: this.digest,
      size: reader.size,
      origin: reader.origin,
      start: position,
      end: reader.end,
      hash,
      clock: this.#deps.clock,
      log: this.#deps.log,
    });
  }
}

function ignore(): void {}

/** The registry's part of an origin's name: what the coordinator knows of origins is by registry. */
function registryOf({ name }: PieceSource): string {
  return name.slice(0, Math.max(0, name.indexOf('/'))) || name;
}
