import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { asError } from '../base/errors.ts';
import type { Clock } from '../base/clock.ts';
import { OriginStalled, OriginTimeout } from './errors.ts';
import { failureOfTransport, type Errand } from './failures.ts';
import { USER_AGENT, type OriginLimits } from './limits.ts';
import type { RequestCounter } from './request-counter.ts';

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
  drained(): Promise<void>;
}

export interface ReadOutcome extends ResponseHead {
  /** What was kept as words. */
  readonly words: Buffer;
}

export interface ReadOptions {
  readonly url: URL;
  readonly headers: Record<string, string>;
  readonly errand: Errand;
  readonly signal: AbortSignal | undefined;
}

export interface ReadContext {
  readonly dispatcher: Dispatcher;
  readonly limits: OriginLimits;
  readonly clock: Clock;
  readonly counter: RequestCounter;
}

/**
 * One GET whose body goes to `taker` as it comes, with the pressure back: by undici's dispatch, which takes half the CPU
 * time of node's own client. Resolves when the body has ended or the taker stopped it. Throws OriginErrors, what the taker
 * throws, and the signal's reason.
 */
export function httpRead(context: ReadContext, options: ReadOptions, taker: BodyTaker): Promise<ReadOutcome> {
  return new Promise((resolve, reject) => {
    new Exchange(context, options, taker, resolve, reject).start();
  });
}

/** Ends the connection under a response of which no more is wanted. */
class NoMoreWanted extends Error {}

class Exchange implements Dispatcher.DispatchHandler {
  readonly #context: ReadContext;
  readonly #options: ReadOptions;
  readonly #taker: BodyTaker;
  readonly #resolve: (outcome: ReadOutcome) => void;
  readonly #reject: (error: unknown) => void;
  readonly #words: Buffer[] = [];
  #wordsLength = 0;
  #controller: Dispatcher.DispatchController | undefined;
  #head: ResponseHead | undefined;
  #mode: 'take' | 'words' = 'words';
  #paused = false;
  #over: Error | undefined;
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
      this.#context.dispatcher.dispatch(
        {
          origin: url.origin,
          path: `${url.pathname}${url.search}`,
          method: 'GET',
          headers: { 'user-agent': USER_AGENT, 'accept-encoding': 'identity', ...headers },
        },
        this,
      );
    } catch (error) {
      this.#transportFailed(error);
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) controller.abort(this.#over);
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200 || this.#over) return;
    this.#progressAt = this.#context.clock.monotonic();
    this.#head = { status, headers };
    this.#context.counter.request('GET', status);
    this.#stopWatch();
    this.#watch(this.#context.limits.stallMs);
    this.#guarded(() => {
      const mode = this.#taker.head(this.#head!);
      if (mode === 'stop') this.#finish(new NoMoreWanted());
      else this.#mode = mode;
    });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    this.#progressAt = this.#context.clock.monotonic();
    if (this.#mode === 'words') return this.#keepWords(chunk);
    this.#context.counter.bytes(chunk.length);
    this.#guarded(() => {
      const next = this.#taker.data(chunk);
      if (next === 'stop') this.#finish(new NoMoreWanted());
      else if (next === 'hold') this.#hold(controller);
    });
  }

  onResponseEnd(): void {
    this.#finish();
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#transportFailed(error);
  }

  readonly #onAbort = (): void => {
    this.#fail(this.#options.signal?.reason);
  };

  #keepWords(chunk: Buffer): void {
    this.#words.push(chunk.subarray(0, MAX_WORDS_BYTES - this.#wordsLength));
    this.#wordsLength += this.#words.at(-1)!.length;
    if (this.#wordsLength >= MAX_WORDS_BYTES) this.#finish(new NoMoreWanted());
  }

  #hold(controller: Dispatcher.DispatchController): void {
    controller.pause();
    this.#paused = true;
    this.#taker.drained().then(
      () => {
        this.#paused = false;
        this.#progressAt = this.#context.clock.monotonic();
        if (!this.#over) controller.resume();
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

  #transportFailed(error: unknown): void {
    this.#fail(failureOfTransport(this.#options.errand, error));
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    if (!this.#head) this.#context.counter.request('GET', 'error');
    this.#end(asError(error));
    this.#reject(error);
  }

  #finish(stop?: NoMoreWanted): void {
    if (this.#over) return;
    this.#end(stop ?? new NoMoreWanted(), stop !== undefined);
    this.#resolve({ ...this.#head!, words: Buffer.concat(this.#words) });
  }

  #end(reason: Error, abort = true): void {
    this.#over = reason;
    this.#stopWatch();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#context.counter.flush();
    if (abort) this.#controller?.abort(reason);
  }
}
