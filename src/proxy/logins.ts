import { createHmac, randomBytes } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import { isPasswordOf, MAX_PASSWORD_BYTES, type PasswordHash } from '../base/password-hash.ts';
import { LoginRefused, LoginsBusy } from './errors.ts';
import type { Users } from './users.ts';

/** A pull asks hundreds of times, and each hash takes a core for a fifth of a second. In milliseconds. */
const PASSED_MS = 5 * 60_000;
/** A node with an old password goes on asking with it. In milliseconds. */
const FAILED_MS = 30_000;
const MAX_KEPT = 2000;
/** Hashes at the same time: they take threads that also read files, and 32 MiB each. */
const MAX_RUNNING = 2;
/** About six seconds of hashing. */
const MAX_WAITING = 64;
/** Wrong passwords of one address within a window; then none of its passwords is looked at until the window ends. */
export const MAX_FAILURES = 10;
const WINDOW_MS = 60_000;
const MAX_ADDRESSES = 10_000;

/** Of this process alone, so that what is kept tells nothing of a password. */
const KEY = randomBytes(32);

/**
 * Checks names and passwords. A name that is not there costs as much as one that is; a right password is remembered for minutes, a
 * wrong one for less; hashes at the same time, and wrong passwords of an address, are bounded.
 */
export class Logins {
  readonly #clock: Clock;
  readonly #kept = new LRUCache<string, { readonly passed: boolean; readonly until: number }>({ max: MAX_KEPT });
  readonly #failures = new LRUCache<string, { count: number; readonly until: number }>({ max: MAX_ADDRESSES });
  #flights = new Map<string, Promise<boolean>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #users: Users;
  readonly #isPasswordOf: typeof isPasswordOf;

  constructor({ clock, users, hash = isPasswordOf }: { clock: Clock; users: Users; hash?: typeof isPasswordOf }) {
    this.#clock = clock;
    this.#users = users;
    this.#isPasswordOf = hash;
  }

  /** From here on these count, and nothing that was found out before. */
  replace(users: Users): void {
    this.#users = users;
    this.#kept.clear();
    this.#flights = new Map();
  }

  /** Resolves where it is the password of that user. Throws LOGIN_REFUSED, LOGINS_BUSY. */
  async check(name: string, password: string, address: string): Promise<void> {
    const key = createHmac('sha256', KEY).update(`${name}:${password}`).digest('base64url');
    const now = this.#clock.monotonic();
    const kept = this.#kept.get(key);
    if (kept && kept.until > now) {
      if (kept.passed) return;
      throw new LoginRefused({ tooMany: false });
    }
    // Of many requests with the same login at once, one counts, and costs a hash.
    const passed = await (this.#flights.get(key) ?? this.#begin(key, name, password, address));
    if (!passed) throw new LoginRefused({ tooMany: false });
  }

  #begin(key: string, name: string, password: string, address: string): Promise<boolean> {
    const failures = this.#failuresOf(address, this.#clock.monotonic());
    if (failures.count >= MAX_FAILURES) throw new LoginRefused({ tooMany: true });
    // Beforehand, or many different ones at once would all be let in.
    failures.count += 1;
    const users = this.#users;
    const flight = this.#hash(users, name, password).then(
      (passed) => {
        if (passed) failures.count -= 1;
        // The file may have been replaced meanwhile.
        if (users !== this.#users) return passed;
        this.#flights.delete(key);
        this.#kept.set(key, { passed, until: this.#clock.monotonic() + (passed ? PASSED_MS : FAILED_MS) });
        return passed;
      },
      (error: unknown) => {
        failures.count -= 1;
        if (users === this.#users) this.#flights.delete(key);
        throw error;
      },
    );
    this.#flights.set(key, flight);
    return flight;
  }

  #failuresOf(address: string, now: number): { count: number } {
    const key = networkOf(address);
    const known = this.#failures.get(key);
    if (known && known.until > now) return known;
    const failures = { count: 0, until: now + WINDOW_MS };
    this.#failures.set(key, failures);
    return failures;
  }

  async #hash(users: Users, name: string, password: string): Promise<boolean> {
    if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) return false;
    const known = users.get(name);
    const hash = known ?? standIn(users, name);
    if (!hash) return false;
    await this.#turn();
    try {
      const same = await this.#isPasswordOf(hash, password);
      return same && known !== undefined;
    } finally {
      // The turn goes on to the next.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }

  async #turn(): Promise<void> {
    if (this.#running < MAX_RUNNING) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.length >= MAX_WAITING) throw new LoginsBusy({});
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/** For a name that nobody has, somebody's hash, always the same one: kinds and costs differ, and the time must not tell. */
function standIn(users: Users, name: string): PasswordHash | undefined {
  const hashes = [...users.values()];
  const index = createHmac('sha256', KEY).update(name).digest().readUInt32BE(0) % Math.max(1, hashes.length);
  return hashes[index];
}

/** An IPv6 client has a /64 to itself. */
function networkOf(address: string): string {
  if (!isIPv6(address) || address.includes('.')) return address;
  const [head = ''] = address.split('::');
  const groups = address.includes('::') ? head.split(':') : address.split(':');
  return groups.slice(0, 4).join(':');
}
