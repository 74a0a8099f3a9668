import { backoffMs, type Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Assignment, LeaseFailure, PieceRun, Report, Ticket, Want } from '../protocol/coordinator.ts';

/** Origin reads at the same time for one blob: the main one and ranges that clients jumped ahead to. */
export const MAX_LEASES = 4;
/** A client that waits for a piece at most so many pieces ahead of a running read waits for that read. */
export const NEAR_PIECES = 8;
/** Failed reads in a row, with no byte between them, after which the origin is given up. */
export const MAX_TRIES_WITHOUT_PROGRESS = 8;
/** The longest wait that an origin's Retry-After is granted. */
export const RETRY_AFTER_CAP_MS = 20_000;
/** A read that is waited for counts as stalled after so long without a byte. */
export const QUIET_MS = 2000;
const RETRY: Backoff = { firstMs: 200, capMs: 4000 };

interface Lease {
  readonly id: number;
  /** The piece that the read is at. */
  next: number;
  /** The last piece of the run; before `next`: it is over but for its end. */
  last: number;
  /** Whether any piece of it has come. */
  brought: boolean;
  /** Whether any byte of it has come. */
  begun: boolean;
  /** When it was granted, or last heard of. */
  heardAt: number;
}

export interface OriginReadsDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
}

/**
 * What a proxy that is alone reads of one blob from the origin: all that is awaited, in as few requests as the clients'
 * waiting allows (a whole blob is one read; a client that waits far from any read gets a read of its own, for what it waits
 * for). It also keeps the book of which pieces are here, and which are on their way.
 */
export class OriginReads implements Ticket {
  readonly #want: Want;
  readonly #listener: (assignment: Assignment) => void;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #random: () => number;
  /** Here, or on their way from a peer. */
  readonly #held: Set<number>;
  /** Pieces that have come since the wish was opened. */
  readonly #came = new Set<number>();
  readonly #leases = new Map<number, Lease>();
  #pieceCount: number | undefined;
  #awaited: readonly PieceRun[] = [];
  #ranges = true;
  #tries = 0;
  /** A read gave way because nothing came of it, and none has brought anything since. */
  #hasStalled = false;
  #lastId = 0;
  #gaveUp = false;
  #closed = false;
  /** While set, a decision is due: at once, or after a wait. */
  #cancel: (() => void) | undefined;
  #pausedUntil = 0;

  /** `listener` hears `none` when the origin is given up. */
  constructor(want: Want, listener: (assignment: Assignment) => void, { clock, log, random }: OriginReadsDeps) {
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
    if (this.#closed) return;
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
        this.#hasStalled = false;
        this.#heard(this.#leases.get(report.lease));
        return;
      case 'failed':
        // It was on its way from a peer; it may have come from another source meanwhile.
        if (this.#came.has(report.piece)) return;
        this.#held.delete(report.piece);
        this.#decideSoon();
        return;
      case 'piece':
        this.#held.add(report.piece);
        this.#came.add(report.piece);
        this.#advance(report.piece);
        return;
      case 'reading':
        this.#held.add(report.piece);
        this.#came.add(report.piece);
        return;
      case 'lost':
        this.#held.delete(report.piece);
        this.#came.delete(report.piece);
        this.#decideSoon();
        return;
      case 'settled':
        return;
      case 'ended':
        this.#ended(report.lease, report.failure);
    }
  }

  /** Who is alone reads it again by itself. */
  dispute(): boolean {
    return false;
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  // --- what a coordinator that has other sources too asks ---

  /** Undefined while the blob's size is not known. */
  get pieceCount(): number | undefined {
    return this.#pieceCount;
  }

  /** The origin has failed for good, or too often: it is not read any more, until `resume`. */
  get gaveUp(): boolean {
    return this.#gaveUp;
  }

  /** The origin is tried again. */
  resume(): void {
    this.#gaveUp = false;
    this.#tries = 0;
    this.#decideSoon();
  }

  /** The origin does not give what is awaited of it: since its last byte it has failed so many times, or it is silent. */
  isTroubled(awaited: readonly PieceRun[], failures = 1): boolean {
    if (this.#gaveUp || this.#hasStalled || this.#tries >= failures) return true;
    return this.#live().some((lease) => this.#isStalled(lease) && isAwaited(awaited, lease.next));
  }

  /** When the next read counts as stalled, if nothing is heard of it; Infinity: none can. */
  get stallsAt(): number {
    const running = this.#live().filter((lease) => !this.#isStalled(lease));
    return Math.min(...running.map(({ heardAt }) => heardAt + QUIET_MS));
  }

  /** A read that goes on and should not be cut: the origin would begin from the front again. */
  get isOnlyRead(): boolean {
    return !this.#ranges && this.#live().some((lease) => !this.#isStalled(lease));
  }

  /** Ends each read with the piece that it is at; one of which no byte has come, or comes any more, at once. */
  giveWay(): void {
    // Of a blob of unknown size, where a piece ends is not known.
    if (this.#pieceCount === undefined) return;
    for (const lease of this.#live()) {
      const isStalled = this.#isStalled(lease);
      const last = lease.begun && !isStalled ? lease.next : lease.next - 1;
      if (last >= lease.last) continue;
      if (isStalled) this.#hasStalled = true;
      lease.last = last;
      lease.brought = true;
      this.#listener({ kind: 'cut', lease: lease.id, last });
    }
  }

  /** The first awaited piece that is neither here nor on its way. */
  firstFree(awaited: readonly PieceRun[]): number | undefined {
    for (const run of awaited) {
      const end = Math.min(run.first + run.count, this.#pieceCount ?? 1);
      for (let piece = run.first; piece < end; piece += 1) {
        if (!this.#held.has(piece) && this.#mayPass(this.#readerOf(piece))) return piece;
      }
    }
    return undefined;
  }

  /** The piece is on its way from a peer, until it is reported as come or failed. */
  claim(piece: number): void {
    this.#held.add(piece);
  }

  // --- its own course ---

  /** While the size is not known nothing can be cut: a read that has not begun is raced. */
  #mayPass(reader: Lease | undefined): boolean {
    return !reader || (this.#pieceCount === undefined && (!reader.begun || this.#isStalled(reader)));
  }

  #live(): Lease[] {
    return [...this.#leases.values()].filter(({ next, last }) => next <= last);
  }

  #isStalled({ heardAt }: Lease): boolean {
    return this.#clock.monotonic() - heardAt >= QUIET_MS;
  }

  #heard(lease: Lease | undefined): void {
    if (!lease) return;
    lease.begun = true;
    lease.heardAt = this.#clock.monotonic();
  }

  /** Pieces may be reported out of order: writes of one read overlap. */
  #advance(piece: number): void {
    for (const lease of this.#leases.values()) {
      if (piece < lease.next || piece > lease.last) continue;
      lease.brought = true;
      this.#heard(lease);
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
    if (this.#gaveUp) return;
    this.#gaveUp = true;
    this.#soon(() => this.#listener({ kind: 'none' }));
  }

  /** Decisions are put off, so that no assignment comes from within a call, and many reports make one decision. */
  #decideSoon(): void {
    if (this.#closed || this.#gaveUp) return;
    const wait = this.#pausedUntil - this.#clock.monotonic();
    if (wait <= 0) {
      this.#soon(() => this.#decide());
      return;
    }
    this.#cancel?.();
    this.#cancel = this.#clock.after(wait, () => this.#decide());
  }

  #soon(work: () => void): void {
    this.#cancel?.();
    let cancelled = false;
    queueMicrotask(() => {
      if (!cancelled) work();
    });
    this.#cancel = () => {
      cancelled = true;
    };
  }

  #decide(): void {
    this.#cancel = undefined;
    for (const wanted of this.#awaited) {
      if (this.#live().length >= (this.#ranges ? MAX_LEASES : 1)) return;
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
    for (const lease of this.#live()) if (lease.next > first) last = Math.min(last, lease.next - 1);
    for (let piece = first + 1; piece <= last && Number.isFinite(last); piece += 1) {
      if (this.#held.has(piece)) last = piece - 1;
    }
    this.#lastId += 1;
    const heardAt = this.#clock.monotonic();
    this.#leases.set(this.#lastId, { id: this.#lastId, next: first, last, brought: false, begun: false, heardAt });
    this.#listener({ kind: 'lease', lease: this.#lastId, run: { first, count: last - first + 1 } });
  }
}

function isAwaited(awaited: readonly PieceRun[], piece: number): boolean {
  return awaited.some(({ first, count }) => piece >= first && piece < first + count);
}
