import { LRUCache } from 'lru-cache';
import type { Digest } from '../base/digest.ts';

/** Every file is charged whole blocks of this size, as common file systems do, and at least one. */
const BLOCK_BYTES = 4096;

/** What a file of `size` bytes is charged. */
export function chargeFor(size: number): number {
  return Math.max(1, Math.ceil(size / BLOCK_BYTES)) * BLOCK_BYTES;
}

/** One verified blob on disk. */
export class BlobEntry {
  readonly digest: Digest;
  readonly size: number;
  /**
   * The time of change of its file, by which a change under us is noticed. It is set at a use (at most once an hour), so that
   * the order of use survives a restart.
   */
  modifiedMs: number;
  /** The time before the last such setting: seen by who looked while it was under way. */
  olderMs: number;
  /** The file's time of change of any kind, its times too: when another is seen, its bytes are checked before they are given away. */
  changedMs: number;
  /** When its bytes were last known to be right, in milliseconds since 1970; 0: not known. */
  verifiedAt = 0;
  /** When it was last written or opened, on the monotonic clock: the kernel has it at hand then. */
  usedAt = Number.NEGATIVE_INFINITY;
  /** How many have it open. */
  users = 0;
  /** No longer to be found; its bytes count until the last user is gone. */
  dropped = false;

  constructor(digest: Digest, size: number, modifiedMs: number, changedMs = 0) {
    this.digest = digest;
    this.size = size;
    this.modifiedMs = modifiedMs;
    this.olderMs = modifiedMs;
    this.changedMs = changedMs;
  }
}

/** Room held for a blob that is coming in. */
export interface Hold {
  /** What it may come to take; counts against the quota. */
  readonly reservedBytes: number;
  /** What it takes by now, at most. */
  readonly writtenBytes: number;
}

class OpenHold implements Hold {
  reservedBytes = 0;
  writtenBytes = 0;
}

/**
 * The books of the store: which verified blobs there are, what is in use, what is coming in, and who must go when room is
 * wanted. It does no I/O: `onEvict` and `onEvictIdle` say what is to be unlinked.
 *
 * Always: blobs + idle incoming + held room <= quota, for room is held before anything is written. Idle incoming blobs
 * go first, the longest idle before others; then verified blobs, the least recently used first. What is in use stays.
 */
export class Quota {
  #quotaBytes: number;
  /** Verified blobs that nobody has open: those that may be evicted. */
  readonly #unused: LRUCache<Digest, BlobEntry>;
  readonly #used = new Map<Digest, BlobEntry>();
  /** Verified blobs that nobody has open, and that may not be evicted. */
  readonly #kept = new Map<Digest, BlobEntry>();
  /** What may not be evicted, here or not. */
  #pinned: ReadonlySet<Digest> = new Set();
  /** Incoming blobs that nobody writes, by what they take, the longest idle first. */
  readonly #idle = new Map<Digest, number>();
  readonly #holds = new Set<OpenHold>();
  readonly #onEvictIdle: (digest: Digest) => void;
  readonly #onChange: (bytes: number) => void;
  #usedBytes = 0;
  #keptBytes = 0;
  #idleBytes = 0;
  #reservedBytes = 0;
  #writtenBytes = 0;

  constructor(options: {
    quotaBytes: number;
    onEvict: (entry: BlobEntry) => void;
    onEvictIdle: (digest: Digest) => void;
    onChange: (bytes: number) => void;
  }) {
    this.#quotaBytes = options.quotaBytes;
    this.#onEvictIdle = options.onEvictIdle;
    this.#onChange = options.onChange;
    this.#unused = new LRUCache({
      // The books here keep to the quota, which may change.
      maxSize: Number.MAX_SAFE_INTEGER,
      sizeCalculation: (entry) => chargeFor(entry.size),
      dispose: (entry, _digest, reason) => {
        if (reason === 'evict') options.onEvict(entry);
      },
    });
  }

  get quotaBytes(): number {
    return this.#quotaBytes;
  }

  /** From now on; what is over it goes at once, but for what is in use, which goes when it is not any more. */
  setQuota(bytes: number): void {
    this.#quotaBytes = bytes;
    this.trim();
  }

  /** Bytes that the store takes on disk. */
  get bytes(): number {
    return this.#unused.calculatedSize + this.#keptBytes + this.#usedBytes + this.#idleBytes + this.#writtenBytes;
  }

  /** Bytes that are held for incoming blobs and not written yet. */
  get outstandingBytes(): number {
    return this.#reservedBytes - this.#writtenBytes;
  }

  get evictableBytes(): number {
    return this.#idleBytes + this.#unused.calculatedSize;
  }

  /** A verified blob; does not count as a use. */
  find(digest: Digest): BlobEntry | undefined {
    return this.#used.get(digest) ?? this.#kept.get(digest) ?? this.#unused.peek(digest);
  }

  isPinned(digest: Digest): boolean {
    return this.#pinned.has(digest);
  }

  /** From now on these, and no others, are never evicted. */
  pin(digests: ReadonlySet<Digest>): void {
    this.#pinned = digests;
    for (const entry of this.#kept.values()) if (!digests.has(entry.digest)) this.#shelve(this.#unshelve(entry));
    for (const digest of digests) {
      const entry = this.#unused.peek(digest);
      if (entry) this.#shelve(this.#unshelve(entry));
    }
    this.#changed();
  }

  /** Incoming blobs that nobody writes: what they take. */
  idle(): ReadonlyMap<Digest, number> {
    return this.#idle;
  }

  /** Evicts an incoming blob that nobody writes; false: there is none. */
  evictIdle(digest: Digest): boolean {
    if (this.takeIdle(digest) === undefined) return false;
    this.#onEvictIdle(digest);
    this.#changed();
    return true;
  }

  /** Every verified blob, those in use first, then those that are pinned, then the most recently used first. */
  *entries(): Generator<BlobEntry> {
    yield* this.#used.values();
    yield* this.#kept.values();
    yield* this.#unused.values();
  }

  /** Takes up a blob found on disk, as the most recently used. False: larger than the quota, and not taken up. */
  load(entry: BlobEntry): boolean {
    if (chargeFor(entry.size) > this.#quotaBytes) return false;
    this.#shelve(entry);
    this.#changed();
    return true;
  }

  /** One more user: not evicted until each has called `release`. */
  use(entry: BlobEntry): void {
    entry.users += 1;
    if (entry.users > 1) return;
    this.#unshelve(entry);
    this.#used.set(entry.digest, entry);
    this.#usedBytes += chargeFor(entry.size);
  }

  /** One user less; after the last it is the most recently used. */
  release(entry: BlobEntry): void {
    entry.users -= 1;
    if (entry.users > 0) return;
    this.#usedBytes -= chargeFor(entry.size);
    if (!entry.dropped) {
      this.#used.delete(entry.digest);
      this.#shelve(entry);
    }
    this.trim();
    this.#changed();
  }

  /** The blob is no longer there for others. */
  drop(entry: BlobEntry): void {
    if (entry.dropped) return;
    entry.dropped = true;
    if (entry.users > 0) this.#used.delete(entry.digest);
    else this.#unshelve(entry);
    this.#changed();
  }

  /** Notes an incoming blob that nobody writes, as the last to be idle. */
  addIdle(digest: Digest, bytes: number): void {
    this.#idle.set(digest, bytes);
    this.#idleBytes += bytes;
    this.#changed();
  }

  hasIdle(digest: Digest): boolean {
    return this.#idle.has(digest);
  }

  /** Takes an incoming blob out of the idle ones, for it is opened again: what it takes, or undefined. */
  takeIdle(digest: Digest): number | undefined {
    const bytes = this.#idle.get(digest);
    if (bytes === undefined) return undefined;
    this.#idle.delete(digest);
    this.#idleBytes -= bytes;
    return bytes;
  }

  /** Holds room, evicting where needed; undefined (and nothing evicted) where it cannot be had. */
  hold(bytes: number, alreadyWritten = 0): Hold | undefined {
    if (!this.#makeRoom(bytes)) return undefined;
    const hold = new OpenHold();
    this.#holds.add(hold);
    this.#reserve(hold, bytes);
    this.measured(hold, alreadyWritten);
    return hold;
  }

  /** Widens a hold to `bytes` in all; false (and nothing evicted) where that cannot be had. */
  widen(hold: Hold, bytes: number): boolean {
    const more = bytes - hold.reservedBytes;
    if (more <= 0) return true;
    if (!this.#makeRoom(more)) return false;
    this.#reserve(this.#open(hold), more);
    return true;
  }

  /** Notes bytes written under a hold; what is written again counts twice, but never beyond the hold. */
  wrote(hold: Hold, bytes: number): void {
    this.measured(hold, hold.writtenBytes + bytes);
  }

  /** Notes what was written under a hold in all. */
  measured(hold: Hold, bytes: number): void {
    const before = hold.writtenBytes;
    const after = Math.min(hold.reservedBytes, bytes);
    this.#open(hold).writtenBytes = after;
    this.#writtenBytes += after - before;
    this.#changed();
  }

  /** Ends a hold: nothing of it is left on disk, or it is booked in another way at once. */
  free(hold: Hold): void {
    this.#holds.delete(this.#open(hold));
    this.#reservedBytes -= hold.reservedBytes;
    this.#writtenBytes -= hold.writtenBytes;
    this.#changed();
  }

  /** Turns a hold into a verified blob in use by one; a blob of that digest that was here makes way. */
  settle(hold: Hold, entry: BlobEntry): void {
    const before = this.find(entry.digest);
    if (before) this.drop(before);
    this.free(hold);
    entry.users = 1;
    this.#used.set(entry.digest, entry);
    this.#usedBytes += chargeFor(entry.size);
    this.#changed();
  }

  /** Evicts until `bytes` are gone or nothing is left that may go. */
  evict(bytes: number): void {
    const goal = this.evictableBytes - bytes;
    while (this.evictableBytes > Math.max(0, goal)) this.#evictOne();
    this.#changed();
  }

  /** Evicts what is over the quota, as far as it may go: after a start with a smaller one, or a change. */
  trim(): void {
    const missing = this.#missing(0);
    if (missing > 0) this.evict(missing);
  }

  #missing(bytes: number): number {
    const committed =
      this.#unused.calculatedSize + this.#keptBytes + this.#usedBytes + this.#idleBytes + this.#reservedBytes;
    return committed + bytes - this.#quotaBytes;
  }

  /** Puts a blob that nobody has open where it may be evicted, or may not. */
  #shelve(entry: BlobEntry): void {
    if (!this.#pinned.has(entry.digest)) {
      this.#unused.set(entry.digest, entry);
      return;
    }
    this.#kept.set(entry.digest, entry);
    this.#keptBytes += chargeFor(entry.size);
  }

  #unshelve(entry: BlobEntry): BlobEntry {
    if (this.#kept.get(entry.digest) === entry) {
      this.#kept.delete(entry.digest);
      this.#keptBytes -= chargeFor(entry.size);
    } else this.#unused.delete(entry.digest);
    return entry;
  }

  #makeRoom(bytes: number): boolean {
    const missing = this.#missing(bytes);
    if (missing <= 0) return true;
    if (missing > this.evictableBytes) return false;
    this.evict(missing);
    return true;
  }

  #evictOne(): void {
    const [oldest] = this.#idle.keys();
    if (oldest === undefined) {
      this.#unused.pop();
      return;
    }
    this.takeIdle(oldest);
    this.#onEvictIdle(oldest);
  }

  #reserve(hold: OpenHold, bytes: number): void {
    hold.reservedBytes += bytes;
    this.#reservedBytes += bytes;
  }

  #open(hold: Hold): OpenHold {
    if (hold instanceof OpenHold && this.#holds.has(hold)) return hold;
    throw new Error('this hold has ended');
  }

  #changed(): void {
    this.#onChange(this.bytes);
  }
}
