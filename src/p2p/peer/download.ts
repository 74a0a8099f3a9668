/*
 * One blob that is coming in.
 *
 * Who owns what: the download owns the incoming file, the set of bytes that are in it and the hash over its prefix. Its
 * fetcher owns the reads from sources and writes through `RunTarget`. Its readers (one a client's response) only read; the
 * slowest of them holds nobody back. Bytes go: source → run writer (1 MiB) → hash and CRC → file, and from the run writer's own
 * memory, while they are being written, to each reader that waits for them (else from the file, through its own ring).
 *
 * Bytes that are all here and do not have the digest are disputed first (dispute.ts): nothing of them goes out meanwhile.
 *
 * It ends in one of four ways: verified and published; failed (no source can give what is missing: readers are cut off);
 * left idle (nobody reads: what came stays in the store for later); or the store cannot take it, and each reader goes on
 * with a read of its own (`ThroughBody`).
 */
import type { Clock } from '../../base/clock.ts';
import { isFileId, type Digest } from '../../base/digest.ts';
import { asError, codeAndTodo, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Metrics } from '../../base/metrics.ts';
import { NO_PRESSURE, type PressureView } from '../../base/pressure.ts';
import type { BufferPool } from '../../http/buffer-pool.ts';
import type { BlobHead } from '../../http/byte-sink.ts';
import type { BlobStore } from '../../store/blob-store.ts';
import type { ShownBlobs } from '../../store/shown-blobs.ts';
import type { Coordinator } from '../protocol/coordinator.ts';
import { Corrections, type CorrectionsHost } from './corrections.ts';
import type { Demand } from './demand.ts';
import { BlobDigestMismatch, BlobNotKept, BlobUnavailable, BlobWrongSize, DownloadsClosed } from './errors.ts';
import { Fetcher, type FetchTarget, type PeerSources } from './fetcher.ts';
import type { HashThread } from './hash-thread.ts';
import { IncomingBytes } from './incoming-bytes.ts';
import type { PartialBlob } from './inventory.ts';
import { Origins } from './origins.ts';
import type { WholePiece } from './piece-crcs.ts';
import { Leave, shownBy } from './leave.ts';
import type { PeerPiece } from './peer-piece.ts';
import type { PieceSource } from './piece-source.ts';
import type { AskedRange, Reader, ReaderRequest } from './reader.ts';
import { Readers, type ReadersHost } from './readers.ts';
import type { OpenPart } from './upload.ts';

/** A download that nobody has read for so long finishes its pieces and stops asking. */
export const IDLE_MS = 30_000;

export interface DownloadDeps {
  readonly store: BlobStore;
  readonly coordinator: Coordinator;
  /** For blobs that stay on this node: nobody is told of them. */
  readonly solo: Coordinator;
  readonly peers?: PeerSources | undefined;
  /** What is read with a credential goes to other proxies too. */
  readonly sharesPrivate?: boolean | undefined;
  /** Where blobs have been shown to be; undefined: it does not matter. */
  readonly shownBlobs?: ShownBlobs | undefined;
  readonly pool: BufferPool;
  /** Hashes large blobs; undefined: the main thread does. */
  readonly hashThread?: HashThread | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** What runs short on this node; undefined: nothing ever. */
  readonly pressure?: PressureView | undefined;
}

export interface DownloadRequest extends ReaderRequest {
  readonly digest: Digest;
  /**
   * What the bytes of a file are to hash to, where somebody says; undefined: whatever its server gives is right. The same in all
   * requests for the same file (`isFileId`); of any other blob it is the digest itself.
   */
  readonly content?: Digest | undefined;
  /** Its size in bytes as a manifest says, or an earlier answer of the origin. */
  readonly size: number | undefined;
  /** See `Want.isSmall`. */
  readonly isSmall?: boolean | undefined;
  /** The manifest that names it, where known: the blobs of an image share the origin's attention. */
  readonly image?: Digest | undefined;
  /** It is read with a credential: unless `sharesPrivate`, it stays on this node, and comes from the origin alone. */
  readonly isPrivate?: boolean | undefined;
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

export class Download implements FetchTarget, ReadersHost, CorrectionsHost {
  readonly digest: Digest;
  /** What its bytes are to hash to; undefined: it is a file of which nobody says. */
  readonly content: Digest | undefined;
  readonly bytes: IncomingBytes;
  readonly leave: Leave;
  readonly readers: Readers;
  readonly corrections: Corrections;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** It came for a client with a credential first, and stays on this node. */
  readonly isPrivate: boolean;
  readonly #deps: DownloadDeps;
  readonly #origins: Origins;
  readonly #ended: (until: Promise<void> | undefined) => void;
  #fetching: Fetcher | undefined;
  #mediaType: string | undefined;
  #hasPeerBytes = false;
  #publishing: Promise<void> | undefined;
  /** It is streamed through: the store does not take it. */
  #isThrough = false;
  #over = false;
  #keep = true;
  #closing: Promise<void> | undefined;
  #cancelIdle: (() => void) | undefined;

  /**
   * `ended` is called once, when requests for the blob are to start afresh: it is in the store, or not coming any more; with
   * a promise where they have to wait until its incoming file is closed. `notKept` says why nothing of it is to be kept.
   */
  constructor(
    deps: DownloadDeps,
    request: DownloadRequest,
    ended: (until: Promise<void> | undefined) => void,
    notKept?: Error,
  ) {
    this.#deps = deps;
    ({ clock: this.clock, log: this.log, metrics: this.metrics } = deps);
    this.digest = request.digest;
    this.content = isFileId(request.digest) ? request.content : request.digest;
    this.isPrivate = request.isPrivate === true && deps.sharesPrivate !== true;
    this.bytes = new IncomingBytes(request.digest, deps.store, deps.pool, deps.hashThread);
    this.leave = new Leave(request.digest, this.bytes, deps.shownBlobs);
    this.readers = new Readers(this);
    this.corrections = new Corrections(this);
    this.#origins = new Origins(request.digest, request.origin, deps.log, (origin) =>
      this.leave.takes(shownBy(origin)),
    );
    this.#ended = ended;
    void (notKept ? this.#startThrough(request.size, notKept) : this.#start(request));
  }

  get mediaType(): string | undefined {
    return this.#mediaType;
  }

  /** Whether memory is short: then a reader that goes its own way holds little. */
  get holdsLittle(): boolean {
    return this.#pressure.levelOf('memory') !== 'none';
  }

  get isIdle(): boolean {
    return this.readers.count === 0;
  }

  /**
   * Whether what a client gets who may read the blob at the origin `name` is all given by that origin, now. Known once what
   * an earlier try has left is.
   */
  async isFrom(name: string): Promise<boolean> {
    const hasKept = await this.bytes.hasKept();
    return this.#origins.first?.name === name && !hasKept && !this.#hasPeerBytes;
  }

  status(): DownloadStatus {
    const { digest } = this;
    const { size = null } = this.bytes;
    return { digest, size, inOrder: this.bytes.endFrom(0), readers: this.readers.count };
  }

  /**
   * Joins a client: `range` undefined wants the whole blob, of which it has the bytes before `from` already. Resolves when
   * its first bytes may be sent.
   */
  join(
    request: DownloadRequest,
    range: AskedRange | undefined,
    signal: AbortSignal,
    from = range?.start ?? 0,
  ): Promise<Reader> {
    this.#cancelIdle?.();
    this.#origins.add(request.origin);
    return this.readers.join(request, range, signal, from);
  }

  /** Resolves once it is in the store, or cannot be kept, where all of it is here; else at once. */
  async published(): Promise<void> {
    await this.#publishing;
  }

  /** Ends it: readers are cut off, what came is kept. One that is being published is published. */
  async close(): Promise<void> {
    await this.#publishing;
    this.#fail(new DownloadsClosed({}));
    await this.#closeBytes();
  }

  // --- what other proxies ask ---

  /** A part of what has come so far, whole checked pieces only; undefined: not here, or not to be shared. */
  openPart(start: number, end: number): OpenPart | undefined {
    const { size } = this.bytes;
    if (this.isPrivate || this.#over || size === undefined) return undefined;
    const to = Math.min(end, size);
    if (!this.bytes.hasWhole(start, to)) return undefined;
    const read = async (buffer: Uint8Array, at: number): Promise<number> => {
      if (this.readers.failure) throw this.readers.failure;
      const { losses } = this.bytes;
      const count = await this.bytes.read(buffer, at);
      const isHere = this.bytes.hasWhole(at, at + count);
      if (!isHere || this.bytes.losses !== losses) throw new Error('the piece was lost while it was read');
      return count;
    };
    return { size, shown: this.leave.shown, ready: () => Promise.resolve(to), read, close: ignore };
  }

  /** Its whole pieces, to be announced; undefined: none, or not to be shared. */
  wholePart(): PartialBlob | undefined {
    const { size, wholePieces } = this.bytes;
    if (this.isPrivate || size === undefined || wholePieces.size === 0) return undefined;
    return { digest: this.digest, size, pieces: wholePieces };
  }

  // --- what its readers ask (ReadersHost) ---

  needsChanged(): void {
    if (this.#over || this.#publishing) return;
    if (this.corrections.isDisputed) this.corrections.say(this.#fetching!);
    else this.readers.demand.tell(this.#fetching);
  }

  /** Nobody who has left comes back: without readers it finishes its pieces and stops asking now, not after a while. */
  abandon(): void {
    if (!this.isIdle) return;
    this.#cancelIdle?.();
    void this.#leaveIdle();
  }

  left(): void {
    if (!this.isIdle) this.needsChanged();
    else if (this.#over) void this.#closeBytes();
    else this.#cancelIdle = this.clock.after(IDLE_MS, () => void this.#leaveIdle());
  }

  // --- what its corrections ask (CorrectionsHost) ---

  isSettled(): boolean {
    return this.#over || this.#publishing !== undefined;
  }

  advanced(): void {
    this.#advance();
  }

  // --- what the fetcher asks (FetchTarget) ---

  get demand(): Demand {
    return this.readers.demand;
  }

  begin({ total, mediaType, ranges }: BlobHead): void {
    this.#mediaType ??= mediaType;
    if (!ranges) this.#fetching?.report({ kind: 'no-ranges' });
    if (total === undefined) return;
    const { size } = this.bytes;
    if (size === undefined) this.#sizeIs(total);
    else if (total !== size) {
      throw new BlobWrongSize({ digest: this.digest, expected: size, actual: total, source: 'the origin' });
    }
  }

  async store(bytes: Buffer, position: number, source: 'origin' | 'peers', pieceCrc32?: number): Promise<WholePiece[]> {
    const writing = this.bytes.write(bytes, position, source, pieceCrc32);
    this.readers.wake();
    const whole = await writing;
    this.#advance();
    return whole;
  }

  async beforePeers(piece: Pick<PeerPiece, 'shown' | 'parts'>, start: number): Promise<void> {
    this.#hasPeerBytes = true;
    await this.leave.takesPiece(piece.shown, piece.parts(), start);
    await this.readers.confirm();
  }

  endedAt(size: number): void {
    this.#sizeIs(size);
    this.#advance();
  }

  denied(name: string, error: Error): void {
    this.readers.refuse(name, error);
  }

  gaveUp(error: unknown): void {
    if (this.corrections.gaveUp()) return;
    this.#fail(new BlobUnavailable({ digest: this.digest, last: describeError(error) }, { cause: error }));
  }

  storeFailed(error: unknown): void {
    if (this.#isThrough || this.#over || this.#publishing) return;
    if (this.bytes.size === undefined) {
      this.#fail(asError(error));
      return;
    }
    // Where it is known that the node sheds, it has been said once for all blobs.
    const isSaid = error instanceof BlobNotKept || this.#pressure.levelOf('disk') !== 'none';
    this.log[isSaid ? 'debug' : 'warn'](
      { ...codeAndTodo(error), digest: this.digest },
      `the store cannot take this blob, it is streamed through: ${describeError(error)}`,
    );
    this.#isThrough = true;
    this.#end('readable');
    this.readers.streamThrough();
  }

  // --- its own course ---

  get #pressure(): PressureView {
    return this.#deps.pressure ?? NO_PRESSURE;
  }

  /** Its first reader joins before anything happens. */
  async #startThrough(size: number | undefined, why: Error): Promise<void> {
    await Promise.resolve();
    if (size !== undefined) this.bytes.isOnlyOfSize(size);
    this.storeFailed(why);
  }

  async #start({ origin, size, image, isSmall }: DownloadRequest): Promise<void> {
    try {
      if (size !== undefined) {
        this.#sizeIs(size);
        // Where nothing can be left of an earlier try, a source is found meanwhile; it is read once the file is open (0.5 ms of a first byte).
        if (this.bytes.mayHaveKept) await this.bytes.opened();
        else this.bytes.opened().catch((error: unknown) => this.storeFailed(error));
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
        pieceCount: this.bytes.pieces?.count,
        held: this.bytes.keptPieces.keys(),
        crcs: this.bytes.keptPieces,
        size: this.bytes.size,
        origin: registryOf(origin),
        image,
        isSmall,
      },
      coordinator: this.isPrivate ? solo : coordinator,
      target: this,
      origins: this.#origins,
      peers: this.isPrivate ? undefined : peers,
      pool,
      clock,
      log,
      metrics,
    });
    this.needsChanged();
    this.#advance();
  }

  #sizeIs(size: number): void {
    const { count } = this.bytes.sizeIs(size);
    this.#fetching?.report({ kind: 'pieces', pieceCount: count, size });
    this.readers.wake();
    // Of a blob of no bytes nothing will come that could end it.
    if (size === 0) void this.bytes.opened().then(() => this.#advance(), ignore);
  }

  /** Bytes have come: readers go on, the hash follows, and the last byte ends it. */
  #advance(): void {
    this.readers.wake();
    this.corrections.heard();
    // While they are disputed, bytes are hashed when none is in doubt any more.
    if (this.#over || this.corrections.isDisputed) return;
    this.bytes.catchUp().then(
      () => this.#finishIfComplete(),
      (error: unknown) => this.storeFailed(error),
    );
  }

  #finishIfComplete(): void {
    if (this.isSettled() || this.corrections.isDisputed || !this.bytes.isComplete) return;
    const actual = this.bytes.digestOfAll();
    if (actual === (this.content ?? actual)) this.#publishing = this.#publish();
    else if (this.#fetching) void this.#putRight(this.#fetching, actual);
    else this.#mismatch(actual);
  }

  async #publish(): Promise<void> {
    await this.corrections.judge(this.#fetching);
    this.leave.verified();
    this.readers.hold('nothing');
    try {
      await this.bytes.publish();
    } catch (error) {
      this.log.error(
        { ...codeAndTodo(error), digest: this.digest },
        `a verified blob could not be kept: ${describeError(error)}`,
      );
    }
    this.#end('readable');
  }

  async #putRight(fetcher: Fetcher, actual: Digest): Promise<void> {
    try {
      const isRight = await this.corrections.settle(fetcher, actual);
      if (this.#over) return;
      if (isRight) this.#publishing = this.#publish();
      else this.#mismatch(actual);
    } catch (error) {
      this.storeFailed(error);
    }
  }

  #mismatch(actual: Digest): void {
    const sources = this.#origins.names.join(', ');
    const error = new BlobDigestMismatch({ digest: this.digest, actual, sources });
    this.log.error({ ...codeAndTodo(error), digest: this.digest, actual }, error.message);
    this.#keep = false;
    this.#fail(error);
  }

  #fail(error: Error): void {
    if (this.#over) return;
    this.readers.fail(error);
    this.#end('closed');
  }

  /** Requests for the blob start afresh from here on. What is here stays `readable` to the readers that are left, or not. */
  #end(what: 'readable' | 'closed'): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelIdle?.();
    this.corrections.close();
    const closing = what === 'closed' || this.isIdle ? this.#closeBytes() : this.#fetching?.close();
    this.#ended(what === 'closed' ? closing : undefined);
    this.readers.demand.close();
  }

  async #leaveIdle(): Promise<void> {
    if (!this.isIdle || this.#over) return;
    this.log.debug({ digest: this.digest }, 'nobody reads this blob any more: what is here of it is kept');
    this.readers.demand.end(this.#fetching);
    await this.#fetching?.idle();
    if (this.isIdle) this.#end('closed');
    else this.needsChanged();
  }

  #closeBytes(): Promise<void> {
    this.#closing ??= this.#closeNow().catch((error: unknown) => {
      this.log.warn({ ...codeAndTodo(error), digest: this.digest }, describeError(error));
    });
    return this.#closing;
  }

  async #closeNow(): Promise<void> {
    await this.#fetching?.close();
    const what = this.#keep && !this.#isThrough && !this.corrections.isDisputed ? 'keep' : 'discard';
    await this.bytes.close(what);
    if (what === 'discard') this.leave.dropped();
  }
}

function ignore(): void {}

/** The registry's part of an origin's name: what the coordinator knows of origins is by registry. */
function registryOf({ name }: PieceSource): string {
  return name.slice(0, Math.max(0, name.indexOf('/'))) || name;
}
