import type { IncomingHttpHeaders } from 'node:http';
import { asError } from '../base/errors.ts';
import type { Clock } from '../base/clock.ts';
import type { BulkHandler, BulkRead, BulkReader } from '../http/bulk-reader.ts';
import { OriginStalled, OriginTimeout } from './errors.ts';
import { failureOfTransport, type Errand } from './failures.ts';
import { USER_AGENT, type OriginLimits } from './limits.ts';
import type { RequestCounter } from './request-counter.ts';
import { secretsIn } from './sent-secrets.ts';

/** How much of an error's body is read for its words, in bytes. */
const MAX_WORDS_BYTES = 8 * 1024;

export interface ResponseHead {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

/** Takes one response. What its methods throw ends the read with that very error. */
export interface BodyTaker {
  /** What to do with the body: `take` it, keep its first `words` for an error's text, or `stop` right here. */
  head(head: ResponseHead): 'take' | 'words' | 'stop';
  /** A chunk of the body, good until it returns; `hold`: no more until `drained`; `stop`: no more at all. */
  data(chunk: Uint8Array): 'more' | 'hold' | 'stop';
  /** As `ByteSink.room`. */
  room?(): Uint8Array | undefined;
  drained(): Promise<void>;
}

export interface ReadOutcome extends ResponseHead {
  /** What was kept as words. */
  readonly words: Buffer;
  /** As `Answer.secrets`. */
  readonly secrets: readonly string[];
}

export interface ReadOptions {
  readonly url: URL;
  readonly headers: Record<string, string>;
  readonly errand: Errand;
  readonly signal: AbortSignal | undefined;
}

export interface ReadContext {
  readonly reader: BulkReader;
  readonly limits: OriginLimits;
  readonly clock: Clock;
  readonly counter: RequestCounter;
}

/**
 * One GET whose body goes to `taker` as it comes, with the pressure back. Resolves when the body has ended or the taker stopped it. Throws OriginErrors, what the taker
 * throws, and the signal's reason.
 */
export function httpRead(context: ReadContext, options: ReadOptions, taker: BodyTaker): Promise<ReadOutcome> {
  return new Promise((resolve, reject) => {
    new Exchange(context, options, taker, resolve, reject).start();
  });
}

class Exchange implements BulkHandler {
  readonly #context: ReadContext;
  readonly #options: ReadOptions;
  readonly #taker: BodyTaker;
  readonly #resolve: (outcome: ReadOutcome) => void;
  readonly #reject: (error: unknown) => void;
  readonly #words: Buffer[] = [];
  #wordsLength = 0;
  #read: BulkRead | undefined;
  #head: ResponseHead | undefined;
  #mode: 'take' | 'words' = 'words';
  #paused = false;
  #over = false;
  /** When the last byte came, or the reader was ready for the next: on the monotonic clock. */
  #progressAt = 0;
  #stopWatch = () => {};

  constructor(
    context: ReadContext,
    options: ReadOptions,
    taker: BodyTaker,
    resolve: (outcome: ReadOutcome) => void,
    reject: (error: unknown) => void,
  ) {
    this.#context = context;
    this.#options = options;
    this.#taker = taker;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(): void {
    const { url, headers, signal } = this.#options;
    if (signal?.aborted) return this.#reject(signal.reason);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.#progressAt = this.#context.clock.monotonic();
    this.#watch(this.#context.limits.headersMs);
    try {
      const sent = { 'user-agent': USER_AGENT, 'accept-encoding': 'identity', ...headers };
      this.#read = this.#context.reader.get(url, sent, this);
      if (this.#over) this.#read.abort();
    } catch (error) {
      this.failed(asError(error));
    }
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    this.#progressAt = this.#context.clock.monotonic();
    this.#head = { status, headers };
    this.#context.counter.request('GET', status);
    this.#stopWatch();
    this.#watch(this.#context.limits.stallMs);
    this.#guarded(() => {
      const mode = this.#taker.head(this.#head!);
      if (mode === 'stop') this.#finish('stopped');
      else this.#mode = mode;
    });
  }

  data(chunk: Uint8Array): void {
    if (this.#over) return;
    this.#progressAt = this.#context.clock.monotonic();
    if (this.#mode === 'words') return this.#keepWords(chunk);
    this.#context.counter.bytes(chunk.length);
    this.#guarded(() => {
      const next = this.#taker.data(chunk);
      if (next === 'stop') this.#finish('stopped');
      else if (next === 'hold' && !this.#paused) this.#hold();
    });
  }

  room(): Uint8Array | undefined {
    return this.#over || this.#mode === 'words' ? undefined : this.#taker.room?.();
  }

  end(): void {
    this.#finish('ended');
  }

  failed(error: Error): void {
    this.#fail(failureOfTransport(this.#options.errand, error));
  }

  readonly #onAbort = (): void => {
    this.#fail(this.#options.signal?.reason);
  };

  #keepWords(chunk: Uint8Array): void {
    this.#words.push(Buffer.from(chunk.subarray(0, MAX_WORDS_BYTES - this.#wordsLength)));
    this.#wordsLength += this.#words.at(-1)!.length;
    if (this.#wordsLength >= MAX_WORDS_BYTES) this.#finish('stopped');
  }

  #hold(): void {
    this.#read?.pause();
    this.#paused = true;
    this.#taker.drained().then(
      () => {
        this.#paused = false;
        this.#progressAt = this.#context.clock.monotonic();
        if (!this.#over) this.#read?.resume();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #guarded(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Looks again when the time could be up: a timer for each chunk would cost more than the chunk. */
  #watch(afterMs: number): void {
    const { clock, limits } = this.#context;
    this.#stopWatch = clock.after(afterMs, () => {
      const limit = this.#head ? limits.stallMs : limits.headersMs;
      const idle = this.#paused ? 0 : clock.monotonic() - this.#progressAt;
      if (idle < limit) return this.#watch(limit - idle);
      const { errand } = this.#options;
      const failure = (seen: string) => ({ ...errand, seen: `${seen} for ${Math.round(limit / 1000)} s` });
      this.#fail(
        this.#head ? new OriginStalled(failure('not a byte came')) : new OriginTimeout(failure('there was no answer')),
      );
    });
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    if (!this.#head) this.#context.counter.request('GET', 'error');
    this.#end();
    this.#read?.abort();
    this.#reject(error);
  }

  /** `stopped`: no more of the body is wanted, which ends the connection under it. */
  #finish(how: 'ended' | 'stopped'): void {
    if (this.#over) return;
    this.#end();
    if (how === 'stopped') this.#read?.abort();
    const head = this.#head!;
    const secrets = head.status < 400 ? [] : secretsIn(this.#options);
    this.#resolve({ ...head, words: Buffer.concat(this.#words), secrets });
  }

  #end(): void {
    this.#over = true;
    this.#stopWatch();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#context.counter.flush();
  }
}
