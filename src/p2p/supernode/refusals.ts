import type { Refused } from './roster-events.ts';

/** Kinds of refused registrations that are remembered: of all, and of one address, under whatever names. */
export const MAX_REFUSED = 256;
export const MAX_HOSTS_PER_ADDRESS = 32;
const MAX_MESSAGE_CHARACTERS = 300;
const MAX_NAME_CHARACTERS = 64;

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

  add(what: Omit<Refused, 'count'>): Refused {
    const named = { ...what, host: clean(what.host, MAX_NAME_CHARACTERS) };
    const key = this.#keyOf(named);
    const refused = {
      ...named,
      peer: clean(what.peer, MAX_NAME_CHARACTERS),
      message: clean(what.message, MAX_MESSAGE_CHARACTERS),
      count: (this.#kinds.get(key)?.count ?? 0) + 1,
    };
    // The first is the one to forget.
    this.#kinds.delete(key);
    this.#kinds.set(key, refused);
    if (this.#kinds.size > MAX_REFUSED) this.#kinds.delete(this.#kinds.keys().next().value!);
    return refused;
  }

  /** Several hosts may come from one address. Somebody who makes up names there does not push all others out. */
  #keyOf({ code, address, host }: Omit<Refused, 'count'>): string {
    const key = JSON.stringify([code, address, host]);
    if (this.#kinds.has(key)) return key;
    let hosts = 0;
    for (const kind of this.#kinds.values()) if (kind.address === address) hosts += 1;
    return hosts < MAX_HOSTS_PER_ADDRESS ? key : JSON.stringify([code, address]);
  }
}

/** Some of it may be the other side's own words, which no terminal is to obey. */
function clean(text: string, most: number): string {
  return text.slice(0, most).replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
