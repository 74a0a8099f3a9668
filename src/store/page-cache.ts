/** A read on this thread that takes longer seems to have waited for the disk, in milliseconds: 1 MiB from memory takes 0.1 to 0.2. */
const SLOW_MS = 2;
/** So many slow reads in a row are no accident: on a busy machine one may be slow because the process was not running. */
const SLOW_IN_A_ROW = 2;
/** Reads that go through the thread pool after that: a cold disk then stalls the process for a seventeenth of the time at most. */
const POOLED_AFTER_SLOW = 32;

/**
 * A guess whether the bytes that are read next of a file are in the kernel's memory. Such reads are made on this thread: the turn
 * through the thread pool, and a buffer that another core has filled, are a third of what a warm blob costs to send (measured with
 * both cores busy: 0.58 against 0.34 CPU-s a GiB). A read that waits for the disk would stall every client, so each is timed.
 */
export class PageCacheGuess {
  /** Reads until one is made on this thread again. */
  #pooled: number;
  #slow = 0;

  /** `isInMemory`: the file has been written or read just now. Else the first read goes through the thread pool. */
  constructor(isInMemory: boolean) {
    this.#pooled = isInMemory ? 0 : 1;
  }

  get isInMemory(): boolean {
    return this.#pooled === 0;
  }

  /** A read on this thread has taken so long. */
  took(ms: number): void {
    this.#slow = ms > SLOW_MS ? this.#slow + 1 : 0;
    if (this.#slow < SLOW_IN_A_ROW) return;
    this.#slow = 0;
    this.#pooled = POOLED_AFTER_SLOW;
  }

  /** A read goes through the thread pool; how long that takes says nothing, for it waits there, too. */
  pooled(): void {
    this.#pooled = Math.max(0, this.#pooled - 1);
  }
}
