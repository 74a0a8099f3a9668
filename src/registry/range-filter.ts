import type { ByteSink } from '../http/byte-sink.ts';

/** Between a body and a sink: skips what comes before the range, stops at its end, and knows how far it is. */
export class RangeFilter {
  readonly #sink: ByteSink;
  readonly #end: number;
  readonly #stopAtEnd: boolean;
  #skip: number;
  #position: number;

  /**
   * The first `skip` bytes of the body are not wanted, those after are the blob's from `start` to `end` (Infinity: all that
   * come). `stopAtEnd`: the body goes on after them, so that it is to be ended there.
   */
  constructor(sink: ByteSink, range: { start: number; end: number; skip: number; stopAtEnd: boolean }) {
    this.#sink = sink;
    this.#position = range.start;
    this.#end = range.end;
    this.#skip = range.skip;
    this.#stopAtEnd = range.stopAtEnd;
  }

  /** The next byte of the blob that is wanted. */
  get position(): number {
    return this.#position;
  }

  /** Bytes before the range that have yet to come. */
  get toSkip(): number {
    return this.#skip;
  }

  /** As `ByteSink.room`. */
  room(): Uint8Array | undefined {
    return this.#skip > 0 || this.#position >= this.#end ? undefined : this.#sink.room?.();
  }

  write(chunk: Uint8Array): 'more' | 'hold' | 'stop' {
    const skipped = Math.min(this.#skip, chunk.length);
    this.#skip -= skipped;
    const wanted = chunk.subarray(skipped, skipped + Math.min(chunk.length - skipped, this.#end - this.#position));
    this.#position += wanted.length;
    const goOn = wanted.length === 0 || this.#sink.write(wanted);
    if (this.#stopAtEnd && this.#position >= this.#end) return 'stop';
    return goOn ? 'more' : 'hold';
  }
}
