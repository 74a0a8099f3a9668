import type { Hash } from 'node:crypto';
import { digestAlgorithm, digestFrom, hasherFor, type Digest } from '../../base/digest.ts';
import { MiB } from '../../base/units.ts';

const READ_BACK_BYTES = MiB;

/**
 * The hash of a blob over its in-order prefix: from memory where bytes come in order (one pass while they are hot), read
 * back from the disk where a piece came early.
 */
export class PrefixHash {
  readonly #digest: Digest;
  readonly #hash: Hash;
  #cursor = 0;
  #catchingUp: Promise<void> | undefined;

  constructor(digest: Digest) {
    this.#digest = digest;
    this.#hash = hasherFor(digest);
  }

  /** How many bytes have been hashed. */
  get cursor(): number {
    return this.#cursor;
  }

  /** Takes the bytes at `position` if they are the next ones; false: they must be read back later. */
  feed(bytes: Uint8Array, position: number): boolean {
    if (position !== this.#cursor || this.#catchingUp) return false;
    this.#hash.update(bytes);
    this.#cursor += bytes.length;
    return true;
  }

  /** Reads back and hashes up to `end()`, which may grow meanwhile. One at a time; later calls join the running one. */
  catchUp(read: (buffer: Uint8Array, position: number) => Promise<number>, end: () => number): Promise<void> {
    if (this.#cursor >= end()) return this.#catchingUp ?? Promise.resolve();
    this.#catchingUp ??= this.#readBack(read, end).finally(() => {
      this.#catchingUp = undefined;
    });
    return this.#catchingUp;
  }

  /** The digest of all that was hashed; ends the hash. */
  finish(): Digest {
    return digestFrom(digestAlgorithm(this.#digest), this.#hash);
  }

  async #readBack(read: (buffer: Uint8Array, position: number) => Promise<number>, end: () => number): Promise<void> {
    const buffer = Buffer.allocUnsafe(READ_BACK_BYTES);
    while (this.#cursor < end()) {
      const count = await read(buffer.subarray(0, Math.min(buffer.length, end() - this.#cursor)), this.#cursor);
      if (count === 0) throw new Error(`nothing to read back at byte ${this.#cursor}`);
      this.#hash.update(buffer.subarray(0, count));
      this.#cursor += count;
    }
  }
}
