import type { Digest } from '../../base/digest.ts';
import { Pieces } from '../../base/pieces.ts';
import type {
  Assignment,
  LeaseFailure,
  PeerTarget,
  PieceReport,
  PieceRun,
  Report,
  Ticket,
  Want,
} from '../protocol/coordinator.ts';
import { MAX_PIECES, MAX_RUNS } from '../protocol/limits.ts';
import { PIECE_FAILURES, type WireRun } from '../protocol/messages.ts';
import { packCrcs, packPieces } from '../protocol/packed.ts';
import { Bridge, BRIDGE_FETCHES } from './bridge.ts';
import type { CoordinatorLink, TicketHost } from './remote-coordinator.ts';
import { TicketDispute } from './ticket-dispute.ts';
import { TicketLeases, type Lease } from './ticket-leases.ts';

/** A timer that is this late: the process did not run meanwhile, and nor may others have. In milliseconds. */
const PAUSED_MS = 500;
/** Peers that gave pieces of the blob, as far as they are remembered. */
const MAX_GIVERS = 16;

/** A fetch that the supernode has assigned. */
type Fetch = Assignment & { readonly kind: 'fetch' };

/** One blob that is wanted, through the supernode or alone; see remote-coordinator.ts. */
export class RemoteTicket implements Ticket {
  readonly #host: TicketHost;
  readonly #want: Want;
  readonly #listener: (assignment: Assignment) => void;
  readonly #held: Set<number>;
  /** Of the pieces that are here, where known. */
  readonly #crcs: Map<number, number>;
  readonly #leases = new TicketLeases();
  /** Pieces on their way from a peer. */
  readonly #fetches = new Set<number>();
  /** Those begun while it was alone; with what the supernode has assigned since, should they not come. */
  readonly #ownFetches = new Map<number, Fetch | undefined>();
  /** Who was to give pieces of it last, and did not fail; the latest last. */
  readonly #givers = new Map<string, PeerTarget>();
  readonly #dispute: TicketDispute;
  #pieceCount: number | undefined;
  #size: number | undefined;
  #awaited: readonly PieceRun[] = [];
  #saidAwaited = '';
  #noRanges = false;
  /** Its number in the session; undefined: it has not joined. */
  #wish: number | undefined;
  #solo: Ticket | undefined;
  /** The supernode wants nothing to do with this blob. */
  #leftAlone = false;
  #closed = false;
  /** The supernode knows of it and has nothing for it yet: it will say so every second. */
  #toldToWait = false;
  /** Since when it has nothing to do though something is missing, and hears nothing. */
  #idleSince: number | undefined;
  #cancelWatch: (() => void) | undefined;
  /** Set while the supernode is silent and the peers are asked that gave pieces before. */
  #bridge: Bridge | undefined;

  constructor(host: TicketHost, want: Want, listener: (assignment: Assignment) => void) {
    this.#host = host;
    this.#want = want;
    this.#listener = listener;
    this.#dispute = new TicketDispute(listener);
    this.#held = new Set(want.held);
    this.#crcs = new Map(want.crcs);
    this.#pieceCount = want.pieceCount;
    this.#size = want.size;
  }

  // --- what the proxy says ---

  awaiting(runs: readonly PieceRun[]): void {
    if (this.#closed) return;
    this.#awaited = runs;
    if (this.#solo) this.#solo.awaiting(runs);
    else this.#host.dirty(this);
  }

  report(report: Report): void {
    if (this.#closed) return;
    switch (report.kind) {
      case 'pieces':
        this.#sized(report.pieceCount, report.size);
        break;
      case 'no-ranges':
        this.#noRanges = true;
        if (this.#wish !== undefined) (this.#host.reports().n ??= []).push(this.#wish);
        break;
      case 'progress':
        this.#progress(report.lease);
        return;
      case 'piece':
        this.#piece(report);
        break;
      case 'failed':
        this.#failed(report);
        if (this.#wish !== undefined) {
          const reason = PIECE_FAILURES.indexOf(report.reason);
          (this.#host.reports().f ??= []).push([this.#wish, report.piece, this.#host.numberOf(report.from), reason]);
        }
        // It may have come another way.
        if (!this.#held.has(report.piece)) this.#solo?.report(report);
        this.#watch();
        return;
      case 'ended':
        this.#ended(report.lease, report.failure);
        return;
      case 'reading':
      case 'lost':
      case 'settled':
        if (this.#wish !== undefined) this.#dispute.report(report, this.#wish, () => this.#host.reports());
        this.#disputed(report);
        break;
    }
    this.#solo?.report(report);
  }

  dispute(): boolean {
    if (this.#closed || this.#solo) return false;
    this.#dispute.open();
    if (this.#wish !== undefined) this.#dispute.joined(this.#wish, () => this.#host.reports());
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelWatch?.();
    this.#solo?.close();
    if (this.#wish !== undefined) this.#host.leave(this.#wish);
    this.#host.closed(this, this.#want.digest);
  }

  // --- what the supernode says ---

  leased(remote: number, first: number, count: number): void {
    this.#heard();
    this.#toldToWait = false;
    this.#grant({
      remote,
      solo: undefined,
      next: first,
      last: count === 0 ? Number.POSITIVE_INFINITY : first + count - 1,
    });
  }

  cut(remote: number, last: number): void {
    this.#heard();
    const lease = this.#leases.byRemote(remote);
    if (lease) this.#cut(lease, last);
  }

  fetch(piece: number, from: PeerTarget, crc32: number | undefined): void {
    this.#heard();
    this.#toldToWait = false;
    const fetch: Fetch = { kind: 'fetch', piece, from, crc32 };
    if (this.#ownFetches.has(piece)) this.#ownFetches.set(piece, fetch);
    else this.#fetch(fetch);
  }

  readAgain(remote: number, first: number, count: number): void {
    this.#heard();
    this.#dispute.granted(this.#leases.newId(), remote, { first, count });
  }

  secondReading(piece: number, by: string | undefined, sha256: string): void {
    this.#listener({ kind: 'second-reading', piece, by, sha256 });
  }

  disputed(isOver: boolean): void {
    this.#listener({ kind: 'dispute', isOver });
  }

  wait(): void {
    this.#heard();
    this.#toldToWait = true;
    this.#watch();
  }

  /** `alone`: the supernode does not coordinate this blob. Else nobody can give what is missing. */
  none(alone: boolean): void {
    this.#heard();
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
    return [...this.#givers.values()].toReversed();
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
    this.#bridge = undefined;
    this.#leftAlone = false;
    // Before the first word of what is awaited there is nothing to say.
    if (this.#awaited.length > 0 || this.#solo) this.#join();
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
    if (this.#wish !== undefined) this.#sayAwaited();
    else if (this.#host.link && !this.#leftAlone) this.#join();
    this.#watch();
  }

  #join(): void {
    const { link } = this.#host;
    // Pieces are told apart by the blob's size alone.
    const canJoin = this.#pieceCount === undefined || (this.#size !== undefined && this.#pieceCount <= MAX_PIECES);
    const wish = link && canJoin ? this.#host.join(this) : undefined;
    if (!link || wish === undefined) {
      this.#goAlone();
      return;
    }
    this.#wish = wish;
    this.#solo?.close();
    this.#solo = undefined;
    const { digest, origin, image } = this.#want;
    const awaited = this.#wireAwaited();
    const reading = this.#leases.renumbered();
    this.#saidAwaited = JSON.stringify(awaited);
    this.#host.flushReports();
    this.#tellCrcs(link);
    link.send({
      t: 'want',
      epoch: link.epoch,
      w: wish,
      digest,
      ...(this.#size !== undefined && { size: this.#size }),
      held: packPieces(this.#held, this.#pieceCount ?? 0),
      awaited,
      ...(origin !== undefined && { origin }),
      ...(image !== undefined && { image }),
      ...(reading.length > 0 && { reading }),
    });
    if (this.#noRanges) (this.#host.reports().n ??= []).push(wish);
    this.#dispute.joined(wish, () => this.#host.reports());
    this.#idleSince = undefined;
    this.#toldToWait = false;
    this.#watch();
  }

  /** A supernode that has been told nothing yet could give others these pieces on trust only. */
  #tellCrcs(link: CoordinatorLink): void {
    const size = this.#size;
    if (size === undefined || this.#crcs.size === 0) return;
    const known = [...this.#crcs.keys()].filter((piece) => this.#held.has(piece)).sort((a, b) => a - b);
    const bits = packPieces(known, new Pieces(size).count);
    const crcs = packCrcs(known.map((piece) => this.#crcs.get(piece)!));
    link.send({ t: 'announce', epoch: link.epoch, parts: [[this.#want.digest, size, bits, crcs]] });
  }

  #sayAwaited(): void {
    const awaited = this.#wireAwaited();
    const said = JSON.stringify(awaited);
    if (said === this.#saidAwaited) return;
    this.#saidAwaited = said;
    this.#host.flushReports();
    this.#host.link?.send({ t: 'awaiting', w: this.#wish!, awaited });
  }

  #wireAwaited(): WireRun[] {
    return this.#awaited
      .slice(0, MAX_RUNS)
      .filter(({ first }) => first < MAX_PIECES)
      .map(({ first, count }) => [first, Number.isFinite(count) ? Math.min(count, MAX_PIECES) : 0]);
  }

  #goAlone(): void {
    this.#cancelWatch?.();
    this.#cancelWatch = undefined;
    this.#idleSince = undefined;
    if (this.#wish !== undefined) this.#host.leave(this.#wish);
    this.#wish = undefined;
    this.#leases.forgetRemote();
    this.#bridge = undefined;
    this.#solo?.close();
    this.#leases.forgetSolo();
    const { digest, origin, image } = this.#want;
    this.#solo = this.#host.solo.want(
      {
        digest,
        origin,
        image,
        pieceCount: this.#pieceCount,
        size: this.#size,
        held: this.#heldOrComing(),
        holders: this.givers,
      },
      (assignment) => this.#soloAssigned(assignment),
    );
    if (this.#noRanges) this.#solo.report({ kind: 'no-ranges' });
    this.#dispute.alone();
    this.#solo.awaiting(this.#awaited);
  }

  /** What reads and fetches bring that were assigned before counts as here, as long as they run. */
  #heldOrComing(): Set<number> {
    return new Set([...this.#held, ...this.#fetches, ...this.#leases.coming()]);
  }

  #soloAssigned(assignment: Assignment): void {
    switch (assignment.kind) {
      case 'lease': {
        const { first, count } = assignment.run;
        this.#grant({ remote: undefined, solo: assignment.lease, next: first, last: first + count - 1 });
        return;
      }
      case 'cut': {
        const lease = this.#leases.bySolo(assignment.lease);
        if (lease) this.#cut(lease, assignment.last);
        return;
      }
      case 'fetch':
        this.#ownFetches.set(assignment.piece, undefined);
        this.#fetch(assignment);
        return;
      case 'none':
      case 'read-again':
      case 'second-reading':
      case 'dispute':
        this.#listener(assignment);
    }
  }

  #fetch(fetch: Fetch): void {
    const { piece, from } = fetch;
    this.#fetches.add(piece);
    this.#givers.delete(from.peer);
    this.#givers.set(from.peer, from);
    if (this.#givers.size > MAX_GIVERS) this.#givers.delete(this.#givers.keys().next().value!);
    this.#listener(fetch);
  }

  #failed({ piece, from, reason }: Report & { kind: 'failed' }): void {
    if (this.#bridge && (reason === 'gone' || reason === 'busy'))
      this.#bridge.lacks(piece, from, this.#host.clock.monotonic());
    else if (reason !== 'busy') this.#givers.delete(from);
    this.#fetches.delete(piece);
    const next = this.#ownFetches.get(piece);
    this.#ownFetches.delete(piece);
    // Where it was to come from the same peer, the supernode learns of the failure.
    if (!next || next.from.peer === from || this.#solo || this.#held.has(piece)) return;
    this.#fetches.add(piece);
    // Put off, as this is within a call.
    queueMicrotask(() => {
      if (!this.#closed) this.#fetch(next);
    });
  }

  // --- leases and pieces ---

  #grant(lease: Omit<Lease, 'id'>): void {
    const granted = this.#leases.add(lease);
    this.#listener({
      kind: 'lease',
      lease: granted.id,
      run: { first: lease.next, count: lease.last - lease.next + 1 },
    });
  }

  #cut(lease: Lease, last: number): void {
    if (last >= lease.last) return;
    lease.last = last;
    this.#listener({ kind: 'cut', lease: lease.id, last });
  }

  #sized(pieceCount: number, size: number | undefined): void {
    this.#pieceCount = pieceCount;
    this.#size ??= size;
    this.#leases.clip(pieceCount);
    if (this.#wish === undefined) return;
    if (size !== undefined && new Pieces(size).count <= MAX_PIECES)
      (this.#host.reports().s ??= []).push([this.#wish, size]);
    else {
      this.#leftAlone = true;
      this.#goAlone();
    }
  }

  #progress(id: number): void {
    const lease = this.#leases.get(id);
    const remote = lease ? lease.remote : this.#dispute.remoteOf(id);
    if (this.#wish !== undefined && remote !== undefined) (this.#host.reports().g ??= []).push([this.#wish, remote]);
    const solo = lease && this.#leases.soloOf(lease);
    if (solo !== undefined) this.#solo?.report({ kind: 'progress', lease: solo });
  }

  #piece({ piece, crc32, from, ms }: PieceReport): void {
    this.#held.add(piece);
    this.#crcs.set(piece, crc32);
    this.#fetches.delete(piece);
    this.#ownFetches.delete(piece);
    this.#leases.came(piece);
    if (this.#wish !== undefined) {
      const number = from === undefined ? 0 : this.#host.numberOf(from);
      (this.#host.reports().p ??= []).push([this.#wish, piece, number, Math.max(0, ms ?? 0), crc32]);
    }
    this.#watch();
  }

  #ended(id: number, failure: LeaseFailure | undefined): void {
    const lease = this.#leases.get(id);
    const remote = lease ? lease.remote : this.#dispute.remoteOf(id);
    const solo = lease && this.#leases.soloOf(lease);
    this.#leases.delete(id);
    this.#dispute.ended(id);
    if (this.#wish !== undefined && remote !== undefined) {
      const { code = '', final = false, retryAfterMs = 0 } = failure ?? {};
      const text = failure && code === '' ? 'UNKNOWN' : code.slice(0, 64);
      (this.#host.reports().e ??= []).push([this.#wish, remote, text, final ? 1 : 0, Math.max(0, retryAfterMs)]);
    }
    if (!lease) return;
    if (this.#solo && solo !== undefined) {
      this.#solo.report({ kind: 'ended', lease: solo, ...(failure && { failure }) });
    } else if (this.#solo && lease.next <= lease.last) {
      // A read from before is over too early: what it has not brought is to come another way.
      this.#goAlone();
    }
    this.#watch();
  }

  /** What is here has changed by a dispute. */
  #disputed(report: Report & { kind: 'reading' | 'lost' | 'settled' }): void {
    const { piece } = report;
    if (report.kind === 'lost') {
      this.#held.delete(piece);
      this.#crcs.delete(piece);
    } else {
      this.#held.add(piece);
      this.#crcs.set(piece, report.crc32);
    }
    this.#watch();
  }

  // --- silence ---

  /** The supernode has a word for it. */
  #heard(): void {
    this.#bridge = undefined;
    this.#busy();
  }

  #busy(): void {
    this.#idleSince = undefined;
    this.#cancelWatch?.();
    this.#cancelWatch = undefined;
  }

  /** While it has nothing to do and something is missing, the supernode has a limited time. */
  #watch(): void {
    if (this.#solo || this.#closed) return;
    if (this.#bridge) this.#fetchFromGivers(this.#bridge);
    if (!this.#isIdle()) {
      this.#busy();
      return;
    }
    const now = this.#host.clock.monotonic();
    this.#idleSince ??= now;
    if (this.#cancelWatch && this.#host.link) return;
    this.#cancelWatch?.();
    // With no session for so long, nobody is waited for.
    const since = this.#host.link ? this.#idleSince : Math.min(this.#idleSince, this.#host.lostAt);
    const left = this.#bridge?.pauseMs(now) ?? since + this.#host.silenceMs(this.#isUrgent) - now;
    if (left <= 0) this.#goAlone();
    else this.#cancelWatch = this.#afterSilence(left);
  }

  /**
   * A blob of one piece, or what is known to be small, is read from the origin after a moment; but who was told to wait waits
   * for the next word: somebody reads it, and all who wait must not read it too. Nor is a dispute settled in a moment.
   */
  get #isUrgent(): boolean {
    if (this.#toldToWait || this.#dispute.isOpen) return false;
    return this.#pieceCount === undefined ? this.#want.isSmall === true : this.#pieceCount <= 1;
  }

  /** What has come while this process was busy is still in the socket: it is read before the verdict. */
  #afterSilence(ms: number): () => void {
    let heard = false;
    const { clock } = this.#host;
    const dueAt = clock.monotonic() + ms;
    const cancel = clock.after(ms, () =>
      setImmediate(() => {
        if (!heard) this.#silent(clock.monotonic() - dueAt >= PAUSED_MS);
      }),
    );
    return () => {
      heard = true;
      cancel();
    };
  }

  /** `wasPaused`: this process did not run, and perhaps the whole machine: the supernode has its time once more. */
  #silent(wasPaused: boolean): void {
    this.#cancelWatch = undefined;
    if (this.#solo || this.#closed || !this.#isIdle()) return;
    if (wasPaused) {
      this.#idleSince = undefined;
      this.#watch();
      return;
    }
    const now = this.#host.clock.monotonic();
    // Most of what is missing is with those who gave pieces until now: all would else read the same of it from the origin.
    if (!this.#bridge && (this.#pieceCount ?? 1) > 1 && !this.#dispute.isOpen && this.#givers.size > 0) {
      this.#bridge = new Bridge(now);
    }
    if (this.#bridge && !this.#bridge.isOver(now)) this.#watch();
    else this.#goAlone();
  }

  #fetchFromGivers(bridge: Bridge): void {
    const now = this.#host.clock.monotonic();
    while (this.#ownFetches.size < BRIDGE_FETCHES) {
      const next = bridge.next(this.#missing(), this.givers, now);
      if (!next) return;
      this.#ownFetches.set(next.piece, undefined);
      this.#fetches.add(next.piece);
      // Put off, as this may be within a call.
      queueMicrotask(() => {
        if (!this.#closed) this.#fetch({ kind: 'fetch', ...next, crc32: undefined });
      });
    }
  }

  /** Awaited pieces that are neither here nor on their way from a peer. */
  *#missing(): Generator<number> {
    for (const { first, count } of this.#awaited) {
      const end = Math.min(first + count, this.#pieceCount ?? Number.POSITIVE_INFINITY);
      for (let piece = first; piece < end; piece += 1) {
        if (!this.#held.has(piece) && !this.#fetches.has(piece)) yield piece;
      }
    }
  }

  #isIdle(): boolean {
    if (this.#fetches.size > 0 || this.#leases.areReading) return false;
    return this.#awaited.some(({ first, count }) => {
      const end = Math.min(first + count, this.#pieceCount ?? Number.POSITIVE_INFINITY);
      let piece = first;
      while (piece < end && this.#held.has(piece)) piece += 1;
      return piece < end;
    });
  }
}
