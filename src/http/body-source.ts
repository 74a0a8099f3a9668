/** A body that can be sent: a stored blob, or one that is still coming in. */
export interface BodySource {
  /** Bytes in the whole blob. */
  readonly size: number;
  /**
   * Waits until the byte at `position` may be sent, and says how far (exclusive) the bytes from there may be sent now.
   * Rejects when they never will be.
   */
  ready(position: number): Promise<number>;
  /** Reads bytes from `position`, which `ready` has released, into `buffer`; the count is 1 or more, and may be short. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /**
   * As `read`, at once and on this thread, where the bytes are in memory already. 0: they are not, or something is wrong, and `read`
   * is to be called. Never throws.
   */
  readNow?(buffer: Uint8Array, position: number): number;
  /**
   * Bytes from `position`, which `ready` has released, where they are in memory already: at most `length`, which stay as they are
   * until `release` is called. Undefined: they are not, and `read` is to be called.
   */
  lend?(position: number, length: number): LentBytes | undefined;
}

/** Memory that somebody else reads from, too. */
export interface LentBytes {
  readonly bytes: Uint8Array;
  release(): void;
}
