import type { Digest } from '../../base/digest.ts';
import type { Assignment, PeerTarget, PieceReport, PieceRun, Report, Ticket, Want } from '../protocol/coordinator.ts';
import type { TicketHost } from './remote-coordinator.ts';
import { TicketDispute } from './ticket-dispute.ts';
import { TicketFetches } from './ticket-fetches.ts';
import { TicketLeases } from './ticket-leases.ts';
import { TicketPieces } from './ticket-pieces.ts';
import { TicketSilence } from './ticket-silence.ts';
import { TicketSolo } from './ticket-solo.ts';
import { TicketWish } from './ticket-wish.ts';

/**
 * One blob that is wanted, through the supernode or alone; see remote-coordinator.ts. It takes what the proxy, the supernode and
 * the solo coordinator say, keeps what is known by it (`TicketPieces`, `TicketFetches`, `TicketLeases`, `TicketDispute`), and
 * passes it on to who decides now: a `TicketWish` while it has joined, a `TicketSolo` while it is alone, and before it has said
 * what is awaited, or while a session that was lost has its time to come back (`TicketSilence`), neither.
 */
export class RemoteTicket implements Ticket {
  readonly #host: TicketHost;
  readonly #want: Want;
  readonly #listener: (assignment: Assignment) => void;
  readonly #pieces: TicketPieces;
  readonly #fetches: TicketFetches;
  readonly #leases: TicketLeases;
  readonly #dispute: TicketDispute;
  readonly #silence: TicketSilence;
  #noRanges = false;
  #wish: TicketWish | undefined;
  #solo: TicketSolo | undefined;
  /** The supernode wants nothing to do with this blob. */
  #leftAlone = false;
  #closed = false;

  constructor(host: TicketHost, want: Want, listener: (assignment: Assignment) => void) {
    this.#host = host;
    this.#want = want;
    this.#listener = listener;
    this.#pieces = new TicketPieces(want);
    this.#fetches = new TicketFetches(listener);
    this.#leases = new TicketLeases(listener);
    this.#dispute = new TicketDispute(listener);
    this.#silence = new TicketSilence(host, {
      isIdle: () => this.#isIdle,
      isUrgent: () => this.#isUrgent,
      mayBridge: () => this.#mayBridge,
      fetchBy: (bridge) => this.#fetches.bridge(bridge, () => this.#pieces.missing(), host.clock.monotonic()),
      goAlone: () => this.#goAlone(),
    });
  }

  // --- what the proxy says ---

  awaiting(runs: readonly PieceRun[]): void {
    if (this.#closed) return;
    this.#pieces.awaiting(runs);
    if (this.#solo) this.#solo.awaiting(runs);
    else this.#host.dirty(this);
  }

  report(report: Report): void {
    if (this.#closed) return;
    // Before it counts here: by what ends a lease its number at the supernode is forgotten.
    if (report.kind !== 'pieces') this.#wish?.report(report);
    switch (report.kind) {
      case 'pieces':
        this.#sized(report);
        break;
      case 'no-ranges':
        this.#noRanges = true;
        break;
      case 'progress':
        break;
      case 'piece':
        this.#came(report);
        break;
      case 'failed':
        this.#failed(report);
        return;
      case 'ended':
        this.#ended(report);
        return;
      case 'reading':
      case 'settled':
        this.#pieces.add(report.piece, report.crc32);
        this.#watch();
        break;
      case 'lost':
        this.#pieces.remove(report.piece);
        this.#watch();
        break;
    }
    this.#solo?.report(report);
  }

  dispute(): boolean {
    if (this.#closed || this.#solo) return false;
    this.#dispute.open();
    this.#wish?.dispute();
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#silence.end();
    this.#fetches.close();
    this.#solo?.close();
    this.#wish?.leave();
    this.#host.closed(this, this.#want.digest);
  }

  // --- what the supernode says ---

  leased(remote: number, first: number, count: number): void {
    this.#silence.given();
    const last = count === 0 ? Number.POSITIVE_INFINITY : first + count - 1;
    this.#leases.grant(this.#leases.newId(), { remote, first, last });
  }

  cut(remote: number, last: number): void {
    this.#silence.heard();
    this.#leases.cut(this.#leases.byRemote(remote), last);
  }

  fetch(piece: number, from: PeerTarget, crc32: number | undefined): void {
    this.#silence.given();
    this.#fetches.assigned({ kind: 'fetch', piece, from, crc32 });
  }

  readAgain(remote: number, first: number, count: number): void {
    this.#silence.heard();
    this.#dispute.granted(this.#leases.newId(), remote, { first, count });
  }

  secondReading(piece: number, by: string | undefined, sha256: string): void {
    this.#listener({ kind: 'second-reading', piece, by, sha256 });
  }

  disputed(isOver: boolean): void {
    this.#listener({ kind: 'dispute', isOver });
  }

  wait(): void {
    this.#silence.toldToWait();
    this.#watch();
  }

  /** `alone`: the supernode does not coordinate this blob. Else nobody can give what is missing. */
  none(alone: boolean): void {
    this.#silence.heard();
    if (!alone) {
      this.#listener({ kind: 'none' });
      return;
    }
    this.#leftAlone = true;
    this.#goAlone();
  }

  // --- joining and leaving ---

  /** Peers that were named as ones to fetch from and have not failed, the last one first. */
  get givers(): PeerTarget[] {
    return this.#fetches.givers;
  }

  get digest(): Digest {
    return this.#want.digest;
  }

  /** It is alone, or has not joined yet, and the supernode would have it. */
  get mayRejoin(): boolean {
    return this.#solo !== undefined && !this.#leftAlone;
  }

  /** The supernode decides from now on, and learns all that is here and under way. */
  rejoin(): void {
    this.#wish = undefined;
    this.#silence.endBridge();
    this.#leftAlone = false;
    // Before the first word of what is awaited there is nothing to say.
    if (this.#pieces.awaited.length > 0 || this.#solo) this.#join();
  }

  /** The session is over. */
  lost(): void {
    this.#wish = undefined;
    this.#leases.forgetRemote();
    this.#dispute.lost();
    this.#watch();
  }

  /** Sends what has changed. */
  flush(): void {
    if (this.#closed || this.#solo) return;
    if (this.#wish) this.#wish.awaiting(this.#pieces.awaited);
    else if (this.#host.link && !this.#leftAlone) this.#join();
    this.#watch();
  }

  #join(): void {
    const { link } = this.#host;
    const number = link && this.#pieces.canBeCoordinated ? this.#host.join(this) : undefined;
    if (!link || number === undefined) {
      this.#goAlone();
      return;
    }
    const remoteOf = (lease: number) => this.#leases.remoteOf(lease) ?? this.#dispute.remoteOf(lease);
    this.#wish = new TicketWish({ link, host: this.#host, number, remoteOf });
    this.#solo?.close();
    this.#solo = undefined;
    this.#wish.open(this.#want, this.#pieces, this.#leases.renumbered());
    if (this.#noRanges) this.#wish.report({ kind: 'no-ranges' });
    if (this.#dispute.isOpen) this.#wish.dispute();
    this.#silence.joined();
    this.#watch();
  }

  #goAlone(): void {
    this.#silence.end();
    this.#wish?.leave();
    this.#wish = undefined;
    this.#leases.forgetRemote();
    this.#solo?.close();
    const { digest, origin, image } = this.#want;
    const { count: pieceCount, size, held, awaited } = this.#pieces;
    // What reads and fetches bring that were assigned before counts as here, as long as they run.
    const heldOrComing = new Set([...held, ...this.#fetches.pieces, ...this.#leases.coming()]);
    const want = { digest, origin, image, pieceCount, size, held: heldOrComing, holders: this.givers };
    this.#solo = new TicketSolo(this.#host.solo, want, this.#leases, (assignment) => {
      if (assignment.kind === 'fetch') this.#fetches.own(assignment);
      else this.#listener(assignment);
    });
    if (this.#noRanges) this.#solo.report({ kind: 'no-ranges' });
    this.#dispute.alone();
    this.#solo.awaiting(awaited);
  }

  // --- what becomes of pieces, fetches and leases ---

  #sized(report: Report & { kind: 'pieces' }): void {
    this.#pieces.sized(report.pieceCount, report.size);
    this.#leases.clip(report.pieceCount);
    if (!this.#wish) return;
    if (this.#pieces.canBeCoordinated) this.#wish.report(report);
    else {
      this.#leftAlone = true;
      this.#goAlone();
    }
  }

  #came({ piece, crc32 }: PieceReport): void {
    this.#pieces.add(piece, crc32);
    this.#fetches.came(piece);
    this.#leases.came(piece);
    this.#watch();
  }

  #failed(report: Report & { kind: 'failed' }): void {
    const { piece, from, reason } = report;
    const { bridge } = this.#silence;
    if (bridge && (reason === 'gone' || reason === 'busy')) bridge.lacks(piece, from, this.#host.clock.monotonic());
    else if (reason !== 'busy') this.#fetches.forget(from);
    const next = this.#fetches.failed(piece, from);
    // It may have come another way.
    if (!this.#pieces.has(piece)) {
      if (this.#solo) this.#solo.report(report);
      else if (next) this.#fetches.soon(next);
    }
    this.#watch();
  }

  #ended(report: Report & { kind: 'ended' }): void {
    const isOfSolo = this.#solo?.hasGranted(report.lease) === true;
    const ended = this.#leases.ended(report.lease);
    this.#dispute.ended(report.lease);
    if (!ended) return;
    if (isOfSolo) this.#solo?.report(report);
    // A read from before is over too early: what it has not brought is to come another way.
    else if (this.#solo && ended === 'early') this.#goAlone();
    this.#watch();
  }

  // --- waiting for the supernode ---

  #watch(): void {
    if (!this.#solo && !this.#closed) this.#silence.watch();
  }

  get #isIdle(): boolean {
    return this.#fetches.pieces.size === 0 && !this.#leases.areReading && this.#pieces.areMissing;
  }

  /** A blob of one piece, or what is known to be small, is read from the origin after a moment; but no dispute is settled in one. */
  get #isUrgent(): boolean {
    if (this.#dispute.isOpen) return false;
    const { count } = this.#pieces;
    return count === undefined ? this.#want.isSmall === true : count <= 1;
  }

  get #mayBridge(): boolean {
    return (this.#pieces.count ?? 1) > 1 && !this.#dispute.isOpen && this.givers.length > 0;
  }
}
