import { setTimeout as sleep } from 'node:timers/promises';
import { ALLOWANCE } from '../../support/patience.ts';

const POLL_MS = 50;
/** A timer that is to take longer takes no time at all. */
const MOST_MS = 2 ** 31 - 1;

/** Without its handling a row of the catalogue of faults is to fail: there is no use in being patient. */
export const ALLOWED = process.env['HAWKER_CHAOS_WITHOUT'] === '1' ? 1 : ALLOWANCE;

/**
 * Waits until `condition` gives a value (not undefined, not false); fails after `boundMs`, naming what was waited for. `boundMs` is of a
 * machine of one's own.
 */
export async function until<T>(
  what: string,
  boundMs: number,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const end = performance.now() + boundMs * ALLOWED;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) throw new Error(`waited ${boundMs * ALLOWED} ms in vain: ${what}`);
    await sleep(POLL_MS);
  }
}

/** `work`, or a failure that names it after `boundMs`, which is of a machine of one's own. */
export async function within<T>(what: string, boundMs: number, work: Promise<T>): Promise<T> {
  const bound = new AbortController();
  const ms = Math.min(boundMs * ALLOWED, MOST_MS);
  const late = sleep(ms, undefined, { signal: bound.signal }).then(
    () => Promise.reject(new Error(`waited ${ms} ms in vain: ${what}`)),
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    bound.abort();
  }
}
