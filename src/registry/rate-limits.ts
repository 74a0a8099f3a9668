import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../base/clock.ts';
import type { RateLimitLeft } from '../base/metrics.ts';
import { parseRateLimit, type RateLimit } from './probe.ts';

/** Docker Hub's window, for answers that name none, in seconds. */
const USUAL_WINDOW_S = 6 * 3600;

/** What registries have said of the pulls that they still allow this node. */
export class RateLimits {
  readonly #clock: Clock;
  /** By the upstream's key in the configuration. */
  readonly #told = new Map<string, RateLimit & { readonly until: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes in the headers of an answer for a manifest; most say nothing of it. */
  answered(upstream: string, headers: IncomingHttpHeaders): void {
    const told = parseRateLimit(headers);
    if (!told) return;
    const windowMs = (told.windowS ?? USUAL_WINDOW_S) * 1000;
    this.#told.set(upstream, { ...told, until: this.#clock.monotonic() + windowMs });
  }

  /** What still holds: after a window without a word the registry may have given all back. */
  left(): RateLimitLeft[] {
    const now = this.#clock.monotonic();
    for (const [upstream, { until }] of this.#told) if (until <= now) this.#told.delete(upstream);
    return Array.from(this.#told, ([upstream, { remaining, limit }]) => ({ upstream, remaining, limit }));
  }
}
