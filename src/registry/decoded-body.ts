import type { ByteSink } from '../http/byte-sink.ts';
import { decoderFor, type Coding } from './content-encoding.ts';
import { OriginBadResponse } from './errors.ts';
import type { Errand } from './failures.ts';
import type { RangeFilter } from './range-filter.ts';

/** Decodes a body of any size on its way to a range filter; the pressure of the sink goes back through the decoder. */
export class DecodedBody {
  readonly #decoder: ReturnType<typeof decoderFor>;
  #failure: { readonly error: unknown } | undefined;
  #stopped = false;
  #wake: (() => void) | undefined;

  constructor(coding: Coding, filter: RangeFilter, sink: ByteSink, errand: Errand, signal: AbortSignal) {
    const decoder = decoderFor(coding);
    this.#decoder = decoder;
    const fail = (error: unknown) => {
      this.#failure ??= { error };
      decoder.destroy();
      this.#wake?.();
    };
    const onAbort = () => fail(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    decoder.on('close', () => signal.removeEventListener('abort', onAbort));
    decoder.on('error', (cause) => {
      fail(new OriginBadResponse({ ...errand, seen: `a body that does not decode as ${coding}` }, { cause }));
    });
    decoder.on('data', (chunk: Buffer) => {
      if (this.#stopped || this.#failure) return;
      try {
        const next = filter.write(chunk);
        if (next === 'stop') this.#stopped = true;
        if (next !== 'hold') return;
        decoder.pause();
        sink.drained().then(() => decoder.resume(), fail);
      } catch (error) {
        fail(error);
      }
    });
    for (const event of ['drain', 'end']) decoder.on(event, () => this.#wake?.());
  }

  /** Throws what the sink threw, or ORIGIN_BAD_RESPONSE. */
  write(chunk: Uint8Array): 'more' | 'hold' | 'stop' {
    if (this.#failure) throw this.#failure.error;
    if (this.#stopped) return 'stop';
    // Decoded on another thread, after this returns: the reader's buffer is used again by then.
    return this.#decoder.write(Buffer.from(chunk)) ? 'more' : 'hold';
  }

  async drained(): Promise<void> {
    while (!this.#failure && this.#decoder.writableNeedDrain) await this.#changed();
    if (this.#failure) throw this.#failure.error;
  }

  /** Resolves when the last decoded byte has been written. */
  async end(): Promise<void> {
    if (!this.#failure && !this.#stopped) this.#decoder.end();
    while (!this.#failure && !this.#stopped && !this.#decoder.readableEnded) await this.#changed();
    this.#decoder.destroy();
    if (this.#failure) throw this.#failure.error;
  }

  /** Frees what an ended read leaves behind. */
  close(): void {
    this.#decoder.destroy();
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
