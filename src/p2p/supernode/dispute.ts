import { bitmapOf, clearBit, hasBit, setBit, type Bitmap } from './bitmap.ts';
import type { PeerId } from './events.ts';
import { MAX_READ_AGAIN_TRIES } from './limits.ts';
import type { Blob, Transfer, Wish } from './state.ts';

/** A lease to read pieces again. */
export interface ReadAgain {
  readonly id: number;
  readonly wish: Wish;
  readonly first: number;
  readonly last: number;
  lastHeardAt: number;
  isOver: boolean;
}

/** A piece was read for the second time. */
export interface Second {
  readonly by: PeerId;
  readonly sha256: string;
  readonly crc32: number;
  /** Who had read it first, and the CRC-32 that was known of it before. */
  readonly first: PeerId | undefined;
  readonly firstCrc32: number | undefined;
  /** `held`: it contradicts the first reading, and it is not decided yet who is more likely wrong. `dismissed`: this one. */
  state: 'held' | 'told' | 'dismissed';
}

/** There are two versions of a piece. */
export interface Contest {
  /** Who has read it again. */
  readonly by: PeerId;
  /** Copies of the other version that were on their way when it came out. */
  readonly stale: ReadonlySet<Transfer>;
}

/**
 * One blob of which somebody's copy does not have the digest, as long as it is wanted. Each piece is read once more; what was
 * read is kept for whoever finds out later.
 */
export class Dispute {
  readonly blob: Blob;
  readonly opener: PeerId;
  /** Those who dispute, and whether they have been told that there is no more to come. */
  readonly disputers = new Map<Wish, { isOver: boolean }>();
  readonly seconds = new Map<number, Second>();
  readonly reads = new Map<number, ReadAgain>();
  readonly contests = new Map<number, Contest>();
  /** Peers whose reads have failed: they are not asked again. */
  readonly unable = new Set<PeerId>();
  /** When those who dispute were last told anything. */
  saidAt = Number.NEGATIVE_INFINITY;
  readonly #tries: Uint8Array;
  readonly #underWay: Bitmap;
  readonly #ring = new Map<PeerId, number>();
  #running = 0;

  constructor(blob: Blob, opener: PeerId) {
    this.blob = blob;
    this.opener = opener;
    this.#tries = new Uint8Array(blob.pieceCount);
    this.#underWay = bitmapOf(blob.pieceCount);
    for (const reader of blob.firstReaders) if (reader !== undefined) this.#placeOf(reader);
    for (const wish of blob.wishes.values()) this.#placeOf(wish.peer.id);
  }

  /** Reads that are under way. */
  get running(): number {
    return this.#running;
  }

  /** Pieces that have not been read again. */
  get unread(): number {
    return this.blob.pieceCount - this.seconds.size;
  }

  begin(read: ReadAgain): void {
    this.reads.set(read.id, read);
    this.#running += 1;
    for (let piece = read.first; piece <= read.last; piece += 1) setBit(this.#underWay, piece);
  }

  /** The read is over; gives the pieces that it has not brought. */
  end(read: ReadAgain): number[] {
    read.isOver = true;
    this.#running -= 1;
    const missing: number[] = [];
    for (let piece = read.first; piece <= read.last; piece += 1) {
      clearBit(this.#underWay, piece);
      if (this.seconds.has(piece)) continue;
      this.#tries[piece]! += 1;
      missing.push(piece);
    }
    return missing;
  }

  /** The piece is to be read again, and nobody does so. */
  isFree(piece: number): boolean {
    return !this.seconds.has(piece) && !hasBit(this.#underWay, piece) && this.#tries[piece]! < MAX_READ_AGAIN_TRIES;
  }

  /**
   * Whether `second` should read again what `first` has read: of two peers one does it for the other, never both for each
   * other. One that reads wrong is then contradicted by two others, who contradict nobody else, and so found out.
   */
  isInTurn(first: PeerId, second: PeerId): boolean {
    const [from, to] = [this.#placeOf(first), this.#placeOf(second)];
    const count = this.#ring.size;
    if (count < 3) return true;
    const distance = (to - from + count) % count;
    return 2 * distance < count || (2 * distance === count && from < to);
  }

  /** The check sum that is known of the piece may be that of another version than a sender has: nobody is to blame for it. */
  isDoubtful(piece: number): boolean {
    const second = this.seconds.get(piece);
    return second === undefined || second.crc32 !== second.firstCrc32;
  }

  /** By how many others each peer is contradicted. */
  contradictions(): Map<PeerId, Set<PeerId>> {
    const others = new Map<PeerId, Set<PeerId>>();
    const note = (one: PeerId, other: PeerId) => {
      const set = others.get(one) ?? new Set();
      others.set(one, set.add(other));
    };
    for (const { by, crc32, first, firstCrc32 } of this.seconds.values()) {
      if (first === undefined || firstCrc32 === crc32) continue;
      note(by, first);
      note(first, by);
    }
    return others;
  }

  #placeOf(peer: PeerId): number {
    const place = this.#ring.get(peer) ?? this.#ring.size;
    this.#ring.set(peer, place);
    return place;
  }
}
