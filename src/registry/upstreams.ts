import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import { AddressGate } from '../http/address-gate.ts';
import { gatedTransport, type GatedTransport } from '../http/gated-transport.ts';
import { RetiredTransports } from '../http/retired-transports.ts';
import { ORIGIN_LIMITS, type OriginLimits } from './limits.ts';
import { canonicalHost, defaultUrl, isHostLike } from './reference.ts';
import { RateLimits } from './rate-limits.ts';
import { RequestCounter } from './request-counter.ts';
import { Upstream } from './upstream.ts';

/** One entry of the configuration's `upstreams`. */
export interface UpstreamSettings {
  /** Default: `https://<host>`. Not for a pattern. */
  readonly url?: string | undefined;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly dockerConfig?: string | undefined;
  readonly credentialHelper?: string | undefined;
  /** File of certificates to trust besides the public authorities. */
  readonly ca?: string | undefined;
  /** Takes any certificate. */
  readonly insecure: boolean;
  /** Hosts, addresses and CIDRs that its redirects and token service may be at, although private or of another domain. */
  readonly allow: readonly string[];
  readonly egressProxy?: string | undefined;
}

interface Entry {
  readonly key: string;
  /** What its `ca` file held. */
  readonly ca: string | undefined;
  readonly settings: UpstreamSettings;
  readonly matches: (host: string) => boolean;
  readonly gate: AddressGate;
  readonly transport: GatedTransport;
}

/** Hosts behind patterns, whose state (tokens, challenges) is kept; a client can name as many as it likes. */
const MAX_PATTERN_HOSTS = 500;

/** The registries that may be asked: an allow-list of hosts and patterns. */
export class Upstreams {
  #entries: ReadonlyMap<string, Entry> = new Map();
  #exact: ReadonlyMap<string, Upstream> = new Map();
  #patterns: readonly Entry[] = [];
  readonly #found = new LRUCache<string, { readonly upstream: Upstream; readonly entry: Entry }>({
    max: MAX_PATTERN_HOSTS,
  });
  readonly #rateLimits: RateLimits;
  readonly #retired: RetiredTransports;
  readonly #deps: {
    readonly log: Logger;
    readonly metrics: Metrics;
    readonly clock: Clock;
    readonly limits: OriginLimits;
  };

  /** Reads the `ca` files; throws their errors, and a RangeError for what is no CIDR in `allow`. `limits`: for tests. */
  constructor(
    settings: Readonly<Record<string, UpstreamSettings>>,
    deps: { log: Logger; metrics: Metrics; clock: Clock; limits?: Partial<OriginLimits> },
  ) {
    this.#deps = { ...deps, limits: { ...ORIGIN_LIMITS, ...deps.limits } };
    this.#retired = new RetiredTransports(deps.clock);
    this.#rateLimits = new RateLimits(deps.clock);
    deps.metrics.showRateLimits(() => this.#rateLimits.left());
    this.change(settings);
  }

  /**
   * From now on these may be asked, so. Those whose settings are as before keep their connections and tokens, but not what a credential
   * helper gave; what is being read goes on. Throws as the constructor, having changed nothing.
   */
  change(settings: Readonly<Record<string, UpstreamSettings>>): void {
    const { log } = this.#deps;
    const entries = new Map<string, Entry>();
    const exact = new Map<string, Upstream>();
    for (const [key, one] of Object.entries(settings)) {
      const isPattern = key.includes('*');
      const host = canonicalHost(key);
      const baseUrl = isPattern ? undefined : new URL(one.url ?? defaultUrl(host));
      const ca = one.ca === undefined ? undefined : readFileSync(one.ca, 'utf8');
      const before = this.#entries.get(key);
      const isSame = before !== undefined && before.ca === ca && isDeepStrictEqual(before.settings, one);
      const entry = isSame ? before : this.#entry(key, one, ca, baseUrl?.hostname);
      entries.set(key, entry);
      const known = this.#exact.get(host);
      if (baseUrl) exact.set(host, isSame && known?.key === key ? known : this.#upstream(host, entry, baseUrl));
      if (one.insecure && !isSame) {
        log.warn(
          { code: 'UPSTREAM_INSECURE', upstream: key, todo: `set upstreams."${key}".ca instead of insecure` },
          `any certificate will do for ${key}`,
        );
      }
    }
    const kept = new Set(entries.values());
    for (const entry of this.#entries.values()) if (!kept.has(entry)) this.#retired.add(entry.transport);
    this.#entries = entries;
    this.#exact = exact;
    // The more a pattern says, the sooner it counts.
    this.#patterns = [...entries.values()]
      .filter(({ key }) => key.includes('*'))
      .sort((a, b) => b.key.replaceAll('*', '').length - a.key.replaceAll('*', '').length);
    const others = [...this.#found.entries()].filter(([host, { entry }]) => entry !== this.#patternFor(host));
    for (const [host] of others) this.#found.delete(host);
    for (const upstream of exact.values()) upstream.forgetCredential();
    for (const { upstream } of this.#found.values()) upstream.forgetCredential();
  }

  /** The upstream for a registry host as a client spells it; undefined: not allowed, or no host. An exact key wins. */
  find(host: string): Upstream | undefined {
    if (!isHostLike(host)) return undefined;
    const canonical = canonicalHost(host);
    const known = this.#exact.get(canonical) ?? this.#found.get(canonical)?.upstream;
    if (known) return known;
    const entry = this.#patternFor(canonical);
    if (!entry) return undefined;
    const upstream = this.#upstream(canonical, entry, new URL(defaultUrl(canonical)));
    this.#found.set(canonical, { upstream, entry });
    return upstream;
  }

  /** Ends the connections that nobody uses just now. */
  closeIdle(): void {
    for (const transport of this.#transports()) transport.closeIdle();
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    await Promise.all(Array.from(this.#transports(), (transport) => transport.close()));
  }

  *#transports(): Generator<GatedTransport> {
    for (const { transport } of this.#entries.values()) yield transport;
    yield* this.#retired;
  }

  #patternFor(host: string): Entry | undefined {
    return this.#patterns.find(({ matches }) => matches(host));
  }

  /** Hosts behind one pattern share its connections, for they share its gate. */
  #entry(key: string, settings: UpstreamSettings, ca: string | undefined, open: string | undefined): Entry {
    const gate = new AddressGate({ open, allow: settings.allow });
    const transport = gatedTransport({
      gate,
      connectTimeoutMs: this.#deps.limits.connectMs,
      ca,
      insecure: settings.insecure,
      egressProxy: settings.egressProxy,
    });
    return { key, ca, settings, matches: matcher(key), gate, transport };
  }

  #upstream(host: string, { key, settings, gate, transport }: Entry, baseUrl: URL): Upstream {
    const { metrics, clock, limits } = this.#deps;
    return new Upstream({
      host,
      key,
      baseUrl,
      credentials: settings,
      opensHost: (name) => gate.opensHost(name),
      transport,
      limits,
      clock,
      counter: new RequestCounter(metrics, key),
      rateLimits: this.#rateLimits,
    });
  }
}

/** `*` alone is every host; within a name each `*` stands for one label or a part of it, so that it spans no dot. */
function matcher(key: string): (host: string) => boolean {
  if (key === '*') return () => true;
  const pattern = key
    .toLowerCase()
    .split('*')
    .map((part) => part.replaceAll(/[.[\]]/g, String.raw`\$&`))
    .join('[a-z0-9_-]+');
  const regex = new RegExp(`^${pattern}$`);
  return (host) => regex.test(host);
}
