import type { ByteRange, ByteSink } from '../../src/http/byte-sink.ts';
import type { PieceSource } from '../../src/p2p/peer/piece-source.ts';

/** What a `ScriptedSource` is to do wrong in its next read; the first of the list is used up by each read. */
export interface Mishap {
  /** Ends the read with this error ... */
  readonly error?: Error;
  /** ... after so many bytes of it. */
  readonly after?: number;
  /** Flips the byte at this position of the blob. */
  readonly flip?: number;
  /** Ends normally after `after` bytes. */
  readonly short?: boolean;
}

/** A source of one blob, in memory: the twin of an origin. Give it mishaps, hold it, look at what was asked of it. */
export class ScriptedSource implements PieceSource {
  readonly kind = 'origin';
  readonly name: string;
  readonly bytes: Buffer;
  /** Every range that was asked for. */
  readonly reads: ByteRange[] = [];
  readonly mishaps: Mishap[] = [];
  /** Bytes handed out, over all reads. */
  given = 0;
  chunkBytes = 65_536;
  ranges = true;
  /** What it says the size is; undefined says nothing. */
  total: number | undefined;
  mediaType: string | undefined;
  /** While set, reads stop before the byte at this position, until `release`. */
  holdAt: number | undefined;
  /** Reads that are under way. */
  open = 0;
  #released: (() => void)[] = [];

  constructor(bytes: Buffer, name = 'origin.test/app') {
    this.bytes = bytes;
    this.name = name;
    this.total = bytes.length;
  }

  /** Lets reads go on, up to `holdAt`. */
  release(holdAt?: number): void {
    this.holdAt = holdAt;
    const waiting = this.#released;
    this.#released = [];
    for (const go of waiting) go();
  }

  async read(range: ByteRange, sink: ByteSink, signal: AbortSignal): Promise<void> {
    this.reads.push(range);
    const mishap = this.mishaps.shift() ?? {};
    this.open += 1;
    try {
      await this.#give(range, sink, signal, mishap);
    } finally {
      this.open -= 1;
    }
  }

  async #give(range: ByteRange, sink: ByteSink, signal: AbortSignal, mishap: Mishap): Promise<void> {
    const end = Math.min(range.end ?? this.bytes.length, this.bytes.length);
    if (mishap.error && mishap.after === undefined) throw mishap.error;
    await turn();
    signal.throwIfAborted();
    sink.head({ total: this.total, mediaType: this.mediaType, ranges: this.ranges });
    for (let at = range.start; at < end;) {
      signal.throwIfAborted();
      const given = at - range.start;
      if (mishap.after !== undefined && given >= mishap.after) {
        if (mishap.short) return;
        throw mishap.error ?? new Error('broken off');
      }
      while (this.holdAt !== undefined && at >= this.holdAt) await this.#held(signal);
      let count = Math.min(this.chunkBytes, end - at);
      if (this.holdAt !== undefined) count = Math.min(count, this.holdAt - at);
      if (mishap.after !== undefined) count = Math.min(count, mishap.after - given);
      const chunk = Buffer.from(this.bytes.subarray(at, at + count));
      if (mishap.flip !== undefined && mishap.flip >= at && mishap.flip < at + count) chunk[mishap.flip - at]! ^= 1;
      at += count;
      this.given += count;
      const goOn = sink.write(chunk);
      // A chunk is the source's again: whoever kept it is found out.
      chunk.fill(0xee);
      await (goOn ? turn() : drainedOrAborted(sink, signal));
    }
  }

  #held(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = () => reject(signal.reason as Error);
      if (signal.aborted) stop();
      signal.addEventListener('abort', stop, { once: true });
      this.#released.push(() => {
        signal.removeEventListener('abort', stop);
        resolve();
      });
    });
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

async function drainedOrAborted(sink: ByteSink, signal: AbortSignal): Promise<void> {
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    await Promise.race([sink.drained(), aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
