import { backoffMs, type Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { silentLogger, type Logger } from '../../base/log.ts';
import type { Assignment, Coordinator, LeaseFailure, PieceRun, Report, Ticket, Want } from '../protocol/coordinator.ts';

/** Origin reads at the same time for one blob: the main one and ranges that clients jumped ahead to. */
export const MAX_LEASES = 4;
/** A client that waits for a piece at most so many pieces ahead of a running read waits for that read. */
export const NEAR_PIECES = 8;
/** Failed reads in a row, with no byte between them, after which a blob is given up. */
export const MAX_TRIES_WITHOUT_PROGRESS = 8;
/** The longest wait that an origin's Retry-After is granted. */
export const RETRY_AFTER_CAP_MS = 20_000;
const RETRY: Backoff = { firstMs: 200, capMs: 4000 };

/**
 * Decides for a proxy that is alone: every piece comes from the origin, in as few requests as the clients' waiting allows
 * (a whole blob is one read; a client that waits far from any read gets a read of its own, for what it waits for).
 */
export class SoloCoordinator implements Coordinator {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #random: () => number;

  constructor(deps: { clock: Clock; log?: Logger; random?: () => number }) {
    this.#clock = deps.clock;
    this.#log = deps.log ?? silentLogger;
    this.#random = deps.random ?? Math.random;
  }

  want(want: Want, listener: (assignment: Assignment) => void): Ticket {
    return new SoloTicket(want, listener, this.#clock, this.#log, this.#random);
  }
}

interface Lease {
  readonly id: number;
  /** The piece that the read is at. */
  next: number;
  /** The last piece of the run. */
  last: number;
  /** Whether any piece of it has come. */
  brought: boolean;
}

class SoloTicket implements Ticket {
  readonly #want: Want;
  readonly #listener: (assignment: Assignment) => void;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #random: () => number;
  readonly #held: Set<number>;
  readonly #leases = new Map<number, Lease>();
  #pieceCount: number | undefined;
  #awaited: readonly PieceRun[] = [];
  #ranges = true;
  #tries = 0;
  #lastId = 0;
  #over = false;
  /** While set, a decision is due: at once, or after a wait. */
  #cancel: (() => void) | undefined;
  #pausedUntil = 0;

  constructor(want: Want, listener: (assignment: Assignment) => void, clock: Clock, log: Logger, random: () => number) {
    this.#want = want;
    this.#listener = listener;
    this.#clock = clock;
    this.#log = log;
    this.#random = random;
    this.#held = new Set(want.held);
    this.#pieceCount = want.pieceCount;
  }

  awaiting(runs: readonly PieceRun[]): void {
    this.#awaited = runs;
    this.#decideSoon();
  }

  report(report: Report): void {
    if (this.#over) return;
    switch (report.kind) {
      case 'pieces':
        this.#pieceCount = report.pieceCount;
        for (const lease of this.#leases.values()) lease.last = Math.min(lease.last, report.pieceCount - 1);
        return;
      case 'no-ranges':
        this.#ranges = false;
        return;
      case 'progress':
        this.#tries = 0;
        return;
      case 'failed':
        // Of a fetch that was assigned before the proxy was alone: the piece comes from the origin like the others.
        return;
      case 'piece':
        this.#held.add(report.piece);
        this.#advance(report.piece);
        return;
      case 'reading':
        this.#held.add(report.piece);
        return;
      case 'lost':
        this.#held.delete(report.piece);
        this.#decideSoon();
        return;
      case 'settled':
        return;
      case 'ended':
        this.#ended(report.lease, report.failure);
    }
  }

  dispute(): boolean {
    return false;
  }

  close(): void {
    this.#over = true;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Pieces may be reported out of order: writes of one read overlap. */
  #advance(piece: number): void {
    for (const lease of this.#leases.values()) {
      if (piece < lease.next || piece > lease.last) continue;
      lease.brought = true;
      while (lease.next <= lease.last && this.#held.has(lease.next)) lease.next += 1;
    }
  }

  #ended(id: number, failure: LeaseFailure | undefined): void {
    const lease = this.#leases.get(id);
    this.#leases.delete(id);
    if (failure) {
      this.#failed(failure);
      return;
    }
    // A read that brought nothing is not begun again at once, or it could go on for ever.
    if (lease?.brought === false) this.#pausedUntil = this.#clock.monotonic() + RETRY.firstMs;
    this.#decideSoon();
  }

  #failed(failure: LeaseFailure): void {
    this.#tries += 1;
    if (failure.final || this.#tries >= MAX_TRIES_WITHOUT_PROGRESS) {
      this.#giveUp();
      return;
    }
    const asked = Math.min(failure.retryAfterMs ?? 0, RETRY_AFTER_CAP_MS);
    const wait = Math.max(asked, backoffMs(RETRY, this.#tries - 1, this.#random));
    this.#log.debug({ code: failure.code, digest: this.#want.digest, waitMs: wait }, 'the origin is asked again');
    this.#pausedUntil = this.#clock.monotonic() + wait;
    this.#decideSoon();
  }

  #giveUp(): void {
    this.#over = true;
    let closed = false;
    this.#cancel?.();
    this.#cancel = () => {
      closed = true;
    };
    queueMicrotask(() => {
      if (!closed) this.#listener({ kind: 'none' });
    });
  }

  /** Decisions are put off, so that no assignment comes from within a call, and many reports make one decision. */
  #decideSoon(): void {
    if (this.#over) return;
    this.#cancel?.();
    const wait = this.#pausedUntil - this.#clock.monotonic();
    let cancelled = false;
    if (wait > 0) {
      this.#cancel = this.#clock.after(wait, () => this.#decide());
    } else {
      queueMicrotask(() => {
        if (!cancelled) this.#decide();
      });
      this.#cancel = () => {
        cancelled = true;
      };
    }
  }

  #decide(): void {
    this.#cancel = undefined;
    for (const wanted of this.#awaited) {
      if (this.#leases.size >= (this.#ranges ? MAX_LEASES : 1)) return;
      const first = this.#firstUnclaimed(wanted);
      if (first !== undefined) this.#grant(first, wanted.first + wanted.count - 1);
    }
  }

  /** The first piece of the run that is not here, unless a running read will bring it soon. */
  #firstUnclaimed(run: PieceRun): number | undefined {
    const end = Math.min(run.first + run.count, this.#pieceCount ?? Number.POSITIVE_INFINITY);
    let piece = run.first;
    while (piece < end && this.#held.has(piece)) piece += 1;
    if (piece >= end) return undefined;
    const reader = this.#readerOf(piece);
    const isNear = reader !== undefined && (!this.#ranges || piece - reader.next <= NEAR_PIECES);
    return isNear ? undefined : piece;
  }

  #readerOf(piece: number): Lease | undefined {
    for (const lease of this.#leases.values()) {
      if (piece >= lease.next && piece <= lease.last) return lease;
    }
    return undefined;
  }

  #grant(first: number, wantedLast: number): void {
    const overtaken = this.#readerOf(first);
    let last = Math.min(wantedLast, (this.#pieceCount ?? Number.POSITIVE_INFINITY) - 1);
    if (overtaken) {
      last = Math.min(last, overtaken.last);
      overtaken.last = first - 1;
      this.#listener({ kind: 'cut', lease: overtaken.id, last: overtaken.last });
    }
    // The run ends where something is here already, or another read begins.
    for (const lease of this.#leases.values()) if (lease.next > first) last = Math.min(last, lease.next - 1);
    for (let piece = first + 1; piece <= last && Number.isFinite(last); piece += 1) {
      if (this.#held.has(piece)) last = piece - 1;
    }
    this.#lastId += 1;
    this.#leases.set(this.#lastId, { id: this.#lastId, next: first, last, brought: false });
    this.#listener({ kind: 'lease', lease: this.#lastId, run: { first, count: last - first + 1 } });
  }
}
