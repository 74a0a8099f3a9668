import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 50;

/** Waits until `condition` gives a value (not undefined, not false); fails after `boundMs`, naming what was waited for. */
export async function until<T>(
  what: string,
  boundMs: number,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const end = performance.now() + boundMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) throw new Error(`waited ${boundMs} ms in vain: ${what}`);
    await sleep(POLL_MS);
  }
}

/** `work`, or a failure that names it after `boundMs`. */
export async function within<T>(what: string, boundMs: number, work: Promise<T>): Promise<T> {
  const bound = new AbortController();
  const late = sleep(boundMs, undefined, { signal: bound.signal }).then(
    () => Promise.reject(new Error(`waited ${boundMs} ms in vain: ${what}`)),
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    bound.abort();
  }
}
