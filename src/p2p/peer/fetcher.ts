import { setMaxListeners } from 'node:events';
import { CodedError, codeOf, describeError } from '../../base/errors.ts';
import type { Digest } from '../../base/digest.ts';
import type { Logger } from '../../base/log.ts';
import { isOriginError } from '../../registry/errors.ts';
import type {
  Assignment,
  Coordinator,
  LeaseFailure,
  PeerTarget,
  PieceFailure,
  PieceRun,
  Report,
  Ticket,
  Want,
} from '../protocol/coordinator.ts';
import { BlobIncomplete, BlobWrongSize, peerFailureOf } from './errors.ts';
import { MiB } from '../../base/units.ts';
import { PeerPiece } from './peer-piece.ts';
import type { WholePiece } from './piece-crcs.ts';
import type { Clock } from '../../base/clock.ts';
import type { Metrics } from '../../base/metrics.ts';
import type { BufferPool } from '../../http/buffer-pool.ts';
import type { PieceSource } from './piece-source.ts';
import { RunStopped, RunWriter, type RunTarget } from './run-writer.ts';

/** The blob that is coming in, as the fetcher sees it. */
export interface FetchTarget extends Omit<RunTarget, 'came' | 'store'> {
  /** Stores bytes at `position`; gives the pieces that have become whole with them. */
  store(bytes: Buffer, position: number, source: 'origin' | 'peers'): Promise<WholePiece[]>;
  /** Bytes of peers are about to be stored, which no client's origin gives: resolves when clients without leave are out. */
  beforePeers(): Promise<void>;
  /** Its size in bytes, once known. */
  size(): number | undefined;
  /** First and last byte (exclusive) of a run of pieces, as far as they are not here: undefined when all is. */
  missingOf(run: PieceRun): { start: number; end: number } | undefined;
  /** The byte after the piece that holds the byte at `position`. */
  pieceEndAt(position: number): number;
  /** The first byte of piece `index`. */
  startOfPiece(index: number): number;
  /** The byte after piece `index`. */
  endOfPiece(index: number): number;
  /** The source has ended a blob whose size nobody knew: it has `size` bytes. */
  endedAt(size: number): void;
  /** The store cannot take more of it. */
  storeFailed(error: unknown): void;
  /** The registry has said no (401, 403, 404) to those who may read it at the origin `name`. */
  denied(name: string, error: Error): void;
  /** Nobody can give what is missing; `error` is the last source's. */
  gaveUp(error: unknown): void;
}

/** A peer, as a source of pieces of one blob. */
export type PeerSources = (from: PeerTarget, digest: Digest) => PieceSource;

/** While no piece of a read gets whole, it is said so often that its bytes come. */
const PROGRESS_MS = 1000;

interface Run {
  readonly writer: RunWriter;
  readonly abort: AbortController;
  done: Promise<void>;
}

/** Carries out a coordinator's assignments for one blob: asks, fetches, reports. */
export class Fetcher {
  readonly #digest: Digest;
  readonly #target: FetchTarget;
  readonly #pool: BufferPool;
  readonly #log: Logger;
  readonly #origins: PieceSource[] = [];
  readonly #peers: PeerSources | undefined;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #runs = new Map<number, Run>();
  readonly #fetches = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  readonly #ticket: Ticket;
  #lastError: unknown;
  #closed = false;

  constructor(options: {
    want: Want;
    coordinator: Coordinator;
    target: FetchTarget;
    origin: PieceSource;
    /** Undefined: nothing is ever fetched from peers. */
    peers: PeerSources | undefined;
    pool: BufferPool;
    clock: Clock;
    log: Logger;
    metrics: Metrics;
  }) {
    this.#digest = options.want.digest;
    this.#peers = options.peers;
    this.#clock = options.clock;
    this.#metrics = options.metrics;
    this.#target = options.target;
    this.#pool = options.pool;
    this.#log = options.log;
    this.#origins.push(options.origin);
    // Each piece on its way listens to it; how many these are the coordinator bounds.
    setMaxListeners(0, this.#stop.signal);
    this.#ticket = options.coordinator.want(options.want, (assignment) => this.#assigned(assignment));
  }

  /** One more repository that the blob may be read from, should the others fail. */
  addOrigin(origin: PieceSource): void {
    if (!this.#origins.some((known) => known.name === origin.name)) this.#origins.push(origin);
  }

  awaiting(runs: readonly PieceRun[]): void {
    this.#ticket.awaiting(runs);
  }

  report(report: Report): void {
    if (!this.#closed) this.#ticket.report(report);
  }

  /** Lets every run for which `isNeeded(next byte, end)` is false end with its current piece. */
  stopUnneeded(isNeeded: (position: number, end: number) => boolean): void {
    for (const { writer, abort } of this.#runs.values()) {
      if (isNeeded(writer.position, writer.stopAt)) continue;
      if (writer.finishBefore(this.#target.pieceEndAt(writer.position))) abort.abort(new RunStopped());
    }
  }

  /** Resolves when no read is under way any more. */
  async idle(): Promise<void> {
    await Promise.all([...[...this.#runs.values()].map((run) => run.done), ...this.#fetches]);
  }

  /** Ends all reads at once and waits until nothing writes any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#ticket.close();
    const reason = new RunStopped();
    this.#stop.abort(reason);
    for (const run of this.#runs.values()) run.abort.abort(reason);
    await this.idle();
  }

  #assigned(assignment: Assignment): void {
    if (this.#closed) return;
    switch (assignment.kind) {
      case 'lease':
        this.#startRun(assignment.lease, assignment.run);
        return;
      case 'cut': {
        const run = this.#runs.get(assignment.lease);
        if (run?.writer.stopBefore(this.#target.endOfPiece(assignment.last))) run.abort.abort(new RunStopped());
        return;
      }
      case 'fetch': {
        const fetch = this.#fetchPiece(assignment).finally(() => this.#fetches.delete(fetch));
        this.#fetches.add(fetch);
        return;
      }
      case 'none':
        this.#target.gaveUp(this.#lastError ?? new Error('no peer has it, and no origin may be asked'));
    }
  }

  /** Behind peers only whole pieces are taken, each checked against the CRC-32 that the first reader told. */
  async #fetchPiece({ piece, from, crc32 }: Assignment & { kind: 'fetch' }): Promise<void> {
    const failed = (reason: PieceFailure) => this.report({ kind: 'failed', piece, from: from.peer, reason });
    const size = this.#target.size();
    const source = this.#peers?.(from, this.#digest);
    if (!source || !this.#target.missingOf({ first: piece, count: 1 }) || (size === undefined && piece > 0)) {
      queueMicrotask(() => failed('gone'));
      return;
    }
    const start = size === undefined ? 0 : this.#target.startOfPiece(piece);
    const end = size === undefined ? MiB : this.#target.endOfPiece(piece);
    const bytes = new PeerPiece(this.#pool, end - start, size, (total) => this.#target.begin({ total, ranges: true }));
    const begun = this.#clock.monotonic();
    try {
      await source.read({ start, end }, bytes, this.#stop.signal);
      const ms = this.#clock.monotonic() - begun;
      const actual = bytes.crc32;
      if (!bytes.isWhole || (crc32 !== undefined && actual !== crc32)) {
        this.#metrics.badPieces.inc({ reason: 'crc' });
        this.#log.warn(
          { code: 'BAD_PIECE', digest: this.#digest, piece, peer: from.peer },
          'a peer gave other bytes than their first reader',
        );
        failed('bad');
        return;
      }
      await this.#target.beforePeers();
      if (this.#closed) return;
      let at = start;
      for (const part of bytes.parts()) {
        await this.#target.store(part, at, 'peers');
        at += part.length;
      }
      this.report({ kind: 'piece', piece, crc32: actual, source: 'peers', from: from.peer, ms });
    } catch (error) {
      if (this.#closed) return;
      const reason = peerFailureOf(error);
      if (reason !== undefined) failed(reason);
      else if (isStoreError(error)) this.#target.storeFailed(error);
      else failed('busy');
      this.#log.debug({ code: codeOf(error), digest: this.#digest, piece, peer: from.peer }, describeError(error));
    } finally {
      bytes.release();
    }
  }

  /** What a read from the origin writes to: each piece is reported, with the time it took. */
  #runTarget(lease: number): RunTarget {
    const target = this.#target;
    let pieceBegan = this.#clock.monotonic();
    let said = Number.NEGATIVE_INFINITY;
    return {
      begin: (head) => target.begin(head),
      isAwaited: (start, end) => target.isAwaited(start, end),
      mayReadTo: (position) => target.mayReadTo(position),
      flowChanged: () => target.flowChanged(),
      came: () => {
        const now = this.#clock.monotonic();
        if (now - said < PROGRESS_MS) return;
        said = now;
        this.report({ kind: 'progress', lease });
      },
      store: async (bytes, position) => {
        for (const { piece, crc32 } of await target.store(bytes, position, 'origin')) {
          const now = this.#clock.monotonic();
          this.#metrics.pieceDuration.observe({ source: 'origin' }, (now - pieceBegan) / 1000);
          this.report({ kind: 'piece', piece, crc32, source: 'origin', ms: now - pieceBegan });
          pieceBegan = now;
          said = now;
        }
      },
    };
  }

  #startRun(lease: number, pieces: PieceRun): void {
    const missing = this.#target.missingOf(pieces);
    if (!missing || this.#origins.length === 0) {
      queueMicrotask(() => this.report({ kind: 'ended', lease }));
      return;
    }
    const writer = new RunWriter(this.#runTarget(lease), this.#pool, missing.start, missing.end);
    const abort = new AbortController();
    const run: Run = { writer, abort, done: Promise.resolve() };
    this.#runs.set(lease, run);
    run.done = this.#carryOut(lease, run, missing.end);
  }

  async #carryOut(lease: number, { writer, abort }: Run, end: number): Promise<void> {
    const failure = await this.#readFromOrigins(writer, end, abort.signal);
    await writer.finish().catch(() => undefined);
    this.#runs.delete(lease);
    if (failure === undefined && writer.failure === undefined && this.#target.size() === undefined) {
      this.#target.endedAt(writer.position);
    }
    if (writer.failure === undefined) this.report({ kind: 'ended', lease, ...(failure && { failure }) });
    else if (!this.#closed) this.#target.storeFailed(writer.failure);
  }

  /** Reads on from the writer's position. An origin that says no for good is left, and the next one asked. */
  async #readFromOrigins(writer: RunWriter, end: number, signal: AbortSignal): Promise<LeaseFailure | undefined> {
    for (;;) {
      const origin = this.#origins[0]!;
      const error = await this.#readFrom(origin, writer, end, signal);
      if (error === undefined) return undefined;
      const failure = this.#failed(origin, error);
      if (!failure.final || this.#origins.length === 0) return failure;
      // What one client may not read says nothing about another's right to read it elsewhere.
      if (isOriginError(error) && error.answer !== undefined) this.#target.denied(origin.name, error);
    }
  }

  /** The error that ended the read; undefined when all came that was wanted. */
  async #readFrom(origin: PieceSource, writer: RunWriter, end: number, signal: AbortSignal): Promise<unknown> {
    try {
      // Up to the blob's end the range is left open: the whole of a blob is then one plain GET.
      const isOpen = end >= (this.#target.size() ?? Number.POSITIVE_INFINITY);
      const { position } = writer;
      await origin.read({ start: position, end: isOpen ? undefined : end }, writer, signal);
      if (writer.position >= writer.stopAt || !Number.isFinite(writer.stopAt)) return undefined;
      return new BlobIncomplete({
        digest: this.#digest,
        source: origin.name,
        at: writer.position,
        end: writer.stopAt,
      });
    } catch (error) {
      return error instanceof RunStopped ? undefined : error;
    }
  }

  #failed(origin: PieceSource, error: unknown): LeaseFailure {
    this.#lastError = error;
    const failure = failureOf(error);
    if (failure.final) this.#origins.splice(this.#origins.indexOf(origin), 1);
    if (!this.#closed) {
      this.#log.warn(
        { code: failure.code, digest: this.#digest, origin: origin.name, final: failure.final },
        `a read from the origin ended early: ${describeError(error)}`,
      );
    }
    return failure;
  }
}

/** Errors of the store all begin so; a peer is not to blame for them. */
function isStoreError(error: unknown): boolean {
  return codeOf(error).startsWith('STORE_');
}

function failureOf(error: unknown): LeaseFailure {
  if (isOriginError(error)) return { code: error.code, final: error.final, retryAfterMs: error.retryAfterMs };
  if (error instanceof BlobWrongSize) return { code: error.code, final: true };
  return { code: error instanceof CodedError ? error.code : codeOf(error), final: false };
}
