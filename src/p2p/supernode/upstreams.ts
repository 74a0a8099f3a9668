import { MAX_LEASES_PER_PROXY, MAX_UPSTREAMS } from './limits.ts';

/** How long what was found out about an upstream's connections stands. */
const TRUSTED_MS = 600_000;
/** One connection more has to bring this part of what one brings. */
const WORTH = 0.6;

/** What was learnt about one origin, over all blobs. */
export class Upstream {
  /** A correct 206 was seen. */
  hasRanges = false;
  /** Reads of one blob by one proxy that are worth while: more than 1 where the origin caps each connection. */
  connections = 1;
  #knownUntil = 0;
  #probing = false;

  /** Whether it is worth finding out if one more connection brings more. */
  mayProbe(now: number): boolean {
    return !this.#probing && this.connections < MAX_LEASES_PER_PROXY && now >= this.#knownUntil;
  }

  probe(): void {
    this.#probing = true;
  }

  /** What the blob's reads brought together before and with one connection more (bytes a millisecond), and what one brings. */
  probed(before: number, after: number, one: number, now: number): void {
    this.#probing = false;
    if (after - before >= WORTH * one) this.connections = Math.min(MAX_LEASES_PER_PROXY, this.connections * 2);
    else this.#knownUntil = now + TRUSTED_MS;
  }
}

/** The upstreams that peers have named; the one that was named first is forgotten first. */
export class Upstreams {
  readonly #byHost = new Map<string, Upstream>();

  of(host: string): Upstream {
    let upstream = this.#byHost.get(host);
    if (upstream) return upstream;
    upstream = new Upstream();
    this.#byHost.set(host, upstream);
    if (this.#byHost.size > MAX_UPSTREAMS) this.#byHost.delete(this.#byHost.keys().next().value!);
    return upstream;
  }
}
