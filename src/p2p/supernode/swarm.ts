import type { Digest } from '../../base/digest.ts';
import { Agenda } from './agenda.ts';
import type { Context } from './context.ts';
import { Directory } from './directory.ts';
import { Disputes } from './disputes.ts';
import type { Decision, PeerId, SwarmEvent } from './events.ts';
import { Leasing } from './leases.ts';
import {
  ALL_RULES,
  SETTLE_MS,
  SWEEP_LOOKS,
  SWEEP_MS,
  TRANSFER_DEADLINE_MS,
  WAITERS_PER_SLOT,
  type SwarmRules,
} from './limits.ts';
import { Matcher } from './matcher.ts';
import { reject, serve, type Parts } from './parts.ts';
import { Reports } from './reports.ts';
import { Slots } from './slots.ts';
import { Sources } from './sources.ts';
import type { Blob, Wish } from './state.ts';
import { Upstreams } from './upstreams.ts';
import { Wishes } from './wishes.ts';

type OfWishEvent = Exclude<SwarmEvent, { kind: 'peer' | 'gone' | 'have' | 'lost' | 'want' }>;

export interface SwarmOptions {
  /** The time at the start, in milliseconds on the clock of all later calls. */
  readonly now: number;
  /** In [0, 1); the only chance there is. */
  readonly random: () => number;
  /** How long peers that come back after a restart have until new leases are granted; 0 where nobody can be coming back. */
  readonly settleMs?: number;
  /** The number of the first lease: larger than any that an earlier supernode gave and that may still be read. */
  readonly firstLease?: number;
  readonly rules?: Partial<SwarmRules>;
  /** Empty; what it knows is in it, for who wants to look. */
  readonly directory?: Directory;
}

export interface SwarmStats {
  readonly peers: number;
  readonly blobs: number;
  readonly wishes: number;
  /** Pieces on their way between peers. */
  readonly transfers: number;
  readonly leases: number;
  /** What is to be done at a later time. */
  readonly timers: number;
  /** Events that could not be true, or broke a limit. */
  readonly rejected: number;
}

/** A blob, as status pages show it. */
export interface SwarmBlob {
  readonly digest: Digest;
  /** In bytes; null while nobody has said it. */
  readonly size: number | null;
  /** Who holds all of it. */
  readonly holders: readonly PeerId[];
  readonly downloading: readonly PeerId[];
  /** How many pieces it has; null while its size is not known. */
  readonly pieces: number | null;
  /** How many of them each of those has who download it, in the same order. */
  readonly downloaded: readonly number[];
}

/** A peer's part of a blob, as status pages show it. */
export interface PeerPart {
  readonly digest: Digest;
  /** In bytes; null while nobody has said it. */
  readonly size: number | null;
  readonly pieces: number | null;
  /** Pieces of it that the peer has. */
  readonly held: number;
  readonly downloading: boolean;
}

/**
 * Decides, piece by piece, from where each proxy fetches. A pure state machine: events and the time go in, decisions come out.
 * An event costs the same however many peers there are (a few microseconds); the state is bounded (limits.ts), and soft:
 * all of it can be told to a new swarm.
 */
export class Swarm {
  readonly #parts: Parts;
  readonly #context: Context;
  readonly #sources: Sources;
  readonly #wishes: Wishes;
  readonly #reports: Reports;
  readonly #disputes: Disputes;
  #sweepAt: number;

  constructor({ now, random, settleMs = SETTLE_MS, firstLease = 1, rules, directory = new Directory() }: SwarmOptions) {
    const allRules = { ...ALL_RULES, ...rules };
    const context: Context = {
      now,
      out: [],
      rejected: 0,
      rules: allRules,
      random,
      agenda: new Agenda(),
      slots: new Slots(allRules),
    };
    const matcher = new Matcher(context);
    const leasing = new Leasing(context, matcher, now + settleMs, firstLease);
    this.#context = context;
    this.#parts = { context, directory, matcher, leasing };
    this.#sources = new Sources(this.#parts);
    this.#wishes = new Wishes(this.#parts, new Upstreams(), (wish) => this.#disputes.closed(wish));
    this.#reports = new Reports(this.#parts, this.#sources, this.#wishes);
    this.#disputes = new Disputes(this.#parts, this.#sources, this.#wishes);
    this.#sweepAt = now + SWEEP_MS;
    if (settleMs > 0) context.agenda.add(now + settleMs, () => this.#settled());
  }

  /** What follows from an event. Time never goes back; who calls late is served late, nothing else. */
  apply(event: SwarmEvent, now: number): Decision[] {
    this.#begin(now);
    this.#apply(event);
    return this.#end();
  }

  /** What is due by now: call it at `nextTick`, or a little later. */
  tick(now: number): Decision[] {
    this.#begin(now);
    const { agenda, slots } = this.#context;
    for (let task = agenda.takeDue(now); task; task = agenda.takeDue(now)) task();
    if (now >= this.#sweepAt) {
      this.#sweepAt = now + SWEEP_MS;
      const before = now - TRANSFER_DEADLINE_MS;
      for (let late = slots.oldestBefore(before); late; late = slots.oldestBefore(before)) this.#reports.overdue(late);
      this.#wishes.repeat();
      this.#sweep();
    }
    return this.#end();
  }

  /** This process did not run, or not in time: nobody was silent meanwhile. */
  paused(now: number): void {
    this.#context.now = Math.max(now, this.#context.now);
    for (const blob of this.#parts.directory.active.values()) this.#parts.leasing.paused(blob);
  }

  /** When `tick` is to be called next; Infinity: not before another event. */
  get nextTick(): number {
    const { directory, context } = this.#parts;
    return Math.min(context.agenda.nextAt, directory.wishes > 0 ? this.#sweepAt : Number.POSITIVE_INFINITY);
  }

  /** Whole blobs that the peer holds. */
  wholesOf(peer: PeerId): number {
    return this.#parts.directory.peers.get(peer)?.wholes ?? 0;
  }

  stats(): SwarmStats {
    const { directory, context } = this.#parts;
    let leases = 0;
    for (const blob of directory.active.values()) leases += blob.leases.length;
    return {
      peers: directory.peers.size,
      blobs: directory.blobs.size,
      wishes: directory.wishes,
      transfers: context.slots.transfers,
      leases,
      timers: context.agenda.size,
      rejected: context.rejected,
    };
  }

  /** May be walked while events go on; then it gives no more than there were at its beginning. */
  *blobs(): Generator<SwarmBlob> {
    const { blobs } = this.#parts.directory;
    let left = blobs.size;
    for (const blob of blobs.values()) {
      left -= 1;
      if (left < 0) return;
      yield viewOf(blob);
    }
  }

  /** At most so many of the blobs that somebody wants. */
  activeBlobs(limit: number): SwarmBlob[] {
    return [...this.#parts.directory.active.values()].slice(0, limit).map(viewOf);
  }

  blob(digest: Digest): SwarmBlob | undefined {
    const blob = this.#parts.directory.blobs.get(digest);
    return blob && viewOf(blob);
  }

  /** At most so many of a peer's parts: those that it is downloading first. */
  partsOf(peer: PeerId, limit: number): PeerPart[] {
    const of = this.#parts.directory.peers.get(peer);
    if (!of) return [];
    const wished = of.wishes.map(({ member }) => member);
    const others = of.members.slice(0, limit + wished.length).filter(({ wish }) => !wish);
    return [...wished, ...others].slice(0, limit).map((member) => ({
      digest: member.blob.digest,
      size: member.blob.pieces?.blobSize ?? null,
      pieces: member.blob.pieces?.count ?? null,
      held: member.whole ? (member.blob.pieces?.count ?? 0) : member.count,
      downloading: member.wish !== undefined,
    }));
  }

  #begin(now: number): void {
    this.#context.now = Math.max(now, this.#context.now);
    this.#context.out = [];
  }

  #end(): Decision[] {
    const { out } = this.#context;
    this.#context.out = [];
    return out;
  }

  #apply(event: SwarmEvent): void {
    if (event.kind === 'peer') {
      this.#sources.known(event);
      return;
    }
    const peer = this.#parts.directory.peers.get(event.peer);
    if (!peer) {
      reject(this.#parts, event.peer, 'UNKNOWN_PEER');
      return;
    }
    if (event.kind === 'gone') {
      peer.isLeaving = true;
      for (const wish of peer.wishes.toReversed()) this.#wishes.close(wish);
      this.#sources.gone(peer);
    } else if (event.kind === 'have') {
      this.#sources.have(event, peer);
    } else if (event.kind === 'lost') {
      this.#sources.lost(peer, event.digest);
    } else if (event.kind === 'want') {
      this.#wishes.want(event, peer);
    } else {
      const wish = this.#wishes.find(peer, event.digest);
      if (wish) this.#ofWish(event, wish);
      else reject(this.#parts, event.peer, 'UNKNOWN_WISH');
    }
  }

  #ofWish(event: OfWishEvent, wish: Wish): void {
    const { leasing } = this.#parts;
    switch (event.kind) {
      case 'awaiting':
        this.#wishes.awaiting(wish, event.awaited);
        return;
      case 'size':
        this.#wishes.size(wish, event.size);
        return;
      case 'no-ranges':
        leasing.noRanges(wish.blob);
        return;
      case 'reading':
        leasing.adopt(wish, event.lease, event.run);
        return;
      case 'progress':
        leasing.progress(wish, event.lease);
        this.#disputes.progress(wish, event.lease);
        return;
      case 'piece':
        this.#reports.piece(event, wish);
        return;
      case 'failed':
        this.#reports.failed(event, wish);
        return;
      case 'ended':
        if (!this.#disputes.readEnded(wish, event.lease, event.failure !== undefined))
          this.#reports.leaseEnded(wish, event.lease, event.failure);
        return;
      case 'mismatch':
        this.#disputes.mismatch(wish);
        return;
      case 'second-reading':
        this.#disputes.secondReading(event, wish);
        return;
      case 'lost-piece':
        this.#disputes.lostPiece(wish, event.piece);
        return;
      case 'settled':
        this.#disputes.settled(wish, event.piece, event.crc32);
        return;
      case 'leave':
        this.#wishes.close(wish);
    }
  }

  /** From now on whoever asks may read the origin. */
  #settled(): void {
    for (const blob of this.#parts.directory.active.values()) this.#parts.leasing.offer(blob);
  }

  /** Looks at a bounded number of those who could take something: an event looks at 32 only, and may have missed them. */
  #sweep(): void {
    const { active } = this.#parts.directory;
    let looks = SWEEP_LOOKS;
    for (let left = active.size; left > 0 && looks > 0; left -= 1) {
      const blob = active.next()!;
      this.#parts.leasing.offer(blob);
      const some = Math.min(WAITERS_PER_SLOT, blob.hungry.size);
      for (let n = 0; n < some && blob.hungry.size > 0; n += 1) {
        const wish = blob.hungry.next()!;
        serve(this.#parts, wish);
        this.#wishes.answer(wish);
      }
      looks -= 1 + some;
    }
  }
}

function viewOf(blob: Blob): SwarmBlob {
  const { digest, pieces } = blob;
  const members = [...blob.members.values()];
  const wishing = members.filter((member) => member.wish);
  return {
    digest,
    size: pieces?.blobSize ?? null,
    holders: members.filter((member) => member.whole).map((member) => member.peer.id),
    downloading: wishing.map((member) => member.peer.id),
    pieces: pieces?.count ?? null,
    downloaded: wishing.map((member) => (member.whole ? blob.pieceCount : member.count)),
  };
}
