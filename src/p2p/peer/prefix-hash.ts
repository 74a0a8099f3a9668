import type { Digest } from '../../base/digest.ts';
import { MiB } from '../../base/units.ts';
import type { LentBytes } from '../../http/body-source.ts';
import type { Stretch, WholePiece } from './piece-crcs.ts';
import type { BlobSums } from './sums.ts';

const READ_BACK_BYTES = MiB;

/** Where bytes that came early are read back from: memory while they are there, or the file. */
export interface ReadBack {
  lend(position: number, length: number): LentBytes | undefined;
  read(buffer: Uint8Array, position: number): Promise<number>;
}

/**
 * The hash of a blob over its in-order prefix: from memory where bytes come in order (one pass while they are hot, with the
 * CRCs of pieces), read back from memory or disk where a piece came early.
 */
export class PrefixHash {
  readonly #sums: BlobSums;
  #cursor = 0;
  #catchingUp: Promise<void> | undefined;

  constructor(sums: BlobSums) {
    this.#sums = sums;
  }

  /** How many bytes have been hashed, or are with the sums to be hashed. */
  get cursor(): number {
    return this.#cursor;
  }

  /**
   * Takes bytes at `position` into their pieces' CRCs, and hashes them if they are the next ones; else they must be read back
   * later. As `BlobSums.add`.
   */
  feed(bytes: Uint8Array, position: number, stretches: readonly Stretch[]): WholePiece[] | Promise<WholePiece[]> {
    const isNext = position === this.#cursor && !this.#catchingUp;
    if (isNext) this.#cursor += bytes.length;
    return isNext || stretches.length > 0 ? this.#sums.add(bytes, isNext, stretches) : [];
  }

  /** Reads back and hashes up to `end()`, which may grow meanwhile. One at a time; later calls join the running one. */
  catchUp(from: ReadBack, end: () => number): Promise<void> {
    if (this.#cursor >= end()) return this.#catchingUp ?? Promise.resolve();
    this.#catchingUp ??= this.#readBack(from, end).finally(() => {
      this.#catchingUp = undefined;
    });
    return this.#catchingUp;
  }

  /** The digest of all that was hashed; ends the hash. */
  finish(): Digest {
    return this.#sums.finish();
  }

  close(): void {
    this.#sums.close();
  }

  async #readBack(from: ReadBack, end: () => number): Promise<void> {
    let buffer: Buffer | undefined;
    while (this.#cursor < end()) {
      const lent = from.lend(this.#cursor, end() - this.#cursor);
      if (lent) {
        try {
          await this.#sums.add(lent.bytes, true, []);
        } finally {
          lent.release();
        }
        this.#cursor += lent.bytes.length;
        continue;
      }
      buffer ??= Buffer.from(new SharedArrayBuffer(READ_BACK_BYTES));
      const count = await from.read(buffer.subarray(0, Math.min(buffer.length, end() - this.#cursor)), this.#cursor);
      if (count === 0) throw new Error(`nothing to read back at byte ${this.#cursor}`);
      await this.#sums.add(buffer.subarray(0, count), true, []);
      this.#cursor += count;
    }
  }
}
