import type { Digest } from '../base/digest.ts';
import { describeError } from '../base/errors.ts';
import { formatSize, MiB } from '../base/units.ts';
import { StoreNoRoom } from './errors.ts';
import type { FilePort } from './files.ts';
import { chargeFor, type Hold, type Quota } from './quota.ts';
import type { Removals } from './removals.ts';

/** Free space on the disk that the store leaves to others: a disk at its last byte breaks more than a cache. */
export const DISK_RESERVE_BYTES = 64 * MiB;
/** For a blob of unknown size the disk is looked at each time that so much more has come. */
const DISK_CHECK_STEP_BYTES = 16 * MiB;

/** Evicted at least, where the disk turns out to be full: once, not write by write. */
const EVICT_AT_ONCE_BYTES = 64 * MiB;

/** Gives room to incoming blobs: within the quota, and within what the disk has, evicting where needed. */
export class Room {
  readonly #files: FilePort;
  readonly #dir: string;
  readonly #quota: Quota;
  readonly #removals: Removals;
  readonly #diskReserveBytes: number;

  constructor(options: { files: FilePort; dir: string; quota: Quota; removals: Removals; diskReserveBytes: number }) {
    this.#files = options.files;
    this.#dir = options.dir;
    this.#quota = options.quota;
    this.#removals = options.removals;
    this.#diskReserveBytes = options.diskReserveBytes;
  }

  /** Room for a blob of `size` bytes, of which its file takes `allocatedBytes` already. Throws STORE_NO_ROOM. */
  async hold(digest: Digest, size: number, allocatedBytes: number): Promise<Hold> {
    const hold = this.#quota.hold(chargeFor(size), allocatedBytes);
    if (!hold) throw this.#overQuota(digest, size);
    try {
      await this.#checkDisk(digest, size);
    } catch (error) {
      this.#quota.free(hold);
      throw error;
    }
    return hold;
  }

  /** Room for `size` bytes of a blob whose size is not known. Throws STORE_NO_ROOM. */
  async widen(digest: Digest, hold: Hold, size: number): Promise<void> {
    const before = hold.reservedBytes;
    if (!this.#quota.widen(hold, chargeFor(size))) throw this.#overQuota(digest, size);
    const step = (bytes: number): number => Math.floor(bytes / DISK_CHECK_STEP_BYTES);
    if (step(hold.reservedBytes) > step(before)) await this.#checkDisk(digest, size);
  }

  /** The disk is fuller than was thought: evicts for about `bytes` and some more. False: nothing is left that may go. */
  async evictFor(bytes: number): Promise<boolean> {
    const { evictableBytes } = this.#quota;
    if (evictableBytes === 0) return false;
    this.#quota.evict(Math.max(bytes, Math.min(evictableBytes, EVICT_AT_ONCE_BYTES)));
    await this.#removals.allSettled();
    return true;
  }

  async #checkDisk(digest: Digest, size: number): Promise<void> {
    if ((await this.#missingOnDisk(digest, size)) <= 0) return;
    // What is just being unlinked is room soon.
    await this.#removals.allSettled();
    const missing = await this.#missingOnDisk(digest, size);
    if (missing <= 0) return;
    if (missing > this.#quota.evictableBytes) {
      const why = `the disk lacks ${formatSize(missing)}, with ${formatSize(this.#diskReserveBytes)} to stay free`;
      throw new StoreNoRoom({ digest, needBytes: size, why });
    }
    this.#quota.evict(missing);
    await this.#removals.allSettled();
  }

  /** Bytes that the disk has too few for all that is held; 0 or less: none. */
  async #missingOnDisk(digest: Digest, size: number): Promise<number> {
    const free = await this.#files.freeBytes(this.#dir).catch((error: unknown) => {
      throw new StoreNoRoom({ digest, needBytes: size, why: describeError(error) }, { cause: error });
    });
    return this.#quota.outstandingBytes + this.#diskReserveBytes - free;
  }

  #overQuota(digest: Digest, size: number): Error {
    const { quotaBytes } = this.#quota;
    const why =
      chargeFor(size) > quotaBytes
        ? `it is larger than the quota of ${formatSize(quotaBytes)}`
        : `what is in use now leaves too little of the quota of ${formatSize(quotaBytes)}`;
    return new StoreNoRoom({ digest, needBytes: size, why });
  }
}
