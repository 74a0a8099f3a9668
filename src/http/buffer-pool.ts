import { MiB } from '../base/units.ts';

/** Size in bytes of a pooled buffer: the best of those measured for `fs.read` and `res.write`. */
export const POOLED_BUFFER_BYTES = MiB;

/** Memory that all responses together may take for their buffers, in bytes. */
export const DEFAULT_POOL_BYTES = 48 * MiB;

/**
 * Buffers shared by all responses, so that memory is bounded whatever the number of clients (I5). They are made when first
 * needed, and kept.
 */
export class BufferPool {
  #most: number;
  readonly #free: Buffer[] = [];
  /** Buffers that have been shared and not come back from all, with how many have them. */
  readonly #shared = new Map<ArrayBufferLike, number>();
  #made = 0;

  constructor(totalBytes = DEFAULT_POOL_BYTES) {
    this.#most = Math.floor(totalBytes / POOLED_BUFFER_BYTES);
  }

  /** Buffers that may be taken now. */
  get available(): number {
    return Math.max(0, this.#free.length + this.#most - this.#made);
  }

  /** Half of the pool or more is out: nobody gets a buffer that only adds speed, so that slow readers cannot sit on what others need to start. */
  get isLow(): boolean {
    return this.available * 2 <= this.#most;
  }

  /** A buffer, or undefined when none is left. One that only adds speed (`extra`) is not given while the pool is low. */
  take(extra: boolean): Buffer | undefined {
    if (extra && this.isLow) return undefined;
    const free = this.#free.pop();
    if (free) return free;
    if (this.#made >= this.#most) return undefined;
    this.#made += 1;
    // Shared, so that another thread can hash what is in it.
    return Buffer.from(new SharedArrayBuffer(POOLED_BUFFER_BYTES));
  }

  /**
   * Whoever shares a buffer that is out, named by a view of it, keeps it from being used again until it gives it back, too:
   * the buffer to give, or undefined where it is not of this pool, or the pool is low (sharing only adds speed).
   */
  share(view: Uint8Array): Buffer | undefined {
    if (view.buffer.byteLength !== POOLED_BUFFER_BYTES || this.isLow) return undefined;
    this.#shared.set(view.buffer, (this.#shared.get(view.buffer) ?? 1) + 1);
    return Buffer.from(view.buffer);
  }

  /** Gives back a buffer that nothing reads or writes any more. */
  give(buffer: Buffer): void {
    const holders = this.#shared.get(buffer.buffer);
    if (holders !== undefined) {
      if (holders > 2) this.#shared.set(buffer.buffer, holders - 1);
      else this.#shared.delete(buffer.buffer);
      return;
    }
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
