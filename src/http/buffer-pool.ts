import { MiB } from '../base/units.ts';

/** Size in bytes of a pooled buffer: the best of those measured for `fs.read` and `res.write`. */
export const POOLED_BUFFER_BYTES = MiB;

/** Memory that all responses together may take for their buffers, in bytes. */
export const DEFAULT_POOL_BYTES = 64 * MiB;

/**
 * Buffers shared by all responses, so that memory is bounded whatever the number of clients (I5). They are made when first
 * needed, and kept.
 */
export class BufferPool {
  #most: number;
  readonly #free: Buffer[] = [];
  #made = 0;

  constructor(totalBytes = DEFAULT_POOL_BYTES) {
    this.#most = Math.floor(totalBytes / POOLED_BUFFER_BYTES);
  }

  /** Buffers that may be taken now. */
  get available(): number {
    return Math.max(0, this.#free.length + this.#most - this.#made);
  }

  /**
   * A buffer, or undefined when none is left. One that only adds speed (`extra`) is given while more than half of the pool is
   * free, so that slow readers cannot sit on buffers that others need to start.
   */
  take(extra: boolean): Buffer | undefined {
    if (extra && this.available * 2 <= this.#most) return undefined;
    const free = this.#free.pop();
    if (free) return free;
    if (this.#made >= this.#most) return undefined;
    this.#made += 1;
    return Buffer.allocUnsafeSlow(POOLED_BUFFER_BYTES);
  }

  /** Gives back a buffer that nothing reads or writes any more. */
  give(buffer: Buffer): void {
    this.#free.push(buffer);
    this.#shrink();
  }

  /** From now on the buffers take `totalBytes` at most; those that are out beyond it go as they come back. */
  resize(totalBytes: number): void {
    this.#most = Math.floor(totalBytes / POOLED_BUFFER_BYTES);
    this.#shrink();
  }

  #shrink(): void {
    while (this.#made > this.#most && this.#free.pop()) this.#made -= 1;
  }
}
