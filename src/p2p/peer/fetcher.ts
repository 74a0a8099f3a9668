import { setMaxListeners } from 'node:events';
import { codeOf, describeError } from '../../base/errors.ts';
import type { Digest } from '../../base/digest.ts';
import type { Logger } from '../../base/log.ts';
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
import { peerFailureOf } from './errors.ts';
import { MiB } from '../../base/units.ts';
import { PeerPiece } from './peer-piece.ts';
import type { WholePiece } from './piece-crcs.ts';
import type { Clock } from '../../base/clock.ts';
import type { Metrics } from '../../base/metrics.ts';
import type { BufferPool } from '../../http/buffer-pool.ts';
import type { Corrections } from './corrections.ts';
import type { Demand } from './demand.ts';
import type { IncomingBytes } from './incoming-bytes.ts';
import type { Origins } from './origins.ts';
import type { PieceSource } from './piece-source.ts';
import { RunStopped, RunWriter, type RunTarget } from './run-writer.ts';
import { SecondRead, type Reading } from './second-read.ts';

/** The blob that is coming in, as the fetcher sees it. */
export interface FetchTarget extends Pick<RunTarget, 'begin'> {
  readonly bytes: IncomingBytes;
  readonly demand: Pick<Demand, 'isAwaited' | 'mayReadTo' | 'flowChanged'>;
  readonly corrections: Pick<Corrections, 'replaceTarget' | 'secondReading' | 'disputed'>;
  /** Stores bytes at `position`; gives the pieces that have become whole with them. `pieceCrc32` is known of peers' pieces. */
  store(bytes: Buffer, position: number, source: 'origin' | 'peers', pieceCrc32?: number): Promise<WholePiece[]>;
  /** A peer's piece, from `start` on, is about to be stored, which no client's origin gives: resolves when clients without leave are out. */
  beforePeers(piece: Pick<PeerPiece, 'shown' | 'parts'>, start: number): Promise<void>;
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
export const PROGRESS_MS = 1000;
/** The same while a write is under way, but no longer than this: a disk that hangs must not keep a lease. */
export const DISK_BUSY_MS = 8000;

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
  readonly #origins: Origins;
  readonly #peers: PeerSources | undefined;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #runs = new Map<number, Run>();
  readonly #fetches = new Set<Promise<unknown>>();
  readonly #stop = new AbortController();
  readonly #ticket: Ticket;
  #closed = false;

  constructor(options: {
    want: Want;
    coordinator: Coordinator;
    target: FetchTarget;
    origins: Origins;
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
    this.#origins = options.origins;
    // Each piece on its way listens to it; how many these are the coordinator bounds.
    setMaxListeners(0, this.#stop.signal);
    this.#ticket = options.coordinator.want(options.want, (assignment) => this.#assigned(assignment));
  }

  awaiting(runs: readonly PieceRun[]): void {
    this.#ticket.awaiting(runs);
  }

  report(report: Report): void {
    if (!this.#closed) this.#ticket.report(report);
  }

  /** Has the blob disputed; see `Ticket.dispute`. */
  dispute(): boolean {
    return this.#ticket.dispute();
  }

  /** Reads whole pieces from the origin though they may be here; `told` is called with each. Why it ended early, if it did. */
  async readAgain(
    pieces: PieceRun,
    told: (reading: Reading) => void,
    came = ignore,
  ): Promise<LeaseFailure | undefined> {
    const target = this.#target.corrections.replaceTarget();
    if (!target || this.#closed) return { code: 'ABORTED', final: true };
    const start = this.#target.bytes.startOfPiece(pieces.first);
    const end = this.#target.bytes.endOfPiece(pieces.first + pieces.count - 1);
    const second = new SecondRead(target, told);
    const read = this.#readInto(
      new RunWriter(
        { ...this.#unhindered(came), store: (bytes, at) => second.store(bytes, at) },
        this.#pool,
        start,
        end,
      ),
      end,
    ).finally(() => this.#fetches.delete(read));
    this.#fetches.add(read);
    const failure = await read;
    for (const piece of second.broken) this.report({ kind: 'lost', piece });
    return failure;
  }

  /** Lets every run for which `isNeeded(next byte, end)` is false end with its current piece. */
  stopUnneeded(isNeeded: (position: number, end: number) => boolean): void {
    for (const { writer, abort } of this.#runs.values()) {
      if (isNeeded(writer.position, writer.stopAt)) continue;
      if (writer.finishBefore(this.#target.bytes.pieceEndAt(writer.position))) abort.abort(new RunStopped());
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
        if (run?.writer.stopBefore(this.#target.bytes.endOfPiece(assignment.last))) run.abort.abort(new RunStopped());
        return;
      }
      case 'fetch': {
        const fetch = this.#fetchPiece(assignment).finally(() => this.#fetches.delete(fetch));
        this.#fetches.add(fetch);
        return;
      }
      case 'read-again':
        void this.#leaseAgain(assignment.lease, assignment.run);
        return;
      case 'second-reading':
        this.#target.corrections.secondReading(assignment);
        return;
      case 'dispute':
        this.#target.corrections.disputed(assignment.isOver);
        return;
      case 'none':
        this.#target.gaveUp(this.#origins.lastError ?? new Error('no peer has it, and no origin may be asked'));
    }
  }

  /** Behind peers only whole pieces are taken, each checked against the CRC-32 that the first reader told. */
  async #fetchPiece({ piece, from, crc32 }: Assignment & { kind: 'fetch' }): Promise<void> {
    const failed = (reason: PieceFailure) => this.report({ kind: 'failed', piece, from: from.peer, reason });
    const size = this.#target.bytes.size;
    const source = this.#peers?.(from, this.#digest);
    if (!source || !this.#target.bytes.missingOf({ first: piece, count: 1 }) || (size === undefined && piece > 0)) {
      queueMicrotask(() => failed('gone'));
      return;
    }
    const start = size === undefined ? 0 : this.#target.bytes.startOfPiece(piece);
    const end = size === undefined ? MiB : this.#target.bytes.endOfPiece(piece);
    const bytes = new PeerPiece(this.#pool, end - start, size, (total) => this.#target.begin({ total, ranges: true }));
    const begun = this.#clock.monotonic();
    try {
      await source.read({ start, end }, bytes, this.#stop.signal);
      const ms = this.#clock.monotonic() - begun;
      const actual = bytes.crc32;
      if (!bytes.isWhole || (crc32 !== undefined && actual !== crc32)) {
        this.#metrics.badPieces.inc({ reason: 'crc' });
        this.#log.warn(
          {
            code: 'BAD_PIECE',
            digest: this.#digest,
            piece,
            peer: from.peer,
            todo: 'it is fetched elsewhere by itself; if one peer is named again and again, look at its memory, disk and network',
          },
          'a peer gave other bytes than their first reader',
        );
        failed('bad');
        return;
      }
      await this.#target.beforePeers(bytes, start);
      if (this.#closed) return;
      await this.#storeParts(bytes.parts(), start, actual, () => {
        // Of a blob whose size nobody knew, only a part was asked for where its pieces are larger.
        if (this.#target.bytes.missingOf({ first: piece, count: 1 })) failed('busy');
        else this.report({ kind: 'piece', piece, crc32: actual, source: 'peers', from: from.peer, ms });
      });
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

  /** Stores what a peer gave, all parts at the same time. `stored` is called with the last, in its own turn: see `#runTarget`. */
  async #storeParts(parts: readonly Buffer[], start: number, pieceCrc32: number, stored: () => void): Promise<void> {
    let left = parts.length;
    let at = start;
    const storing = parts.map(async (part) => {
      const position = at;
      at += part.length;
      await this.#target.store(part, position, 'peers', pieceCrc32);
      left -= 1;
      if (left === 0) stored();
    });
    // Where one has failed the others are waited for too: their memory is given back behind this.
    for (const one of await Promise.allSettled(storing)) if (one.status === 'rejected') throw one.reason;
  }

  /** What a read from the origin writes to: each piece is reported, with the time it took. */
  #runTarget(lease: number): RunTarget {
    const target = this.#target;
    let pieceBegan = this.#clock.monotonic();
    const progress = this.#progressOf(lease);
    return {
      begin: (head) => target.begin(head),
      isAwaited: (start, end) => target.demand.isAwaited(start, end),
      mayReadTo: (position) => target.demand.mayReadTo(position, this),
      flowChanged: () => target.demand.flowChanged(),
      came: () => progress.came(),
      store: async (bytes, position) => {
        const written = this.#sayingSo(progress.came);
        let whole: WholePiece[] = [];
        // No `finally()`: a dispute that these bytes begin must find the piece reported, in this very turn.
        try {
          whole = await target.store(bytes, position, 'origin');
        } finally {
          written();
        }
        for (const { piece, crc32 } of whole) {
          const now = this.#clock.monotonic();
          this.#metrics.pieceDuration.observe({ source: 'origin' }, (now - pieceBegan) / 1000);
          this.report({ kind: 'piece', piece, crc32, source: 'origin', ms: now - pieceBegan });
          pieceBegan = now;
          progress.said();
        }
      },
    };
  }

  /** A write that takes its time is no silence of the origin: the read goes on behind it. For a disk that hangs, there is an end. */
  #sayingSo(came: () => void): () => void {
    let left = DISK_BUSY_MS / PROGRESS_MS;
    let cancel = (): void => undefined;
    const again = (): void => {
      cancel = this.#clock.after(PROGRESS_MS, () => {
        came();
        left -= 1;
        if (left > 0) again();
      });
    };
    again();
    return () => cancel();
  }

  #startRun(lease: number, pieces: PieceRun): void {
    const missing = this.#target.bytes.missingOf(pieces);
    if (!missing) {
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
    try {
      // Nothing is read that cannot be kept: it would be read again, to be streamed through (I3).
      await this.#target.bytes.whenOpen();
    } catch (error) {
      this.#runs.delete(lease);
      if (!this.#closed) this.#target.storeFailed(error);
      return;
    }
    const failure = await this.#readFromOrigins(writer, end, abort.signal);
    await writer.finish().catch(() => undefined);
    this.#runs.delete(lease);
    if (failure === undefined && writer.failure === undefined && this.#target.bytes.size === undefined) {
      this.#target.endedAt(writer.position);
    }
    if (writer.failure === undefined) this.report({ kind: 'ended', lease, ...(failure && { failure }) });
    else if (!this.#closed) this.#target.storeFailed(writer.failure);
  }

  #readFromOrigins(writer: RunWriter, end: number, signal: AbortSignal): Promise<LeaseFailure | undefined> {
    const blobSize = this.#target.bytes.size;
    return this.#origins.read(writer, { end, blobSize }, signal, (name, error) => this.#target.denied(name, error));
  }

  // --- second reads ---

  async #leaseAgain(lease: number, run: PieceRun): Promise<void> {
    const told = (reading: Reading) => this.report({ kind: 'reading', lease, ...reading });
    const failure = await this.readAgain(run, told, this.#progressOf(lease).came);
    this.report({ kind: 'ended', lease, ...(failure && { failure }) });
  }

  /** Nothing holds such a read back: few are under way, and all who dispute wait for it. */
  #unhindered(came: () => void): Omit<RunTarget, 'store'> {
    return {
      begin: (head) => this.#target.begin(head),
      came,
      isAwaited: () => false,
      mayReadTo: () => Number.POSITIVE_INFINITY,
      flowChanged: () => this.#target.demand.flowChanged(),
    };
  }

  async #readInto(writer: RunWriter, end: number): Promise<LeaseFailure | undefined> {
    const failure = await this.#readFromOrigins(writer, end, this.#stop.signal);
    await writer.finish().catch(() => undefined);
    if (writer.failure === undefined) return failure;
    if (!this.#closed) this.#target.storeFailed(writer.failure);
    return { code: codeOf(writer.failure), final: true };
  }

  /** Says that bytes of a lease come, unless something was said of it a moment ago. */
  #progressOf(lease: number): { came: () => void; said: () => void } {
    let saidAt = Number.NEGATIVE_INFINITY;
    const said = () => {
      saidAt = this.#clock.monotonic();
    };
    const came = () => {
      if (this.#clock.monotonic() - saidAt < PROGRESS_MS) return;
      said();
      this.report({ kind: 'progress', lease });
    };
    return { came, said };
  }
}

/** Errors of the store all begin so; a peer is not to blame for them. */
function isStoreError(error: unknown): boolean {
  return codeOf(error).startsWith('STORE_');
}

function ignore(): void {}
