import { crc32 } from '../../base/crc32.ts';
import type { Shown } from '../../base/shown.ts';
import { MiB } from '../../base/units.ts';
import { POOLED_BUFFER_BYTES, type BufferPool } from '../../http/buffer-pool.ts';
import type { BlobHead, ByteSink } from '../../http/byte-sink.ts';

/**
 * One piece on its way from a peer, in memory until it is whole and checked: nothing of it is written or served before.
 * At most 4 MiB, and a proxy has few under way at a time.
 */
export class PeerPiece implements ByteSink {
  readonly #pool: BufferPool;
  #length: number;
  #blobSize: number | undefined;
  readonly #learnt: (blobSize: number) => void;
  readonly #buffers: Buffer[] = [];
  readonly #pooled: Buffer[] = [];
  #fill = 0;
  #crc32 = 0;
  /** What the peer knows of it. */
  shown: Shown | undefined;

  /**
   * A piece of `length` bytes, of a blob of `blobSize` bytes. Where nobody has said the size yet, the peer does: `learnt` is
   * called, and the piece is as much of `length` as there is.
   */
  constructor(pool: BufferPool, length: number, blobSize: number | undefined, learnt: (blobSize: number) => void) {
    this.#pool = pool;
    this.#length = length;
    this.#blobSize = blobSize;
    this.#learnt = learnt;
  }

  get isWhole(): boolean {
    return this.#fill === this.#length;
  }

  /** CRC-32 of what has come. */
  get crc32(): number {
    return this.#crc32;
  }

  head({ total, shown }: BlobHead): void {
    this.shown = shown;
    if (this.#blobSize === undefined && total !== undefined) {
      this.#blobSize = total;
      this.#length = Math.min(this.#length, total);
      this.#learnt(total);
    }
    if (total !== this.#blobSize) throw new Error(`a blob of ${total} bytes instead of ${this.#blobSize}`);
  }

  write(chunk: Uint8Array): boolean {
    for (let taken = 0; taken < chunk.length && this.#fill < this.#length;) {
      const to = this.room()!;
      const count = Math.min(chunk.length - taken, to.length);
      const isThere = chunk.buffer === to.buffer && chunk.byteOffset === to.byteOffset;
      if (!isThere) to.set(chunk.subarray(taken, taken + count));
      // Now, while they are in the core's cache.
      this.#crc32 = crc32(to.subarray(0, count), this.#crc32);
      taken += count;
      this.#fill += count;
    }
    return true;
  }

  room(): Uint8Array | undefined {
    if (this.#fill === this.#length) return undefined;
    if (this.#fill === this.#buffers.length * MiB) this.#take();
    const at = this.#fill % MiB;
    return this.#buffers.at(-1)!.subarray(at, Math.min(MiB, at + this.#length - this.#fill));
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  /** What has come, in order. */
  parts(): Buffer[] {
    return this.#buffers.map((buffer, index) => buffer.subarray(0, Math.min(MiB, this.#fill - index * MiB)));
  }

  /** Gives its memory back. */
  release(): void {
    for (const buffer of this.#pooled) this.#pool.give(buffer);
    this.#pooled.length = 0;
    this.#buffers.length = 0;
  }

  #take(): void {
    const wanted = Math.min(POOLED_BUFFER_BYTES, this.#length - this.#fill);
    const pooled = wanted === POOLED_BUFFER_BYTES ? this.#pool.take(false) : undefined;
    if (pooled) this.#pooled.push(pooled);
    this.#buffers.push(pooled ?? Buffer.allocUnsafeSlow(wanted));
  }
}
