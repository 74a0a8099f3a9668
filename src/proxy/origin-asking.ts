import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import { isOriginError, type OriginError } from '../registry/errors.ts';
import type { Upstream } from '../registry/upstream.ts';
import { OriginSlow } from './errors.ts';

/** How long the origin may take to confirm something, in milliseconds, when something that may be served stale is at hand. */
const ASK_WITH_FALLBACK_MS = 5000;
/** The same without that, try by try: one question that is lost on its way is not to cost a pull. */
const ASK_MS = [5000, 10_000];
/** For so long after a failure an origin is not asked again for what may be served stale, in milliseconds. */
const FAILED_MS = 10_000;
/** The longest that an origin's own `Retry-After` is heeded, in milliseconds. */
const MAX_RETRY_AFTER_MS = 60_000;
const MAX_REMEMBERED = 1000;

/**
 * Asks origins small questions within a bound, and remembers which of them could not answer just now: with an origin down
 * each question would otherwise cost its whole time-out, many of which make up one pull.
 */
export class OriginAsking {
  readonly #clock: Clock;
  readonly #failed = new LRUCache<string, { readonly error: unknown; readonly until: number }>({ max: MAX_REMEMBERED });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What `question` gives. With `fallback` it fails sooner: at once, if the origin has failed just now. */
  async ask<T>(upstream: Upstream, fallback: boolean, question: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const failed = this.#failed.get(upstream.host);
    if (fallback && failed && failed.until > this.#clock.monotonic()) throw failed.error;
    try {
      const answer = await this.#askWithin(upstream, fallback ? [ASK_WITH_FALLBACK_MS] : ASK_MS, question);
      this.#failed.delete(upstream.host);
      return answer;
    } catch (error) {
      if (isUnanswered(error)) this.#remember(upstream, error);
      throw error;
    }
  }

  async #askWithin<T>(
    upstream: Upstream,
    [waitMs = 0, ...later]: readonly number[],
    question: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const controller = new AbortController();
    const cancel = this.#clock.after(waitMs, () =>
      controller.abort(new OriginSlow({ host: upstream.host, waitedMs: waitMs })),
    );
    try {
      return await question(controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) throw error;
      if (later.length === 0) throw controller.signal.reason;
    } finally {
      cancel();
    }
    return this.#askWithin(upstream, later, question);
  }

  /** Whether it has failed a moment ago, so that a question with a fallback is not even asked. */
  hasJustFailed({ host }: Upstream): boolean {
    return (this.#failed.get(host)?.until ?? Number.NEGATIVE_INFINITY) > this.#clock.monotonic();
  }

  #remember(upstream: Upstream, error: unknown): void {
    const retryAfterMs = (isOriginError(error) ? error.retryAfterMs : undefined) ?? FAILED_MS;
    const until = this.#clock.monotonic() + Math.min(retryAfterMs, MAX_RETRY_AFTER_MS);
    this.#failed.set(upstream.host, { error, until });
  }
}

/** What an origin has to do with an error: the error itself, or the cause behind it. */
export function originErrorIn(error: unknown): OriginError | undefined {
  for (let e = error, depth = 0; e instanceof Error && depth < 5; e = e.cause, depth += 1) {
    if (isOriginError(e)) return e;
  }
  return undefined;
}

/** The origin's own "no" (401, 403, 404) within an error: an answer, not a failure. */
export function denialIn(error: unknown): OriginError | undefined {
  const found = originErrorIn(error);
  return found?.answer === 401 || found?.answer === 403 || found?.answer === 404 ? found : undefined;
}

/** Whether the origin could not be asked, or would not say (unreachable, 5xx, 429, late). */
export function isUnanswered(error: unknown): boolean {
  return (isOriginError(error) && !denialIn(error)) || error instanceof OriginSlow;
}
