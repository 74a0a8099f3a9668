/*
 * What the swarm knows, as plain records: peers, blobs, who holds what of which blob (Member), who wants it (Wish), what is on
 * its way (Transfer, Lease). The modules beside this one each change their own part of it: holders.ts the pieces, slots.ts
 * transfers and slots, leases.ts leases and claims, swarm.ts who is there at all.
 */
import type { Digest } from '../../base/digest.ts';
import type { Pieces } from '../../base/pieces.ts';
import { Bag } from './bag.ts';
import { bitmapOf, hasBit, NO_BITS, type Bitmap } from './bitmap.ts';
import type { Dispute } from './dispute.ts';
import type { PeerId } from './events.ts';
import { DEFAULT_LEAD_MS, MAX_LESSEES, UPLOAD_SLOTS } from './limits.ts';
import type { Upstream } from './upstreams.ts';

const NO_COUNTS = new Uint16Array(0);

export class Peer {
  readonly id: PeerId;
  zone = '';
  reachable = false;
  /** All that it wants is being given up, one after the other. */
  isLeaving = false;
  uploadSlots = UPLOAD_SLOTS;
  /** Slots in use. */
  uploads = 0;
  downloads = 0;
  /** How many times slower than usual pieces come from it, and to it: moving averages. */
  sendSlowness = 1;
  receiveSlowness = 1;
  /** It said `busy`, or one receiver got nothing: it is offered to nobody until then. */
  busyUntil = 0;
  suspended = false;
  heldBack = false;
  /** Receivers that got nothing from it, since one got something. */
  readonly failedWith = new Set<PeerId>();
  /** Senders that it stays away from, and until when. */
  readonly avoided = new Map<PeerId, number>();
  readonly members: Member[] = [];
  /** Pieces of its blobs, as far as their sizes are known. */
  pieces = 0;
  /** Blobs that it holds all of. */
  wholes = 0;
  /** Its memberships in blobs that somebody wants. */
  readonly active = new Bag<Member>();
  readonly wishes: Wish[] = [];

  constructor(id: PeerId) {
    this.id = id;
  }

  /** Others may fetch from it. */
  get isSource(): boolean {
    return this.reachable && !this.suspended && !this.heldBack;
  }
}

export class Blob {
  readonly digest: Digest;
  /** Undefined while nobody has said the size. */
  pieces: Pieces | undefined;
  readonly members = new Map<PeerId, Member>();
  /** The first CRC-32 that was told for a piece, and for which pieces one was. */
  crcs: Uint32Array | undefined;
  crcKnown: Bitmap = NO_BITS;

  // The rest is kept up only while somebody wants the blob.

  active = false;
  readonly wishes = new Bag<Wish>();
  /** Wishes that could take one more piece at once. */
  readonly hungry = new Bag<Wish>();
  /** Sources with a free slot, also some without: they are taken out when they are met. */
  readonly free = new Bag<Member>();
  readonly freeByZone = new Map<string, Bag<Member>>();
  /** Sources with the whole blob; for each piece: sources with a part of the blob that have it, copies on their way, leases. */
  wholes = 0;
  holders: Uint16Array = NO_COUNTS;
  inFlight: Uint16Array = NO_COUNTS;
  claims: Uint16Array = NO_COUNTS;
  /** Every piece before it is held by a source or claimed by a lease. */
  cursor = 0;
  readonly leases: Lease[] = [];
  /** Proxies with a lease that goes on. */
  lessees = 0;
  /** Wishes that can read the origin and wait for something; and those of them that are sources too. */
  readers = 0;
  sourceReaders = 0;
  /** The origin gives no ranges. */
  noRanges = false;
  /** Who has read each piece from the origin first, and told its CRC-32: none where that was known from elsewhere. */
  readonly firstReaders: (PeerId | undefined)[] = [];
  /** Somebody's copy does not have the digest. */
  dispute: Dispute | undefined;

  constructor(digest: Digest) {
    this.digest = digest;
  }

  get pieceCount(): number {
    return this.pieces?.count ?? Number.POSITIVE_INFINITY;
  }

  /** Of one piece: it has a slot of its own and is fetched without ado. */
  get isSmall(): boolean {
    return this.pieces !== undefined && this.pieces.count <= 1;
  }

  /** Some source holds the piece. */
  isHeld(piece: number): boolean {
    return this.wholes > 0 || (this.pieces !== undefined && this.holders[piece]! > 0);
  }

  bytesOf(piece: number): number {
    return this.pieces ? this.pieces.end(piece) - this.pieces.start(piece) : 0;
  }

  /** The check sum of a piece that comes from a peer, where it is known. */
  crcOf(piece: number, from: PeerId): number | undefined {
    // Of a piece of which there are two versions, only its second reader is known to have the one of which this is the CRC.
    const contest = this.dispute?.contests.get(piece);
    return contest && contest.by !== from ? undefined : this.knownCrc(piece);
  }

  knownCrc(piece: number): number | undefined {
    return this.crcs && hasBit(this.crcKnown, piece) ? this.crcs[piece] : undefined;
  }

  activate(): void {
    this.active = true;
    this.allocate();
  }

  /** Once it is wanted and its size is known. */
  allocate(): void {
    if (!this.active || !this.pieces) return;
    this.holders = new Uint16Array(this.pieces.count);
    this.inFlight = new Uint16Array(this.pieces.count);
    this.claims = new Uint16Array(this.pieces.count);
  }

  deactivate(): void {
    this.active = false;
    this.wholes = 0;
    this.holders = NO_COUNTS;
    this.inFlight = NO_COUNTS;
    this.claims = NO_COUNTS;
    this.cursor = 0;
    this.noRanges = false;
    this.firstReaders.length = 0;
    this.dispute = undefined;
  }
}

/** A peer's part in a blob. Who holds all of it needs no bitmap. */
export class Member {
  readonly peer: Peer;
  readonly blob: Blob;
  whole = false;
  held: Bitmap = NO_BITS;
  count = 0;
  /** Its pieces are in the blob's numbers of holders. */
  counted = false;
  wish: Wish | undefined;
  /** Where it stands in its peer's list. */
  position = -1;

  constructor(peer: Peer, blob: Blob) {
    this.peer = peer;
    this.blob = blob;
  }

  get holdsAny(): boolean {
    return this.whole || this.count > 0;
  }

  has(piece: number): boolean {
    return this.whole || (piece >>> 5 < this.held.length && hasBit(this.held, piece));
  }
}

/** What is left of an awaited run. */
export interface Awaited {
  readonly first: number;
  /** No piece of it before this one is missing. */
  next: number;
  readonly end: number;
}

export class Wish {
  readonly member: Member;
  awaited: Awaited[] = [];
  /** Pieces that are on their way to it, by a transfer or a lease. */
  flying: Bitmap = NO_BITS;
  /** Pieces that it holds in a version that is in doubt: it is sent nobody for them, and nothing is assigned to it for them. */
  doubted: Set<number> | undefined;
  readonly transfers: Transfer[] = [];
  readonly leases: Lease[] = [];
  origin: Upstream | undefined;
  image: Image | undefined;
  isReader = false;
  isSourceReader = false;
  isLessee = false;
  /** Bytes a millisecond of one origin read, as last measured. */
  rate: number | undefined;
  /** From the grant of a lease to its first byte. */
  leadMs = DEFAULT_LEAD_MS;
  /** It asks the origin again after `pausedUntil`; after `pausedAloneUntil` where nobody else can. */
  pausedUntil = 0;
  pausedAloneUntil = 0;
  tries = 0;
  lastFailure: string | undefined;
  /** When it was last told to wait; undefined while it has something to do. */
  waitSaidAt: number | undefined;
  toldNone = false;
  /** It reads with one connection more, to find out whether that brings more. */
  isProbing = false;
  /** A round of `Matcher.fill` in which nothing was found for it. */
  emptyRound = 0;
  closed = false;

  constructor(member: Member) {
    this.member = member;
  }

  get peer(): Peer {
    return this.member.peer;
  }

  get blob(): Blob {
    return this.member.blob;
  }

  /** Pieces are on their way to it. */
  get isBusy(): boolean {
    return this.transfers.length > 0 || this.leases.length > 0;
  }

  size(): void {
    if (this.blob.pieces) this.flying = bitmapOf(this.blob.pieces.count);
  }
}

/** One piece on its way from one peer to another; it holds a slot at each. */
export interface Transfer {
  readonly wish: Wish;
  readonly piece: number;
  readonly source: Peer;
  readonly startedAt: number;
}

/** A rate is measured by what has come in the last one to two of so many milliseconds. */
const MEASURED_MS = 250;
/** What comes at once has not come infinitely fast. */
const MIN_MEASURED_MS = 0.05;

export class Lease {
  readonly id: number;
  readonly wish: Wish;
  readonly first: number;
  /** The first piece that has not come. */
  next: number;
  /** Those behind it that have: two writes of one read may end in the other order. */
  readonly early = new Set<number>();
  /** Infinity while the blob's size is not known. */
  last: number;
  readonly grantedAt: number;
  hasBytes = false;
  lastHeardAt: number;
  /** Bytes a millisecond. */
  rate: number | undefined;
  #measuredBytes = 0;
  #measuredSince = 0;
  /** The whole rest, as long as its proxy is alone. */
  isLone: boolean;
  /** Nothing came for too long: what it has not read is anybody's. */
  stalled = false;
  /** Goes up with each plan for what follows it. */
  plan = 0;

  constructor(id: number, wish: Wish, run: { first: number; last: number }, now: number, isLone: boolean) {
    this.id = id;
    this.wish = wish;
    this.first = run.first;
    this.next = run.first;
    this.last = run.last;
    this.grantedAt = now;
    this.lastHeardAt = now;
    this.isLone = isLone;
  }

  /** The first byte has come. */
  begins(now: number): void {
    this.hasBytes = true;
    this.rate = this.wish.rate;
    this.#measuredSince = Math.min(now, this.grantedAt + this.wish.leadMs);
  }

  /**
   * A piece of `bytes` has come, which took `ms` by its proxy's clock. The rate is that of all that has come lately: a proxy that gets
   * little of its processor finds several pieces in its socket at once, and the time of one says nothing.
   */
  measure(bytes: number, now: number, ms: number): void {
    if (bytes === 0) return;
    this.#measuredSince = Math.min(this.#measuredSince, now - Math.max(ms, MIN_MEASURED_MS));
    this.#measuredBytes += bytes;
    const elapsed = now - this.#measuredSince;
    this.rate = this.#measuredBytes / elapsed;
    this.wish.rate = this.rate;
    if (elapsed < 2 * MEASURED_MS) return;
    this.#measuredBytes /= 2;
    this.#measuredSince = now - elapsed / 2;
  }

  get isLive(): boolean {
    return !this.stalled && this.next <= this.last;
  }

  /** The piece is still to come by this read, and no other. */
  claims(piece: number): boolean {
    return !this.stalled && piece >= this.next && piece <= this.last && !this.early.has(piece);
  }
}

/** The blobs of one image that are wanted just now: they share its lessees. */
export class Image {
  readonly name: string;
  /** And how many wish for each. */
  readonly blobs = new Map<Blob, number>();

  constructor(name: string) {
    this.name = name;
  }

  /** Lessees that each of its blobs may have. */
  lesseesPerBlob(least: number): number {
    let reading = 0;
    for (const blob of this.blobs.keys()) {
      if (!blob.isSmall && (blob.lessees > 0 || blob.cursor < blob.pieceCount)) reading += 1;
    }
    return Math.max(least, Math.ceil(MAX_LESSEES / Math.max(1, reading)));
  }
}
