import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import type { Logger } from '../base/log.ts';
import type { Reading } from '../p2p/peer/readings.ts';
import type { Vouchers } from '../p2p/peer/vouchers.ts';
import type { Link } from '../store/refs.ts';
import { repoKey, type Scope } from './namespace.ts';

/** For all that is asked about one digest, in milliseconds. */
const HEAR_MS = 5000;
/** How long a peer's word is remembered, in milliseconds. */
const REMEMBERED_MS = 5 * 60_000;
const MAX_REMEMBERED = 10_000;

/**
 * What other proxies have read from an origin that cannot be asked. It is no word of the origin: it is kept in memory only,
 * links nothing, is passed on to nobody, keeps the age of that reading, and counts for nothing beside what the origin itself
 * said here since.
 */
export class Hearsay {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #staleMs: number;
  readonly #heard = new LRUCache<string, { readonly link: Link; readonly until: number }>({ max: MAX_REMEMBERED });
  /** When the origin last said no, about a repository or one digest of it; in milliseconds since 1970. */
  readonly #denials = new LRUCache<string, number>({ max: MAX_REMEMBERED });

  constructor({ clock, log, staleMs }: { clock: Clock; log: Logger; staleMs: number }) {
    this.#clock = clock;
    this.#log = log;
    this.#staleMs = staleMs;
  }

  /** What was heard of it a moment ago, as far as it still counts. */
  of(scope: Scope, digest: Digest): Link | undefined {
    const heard = this.#heard.get(keyOf(scope, digest));
    const counts = heard && heard.until > this.#clock.monotonic() && this.#counts(scope, digest, heard.link.at);
    return counts ? heard.link : undefined;
  }

  /** Asks the others; undefined: nobody vouches for it. Never rejects. */
  async hear(scope: Scope, digest: Digest, others: Vouchers, thorough: boolean): Promise<Link | undefined> {
    const late = new AbortController();
    const cancel = this.#clock.after(HEAR_MS, () => late.abort());
    const atOf = ({ ageMs }: Reading) => this.#clock.now() - ageMs;
    const accepts = (reading: Reading) => this.#counts(scope, digest, atOf(reading));
    const heard = await others.ask({ ...repoKey(scope), digest }, accepts, thorough, late.signal);
    cancel();
    if (!heard) return undefined;
    const { peer, ageMs: _, ...seen } = heard;
    const link = { digest, ...seen, at: atOf(heard), anonymous: true, confirmed: false };
    this.#heard.set(keyOf(scope, digest), { link, until: this.#clock.monotonic() + REMEMBERED_MS });
    this.#log.debug(
      { upstream: scope.upstream.key, digest, peer },
      'the origin cannot be asked, a peer vouches for it',
    );
    return link;
  }

  /** The origin has said that it is there. */
  forget(scope: Scope, digest: Digest): void {
    this.#heard.delete(keyOf(scope, digest));
  }

  /** The origin has said no: to that digest, or (undefined) to all of the repository. */
  denied(scope: Scope, digest: Digest | undefined): void {
    this.#denials.set(keyOf(scope, digest), this.#clock.now());
  }

  /** A reading counts for so long, and where the origin has not said no since. */
  #counts(scope: Scope, digest: Digest, at: number): boolean {
    if (this.#clock.now() - at > this.#staleMs) return false;
    return [digest, undefined].every((what) => (this.#denials.get(keyOf(scope, what)) ?? -Infinity) < at);
  }
}

function keyOf(scope: Scope, digest: Digest | undefined): string {
  return `${scope.upstream.host}/${scope.repository} ${digest ?? ''}`;
}
