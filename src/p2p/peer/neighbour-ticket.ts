import type { Assignment, PeerTarget, PieceReport, PieceRun, Report, Ticket, Want } from '../protocol/coordinator.ts';
import { MiB } from '../../base/units.ts';
import { pieceSizeOf } from '../../base/pieces.ts';
import { Holders } from './holders.ts';
import type { NeighbourHost } from './neighbour-coordinator.ts';
import { OriginReads } from './origin-reads.ts';

/** So long the origin is not read while peers may still say that they have the blob. */
export const ANSWER_MS = 300;
/** The same for a blob of one piece, or of unknown size, as manifests are. */
export const SMALL_ANSWER_MS = 75;
/** Everybody is asked so often at most, while the origin does not give. */
export const ASK_AGAIN_MS = 10_000;
/** A piece that has not come after so long, and so long for each MiB of it, is to come another way. */
export const OVERDUE_MS = 5000;
export const OVERDUE_MS_PER_MIB = 2000;

/** Failures of the origin in a row after which peers are asked that have failed too. */
const LAST_RESORT_FAILURES = 3;

/** A piece on its way. */
interface Fetch {
  readonly from: PeerTarget;
  readonly overdueAt: number;
}

/** One blob that is wanted; see neighbour-coordinator.ts. */
export class NeighbourTicket implements Ticket {
  readonly #host: NeighbourHost;
  readonly #want: Want;
  readonly #listener: (assignment: Assignment) => void;
  readonly #reads: OriginReads;
  readonly #holders = new Holders();
  readonly #fetches = new Map<number, Fetch>();
  readonly #stop = new AbortController();
  /** In bytes, once known. */
  #size: number | undefined;
  #awaited: readonly PieceRun[] = [];
  /** Whether peers are being asked. */
  #isAsking = false;
  /** When they were asked first, on the clock that never jumps. */
  #askedAt: number | undefined;
  /** When everybody had been asked last. */
  #askedAllAt = Number.NEGATIVE_INFINITY;
  /** Something new has happened since the origin was given up: it may be tried again. */
  #mayResume = false;
  #isDue = false;
  #isOver = false;
  #cancelAlarm: (() => void) | undefined;

  constructor(host: NeighbourHost, want: Want, listener: (assignment: Assignment) => void) {
    this.#host = host;
    this.#want = want;
    this.#listener = listener;
    this.#size = want.size;
    this.#reads = new OriginReads(want, (assignment) => this.#assigned(assignment), host);
  }

  // --- what the proxy says ---

  awaiting(runs: readonly PieceRun[]): void {
    this.#awaited = runs;
    if (runs.length > 0) this.#mayResume = true;
    this.#decideSoon();
  }

  report(report: Report): void {
    if (this.#isOver) return;
    if (report.kind === 'piece') this.#came(report);
    else if (report.kind === 'failed') {
      const fetch = this.#fetches.get(report.piece);
      this.#holders.failed(report.from, report.reason, this.#host.clock.monotonic());
      if (report.reason !== 'busy' && report.reason !== 'gone') this.#host.neighbours.failed(report.from);
      // Somebody else is fetching it by now.
      if (fetch && fetch.from.peer !== report.from) return;
      this.#fetchIsOver(report.piece);
    } else if (report.kind === 'pieces') this.#size ??= report.size;
    const hadGivenUp = this.#reads.gaveUp;
    this.#reads.report(report);
    if (this.#reads.gaveUp && !hadGivenUp) this.#mayResume = false;
    this.#decideSoon();
  }

  dispute(): boolean {
    return this.#reads.dispute();
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelAlarm?.();
    this.#stop.abort();
    this.#reads.close();
    // What is on its way comes all the same, but not for this ticket.
    for (const piece of this.#fetches.keys()) this.#fetchIsOver(piece);
    this.#host.closed(this);
  }

  // --- what the coordinator asks ---

  /** Pieces on their way to it. */
  get fetches(): number {
    return this.#fetches.size;
  }

  get isOnePiece(): boolean {
    return (this.#reads.pieceCount ?? 1) <= 1;
  }

  /** Has the next piece fetched; false: there is none, or nobody to give it. */
  fetchNext(): boolean {
    const now = this.#host.clock.monotonic();
    const piece = this.#isOver ? undefined : this.#reads.firstFree(this.#awaited);
    const from = piece === undefined ? undefined : this.#leastLoaded(this.#usable(now));
    if (piece === undefined || !from) return false;
    this.#reads.claim(piece);
    const overdueMs = OVERDUE_MS + (OVERDUE_MS_PER_MIB * pieceSizeOf(this.#size ?? 0)) / MiB;
    this.#fetches.set(piece, { from, overdueAt: now + overdueMs });
    this.#host.begun(from.peer);
    this.#setAlarm(now);
    this.#listener({ kind: 'fetch', piece, from, crc32: undefined });
    return true;
  }

  // --- its own course ---

  #assigned(assignment: Assignment): void {
    // Whether the origin's giving up is the end is decided here.
    if (assignment.kind !== 'none') this.#listener(assignment);
  }

  #came({ piece, from }: PieceReport): void {
    if (from !== undefined) {
      this.#holders.gave(from);
      this.#mayResume = true;
    }
    this.#fetchIsOver(piece);
  }

  #fetchIsOver(piece: number): void {
    const fetch = this.#fetches.get(piece);
    if (!fetch) return;
    this.#fetches.delete(piece);
    this.#host.over(fetch.from.peer);
  }

  /** Decisions are put off, so that no assignment comes from within a call, and many reports make one decision. */
  #decideSoon(): void {
    if (this.#isDue || this.#isOver) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      if (!this.#isOver) this.#decide();
    });
  }

  #decide(): void {
    const now = this.#host.clock.monotonic();
    this.#writeOff(now);
    if (this.#awaited.length === 0) this.#reads.awaiting([]);
    else this.#serve(now);
    if (!this.#isOver) this.#setAlarm(now);
  }

  #serve(now: number): void {
    if (this.#askedAt === undefined && this.#reads.firstFree(this.#awaited) !== undefined) {
      this.#askedAt = now;
      this.#ask(false);
    }
    if (this.#usable(now).length > 0 && !this.#reads.isOnlyRead) {
      this.#reads.awaiting([]);
      this.#reads.giveWay();
      this.#host.hungry(this);
      return;
    }
    if (this.#isTroubled && now - this.#askedAllAt >= ASK_AGAIN_MS) this.#ask(true);
    if (!this.#isWaiting(now)) this.#readOrigin();
  }

  #readOrigin(): void {
    if (this.#reads.gaveUp) {
      if (!this.#mayResume) {
        if (this.#holders.isEmpty && this.#fetches.size === 0 && !this.#isAsking) this.#giveUp();
        return;
      }
      this.#mayResume = false;
      this.#reads.resume();
    }
    this.#reads.awaiting(this.#awaited);
  }

  #giveUp(): void {
    this.close();
    this.#listener({ kind: 'none' });
  }

  /** Pieces that have not come for too long: who was to give them is doubtful from now on. */
  #writeOff(now: number): void {
    for (const [piece, { from, overdueAt }] of this.#fetches) {
      if (overdueAt > now) continue;
      this.#holders.isSlow(from.peer);
      this.#host.neighbours.failed(from.peer);
      this.#fetchIsOver(piece);
      this.#reads.report({ kind: 'failed', piece, from: from.peer, reason: 'timeout' });
    }
  }

  // --- who has it ---

  #ask(everybody: boolean): void {
    if (this.#isAsking) return;
    const { digest, holders = [] } = this.#want;
    const search = { digest, first: holders, except: this.#holders.settled, thorough: everybody };
    const asking = this.#host.neighbours.find(search, (peer) => this.#found(peer), this.#stop.signal);
    if (everybody) this.#askedAllAt = this.#host.clock.monotonic();
    if (!asking) return;
    this.#isAsking = true;
    void asking.then(() => {
      this.#isAsking = false;
      if (everybody) this.#askedAllAt = this.#host.clock.monotonic();
      this.#decideSoon();
    });
  }

  #found(peer: PeerTarget): void {
    this.#holders.add(peer);
    this.#decideSoon();
  }

  /** The origin waits for the peers' answers. */
  #isWaiting(now: number): boolean {
    return this.#isAsking && now < this.#answersUntil && !this.#isTroubled;
  }

  get #answersUntil(): number {
    return (this.#askedAt ?? 0) + (this.isOnePiece ? SMALL_ANSWER_MS : ANSWER_MS);
  }

  get #isTroubled(): boolean {
    return this.#reads.isTroubled(this.#awaited);
  }

  /** Those who have not failed; where the origin fails again and again, the others too. */
  #usable(now: number): PeerTarget[] {
    return this.#holders.usable(now, this.#reads.isTroubled(this.#awaited, LAST_RESORT_FAILURES));
  }

  #leastLoaded(peers: readonly PeerTarget[]): PeerTarget | undefined {
    let best: PeerTarget | undefined;
    for (const peer of peers) if (!best || this.#host.loadOf(peer.peer) < this.#host.loadOf(best.peer)) best = peer;
    return best;
  }

  // --- time ---

  /** One timer for all that may become due without a word from anybody. */
  #setAlarm(now: number): void {
    this.#cancelAlarm?.();
    const dueAt = [
      this.#holders.restedAt(now),
      this.#reads.stallsAt,
      ...[...this.#fetches.values()].map((f) => f.overdueAt),
    ];
    if (this.#isWaiting(now)) dueAt.push(this.#answersUntil);
    const at = Math.min(...dueAt);
    this.#cancelAlarm = Number.isFinite(at) ? this.#host.clock.after(at - now, () => this.#decideSoon()) : undefined;
  }
}
