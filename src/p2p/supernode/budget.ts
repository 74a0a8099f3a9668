import type { FromProxy } from '../protocol/messages.ts';

/**
 * What one session may say: a proxy at 10 Gbit/s reports 1,200 pieces a second, and tells an inventory of some megabytes when
 * it registers. One unit is one thing that is said, or so many bytes of it.
 */
const UNITS_PER_SECOND = 20_000;
const MAX_UNITS = 300_000;
const BYTES_PER_UNIT = 256;

/** A bucket of units that fills up at a steady rate. */
export class Budget {
  #units = MAX_UNITS;
  #at: number;

  constructor(now: number) {
    this.#at = now;
  }

  /** False: it is used up. `now` in milliseconds. */
  take(units: number, now: number): boolean {
    this.#units = Math.min(MAX_UNITS, this.#units + ((now - this.#at) / 1000) * UNITS_PER_SECOND) - units;
    this.#at = now;
    return this.#units >= 0;
  }
}

/** Units of a message. */
export function costOf(message: FromProxy, text: string): number {
  const said = 1 + Math.floor(text.length / BYTES_PER_UNIT);
  if (message.t !== 'r') return said;
  let entries = 0;
  for (const list of Object.values(message)) if (Array.isArray(list)) entries += list.length;
  return said + entries;
}
