import type { RefusalCode } from '../protocol/errors.ts';
import type { Refused } from './roster-events.ts';

/** Kinds of refused registrations that are remembered. */
export const MAX_REFUSED = 256;
const MAX_MESSAGE_CHARACTERS = 300;

/** Registrations and sessions that were refused, so that a peer count of zero comes with its causes. */
export class Refusals {
  readonly #kinds = new Map<string, Refused>();

  get size(): number {
    return this.#kinds.size;
  }

  /** The latest comes last. */
  values(): IterableIterator<Refused> {
    return this.#kinds.values();
  }

  add(address: string, code: RefusalCode, message: string, now: number): Refused {
    const key = `${code} ${address}`;
    const refused = {
      address,
      code,
      // Some of it may be the other side's own words, which no terminal is to obey.
      message: message.slice(0, MAX_MESSAGE_CHARACTERS).replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '?'),
      at: now,
      count: (this.#kinds.get(key)?.count ?? 0) + 1,
    };
    // The first is the one to forget.
    this.#kinds.delete(key);
    this.#kinds.set(key, refused);
    if (this.#kinds.size > MAX_REFUSED) this.#kinds.delete(this.#kinds.keys().next().value!);
    return refused;
  }
}
