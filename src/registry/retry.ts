import { backoffMs, type Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { isOriginError, OriginCut, OriginTimeout, type OriginError } from './errors.ts';

/** Requests for one answer, the first included. */
const MAX_TRIES = 3;
const BACKOFF: Backoff = { firstMs: 250, capMs: 2000 };
/** A client is waiting: what asks for a longer wait fails now, and says so. In milliseconds. */
const RETRY_AFTER_CAP_MS = 5000;

/**
 * Runs `work` again while that is worth it: after 5xx and broken connections with a jittered backoff, or the wait that the
 * origin asks for if it is short; a connection that was closed before the answer at once, for it was an idle one most
 * likely; after 429 only when the origin names a short wait (Docker Hub's limits last hours). A timeout has used the client's
 * patience up already.
 */
export async function retrying<T>(work: () => Promise<T>, clock: Clock, signal?: AbortSignal): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      const waitMs = isOriginError(error) && tries < MAX_TRIES ? waitBeforeRetry(error, tries) : undefined;
      if (waitMs === undefined) throw error;
      if (waitMs > 0) await clock.sleep(waitMs, signal);
    }
  }
}

function waitBeforeRetry(error: OriginError, tries: number): number | undefined {
  if (error.final || error.code === OriginTimeout.code) return undefined;
  const asked = error.retryAfterMs;
  if (asked !== undefined) return asked <= RETRY_AFTER_CAP_MS ? asked : undefined;
  if (error.answer === 429) return undefined;
  if (error.code === OriginCut.code && tries === 1) return 0;
  return backoffMs(BACKOFF, tries - 1);
}
