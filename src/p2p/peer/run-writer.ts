import { KiB } from '../../base/units.ts';
import { POOLED_BUFFER_BYTES, type BufferPool } from '../../http/buffer-pool.ts';
import type { BlobHead, ByteSink } from '../../http/byte-sink.ts';

/** A run that is shorter, or finds the pool empty, gathers its bytes in a buffer of its own, of at most this size. */
const SMALL_BUFFER_BYTES = 64 * KiB;
/**
 * Writes of one run that may be under way. With few of them the source is held back again and again until one ends (measured on cold
 * pulls of 512 MiB: 568 MiB/s and 2.1 CPU-s a GiB with 2, 620 with 4, 633 and 1.9 with 8, no more with 16).
 */
const WRITES_IN_FLIGHT = 8;
/** The same while the pool is low: to go on without its buffers would take many small writes. */
const WRITES_IN_FLIGHT_WHEN_LOW = 2;
/** While a client waits, what has come is written from this size on, ... */
const EAGER_WRITE_BYTES = 256 * KiB;
/** ... or after so many milliseconds in which the buffer did not fill. */
const EAGER_WRITE_MS = 2;

/** Thrown out of `write` when a run has reached the end that it was cut to: the read is to be ended, nothing is wrong. */
export class RunStopped extends Error {}

/** What a run writes to. */
export interface RunTarget {
  /** The source has answered. Throws to refuse it. */
  begin(head: BlobHead): void;
  /** Bytes have come, written or not. */
  came(): void;
  /** Stores bytes at `position`; they belong to the writer again when it resolves. */
  store(bytes: Buffer, position: number): Promise<void>;
  /** Whether a client waits for a byte from `start` to `end` (exclusive). */
  isAwaited(start: number, end: number): boolean;
  /** The byte position up to which the run at `position` may read on now. */
  mayReadTo(position: number): number;
  /** Resolves when `mayReadTo` may have changed. */
  flowChanged(): Promise<void>;
}

/** A buffer that is being filled; given back when it is full, or not filled any more, and all writes of parts of it are done. */
interface Slab {
  readonly buffer: Buffer;
  writes: number;
}

/** One read from a source into a blob that is coming in: gathers chunks, writes them, holds the source back. */
export class RunWriter implements ByteSink {
  readonly #target: RunTarget;
  readonly #pool: BufferPool;
  /** Where the read was to end when it began. */
  readonly #end: number;
  #slab: Slab | undefined;
  /** Of the slab's buffer, what is under way to the file or in it, and what has come. */
  #flushed = 0;
  #fill = 0;
  /** Where the first byte belongs that has come and is not under way to the file. */
  #unwritten: number;
  #position: number;
  #stopAt: number;
  #inFlight = 0;
  #wroteSomething = false;
  /** Whether clients that read slowly hold the run back. */
  #held = true;
  #failure: unknown;
  #wake: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** Writes from `start`, up to `stopAt` (exclusive; Infinity: as far as it comes). */
  constructor(target: RunTarget, pool: BufferPool, start: number, stopAt: number) {
    this.#target = target;
    this.#pool = pool;
    this.#position = start;
    this.#unwritten = start;
    this.#stopAt = stopAt;
    this.#end = stopAt;
  }

  /** The next byte that this run will bring. */
  get position(): number {
    return this.#position;
  }

  get stopAt(): number {
    return this.#stopAt;
  }

  /** The error of a write, if one failed: the target's, not the source's. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Lets the run end earlier than it was to; true: it is there already, and its read can be ended. */
  stopBefore(position: number): boolean {
    this.#stopAt = Math.max(this.#position, Math.min(this.#stopAt, position));
    this.#signal();
    return this.#position >= this.#stopAt;
  }

  /** As `stopBefore`, and no slow client holds the rest back. */
  finishBefore(position: number): boolean {
    this.#held = false;
    return this.stopBefore(position);
  }

  head(head: BlobHead): void {
    this.#target.begin(head);
  }

  write(chunk: Uint8Array): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    this.#target.came();
    let taken = 0;
    while (taken < chunk.length) {
      if (this.#position >= this.#stopAt) break;
      const { buffer } = (this.#slab ??= this.#takeSlab());
      const count = Math.min(chunk.length - taken, buffer.length - this.#fill, this.#stopAt - this.#position);
      const isThere = chunk.buffer === buffer.buffer && chunk.byteOffset === buffer.byteOffset + this.#fill;
      if (!isThere) buffer.set(chunk.subarray(taken, taken + count), this.#fill);
      taken += count;
      this.#fill += count;
      this.#position += count;
      if (this.#fill === buffer.length || this.#position >= this.#stopAt) this.#flush();
    }
    if (this.#position >= this.#stopAt && (taken < chunk.length || this.#stopAt < this.#end)) throw new RunStopped();
    this.#flushIfAwaited();
    return this.#mayGoOn();
  }

  room(): Uint8Array | undefined {
    if (this.#failure !== undefined || this.#position >= this.#stopAt) return undefined;
    this.#slab ??= this.#takeSlab();
    return this.#slab.buffer.subarray(this.#fill);
  }

  async drained(): Promise<void> {
    while (!this.#mayGoOn()) {
      const written = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await Promise.race([written, this.#target.flowChanged()]);
    }
  }

  /** The read has ended: writes what is left and waits for every write; throws if one failed. */
  async finish(): Promise<void> {
    this.#flush();
    this.#dropSlab();
    while (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #mayGoOn(): boolean {
    if (this.#failure !== undefined || this.#position >= this.#stopAt) return true;
    if (this.#inFlight >= (this.#pool.isLow ? WRITES_IN_FLIGHT_WHEN_LOW : WRITES_IN_FLIGHT)) return false;
    return !this.#held || this.#position < this.#target.mayReadTo(this.#position);
  }

  /** Large writes cost less: bytes are gathered to 1 MiB where the pool has the room. */
  #takeSlab(): Slab {
    const wanted = this.#end - this.#position;
    const pooled = wanted > SMALL_BUFFER_BYTES ? this.#pool.take(this.#inFlight > 0) : undefined;
    this.#flushed = 0;
    this.#fill = 0;
    return { buffer: pooled ?? Buffer.allocUnsafeSlow(Math.min(wanted, SMALL_BUFFER_BYTES)), writes: 0 };
  }

  /** Nothing more comes into it. */
  #dropSlab(): void {
    const slab = this.#slab;
    this.#slab = undefined;
    if (slab) this.#giveBackUnused(slab);
  }

  #giveBackUnused(slab: Slab): void {
    const isInUse = slab === this.#slab || slab.writes > 0;
    if (!isInUse && slab.buffer.length === POOLED_BUFFER_BYTES) this.#pool.give(slab.buffer);
  }

  #flushIfAwaited(): void {
    if (this.#position === this.#unwritten || this.#inFlight > 0) return;
    if (!this.#target.isAwaited(this.#unwritten, this.#position)) return;
    // The first bytes go out at once: somebody waits for an answer to begin.
    if (!this.#wroteSomething || this.#position - this.#unwritten >= EAGER_WRITE_BYTES) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), EAGER_WRITE_MS);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const slab = this.#slab;
    if (!slab || this.#fill === this.#flushed || this.#failure !== undefined) return;
    const bytes = slab.buffer.subarray(this.#flushed, this.#fill);
    const start = this.#unwritten;
    slab.writes += 1;
    // The rest of it takes what comes next: a source may be reading right into it.
    this.#flushed = this.#fill;
    if (this.#fill === slab.buffer.length) this.#slab = undefined;
    this.#unwritten = this.#position;
    this.#wroteSomething = true;
    this.#inFlight += 1;
    this.#target
      .store(bytes, start)
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => {
        this.#inFlight -= 1;
        slab.writes -= 1;
        this.#giveBackUnused(slab);
        this.#signal();
        // What came while this write was under way goes out now, if somebody waits for it.
        this.#flushIfAwaited();
      });
  }

  #signal(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
