/** Leases a millisecond that a supernode can give, on average, before its numbers run ahead of the clock. */
const PER_MS = 256;
/** Milliseconds since 1970 until the year 2248: numbers stay below 2^51, far from those that proxies give (OWN_LEASES). */
const WRAP_MS = 2 ** 43;

/**
 * The number of the first lease of a supernode that starts at `now` (milliseconds since 1970): larger than those of its lives
 * before, of which some may still be read.
 */
export function firstLeaseAt(now: number): number {
  return (Math.max(0, Math.trunc(now)) % WRAP_MS) * PER_MS + 1;
}
