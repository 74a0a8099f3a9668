import { readFileSync } from 'node:fs';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import { AddressGate } from '../http/address-gate.ts';
import { gatedTransport, type GatedTransport } from '../http/gated-transport.ts';
import { ORIGIN_LIMITS, type OriginLimits } from './limits.ts';
import { canonicalHost, defaultUrl, isHostLike } from './reference.ts';
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
  readonly settings: UpstreamSettings;
  readonly matches: (host: string) => boolean;
  readonly gate: AddressGate;
  readonly transport: GatedTransport;
}

/** Hosts behind patterns, whose state (tokens, challenges) is kept; a client can name as many as it likes. */
const MAX_PATTERN_HOSTS = 500;

/** The registries that may be asked: an allow-list of hosts and patterns. */
export class Upstreams {
  readonly #exact = new Map<string, Upstream>();
  readonly #patterns: Entry[] = [];
  readonly #found = new LRUCache<string, Upstream>({ max: MAX_PATTERN_HOSTS });
  readonly #transports: GatedTransport[] = [];
  readonly #deps: { readonly metrics: Metrics; readonly clock: Clock; readonly limits: OriginLimits };

  /** Reads the `ca` files; throws their errors, and a RangeError for what is no CIDR in `allow`. `limits`: for tests. */
  constructor(
    settings: Readonly<Record<string, UpstreamSettings>>,
    deps: { log: Logger; metrics: Metrics; clock: Clock; limits?: Partial<OriginLimits> },
  ) {
    this.#deps = { ...deps, limits: { ...ORIGIN_LIMITS, ...deps.limits } };
    for (const [key, one] of Object.entries(settings)) {
      if (key.includes('*')) this.#patterns.push(this.#entry(key, one, undefined));
      else {
        const host = canonicalHost(key);
        const baseUrl = new URL(one.url ?? defaultUrl(host));
        this.#exact.set(host, this.#upstream(host, this.#entry(key, one, baseUrl.hostname), baseUrl));
      }
      if (one.insecure) {
        deps.log.warn(
          { code: 'UPSTREAM_INSECURE', upstream: key, todo: `set upstreams."${key}".ca instead of insecure` },
          `any certificate will do for ${key}`,
        );
      }
    }
    // The more a pattern says, the sooner it counts.
    this.#patterns.sort((a, b) => b.key.replaceAll('*', '').length - a.key.replaceAll('*', '').length);
  }

  /** The upstream for a registry host as a client spells it; undefined: not allowed, or no host. An exact key wins. */
  find(host: string): Upstream | undefined {
    if (!isHostLike(host)) return undefined;
    const canonical = canonicalHost(host);
    const known = this.#exact.get(canonical) ?? this.#found.get(canonical);
    if (known) return known;
    const entry = this.#patterns.find(({ matches }) => matches(canonical));
    if (!entry) return undefined;
    const upstream = this.#upstream(canonical, entry, new URL(defaultUrl(canonical)));
    this.#found.set(canonical, upstream);
    return upstream;
  }

  /** Ends the connections that nobody uses just now. */
  closeIdle(): void {
    for (const transport of this.#transports) transport.closeIdle();
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close()));
  }

  /** Hosts behind one pattern share its connections, for they share its gate. */
  #entry(key: string, settings: UpstreamSettings, open: string | undefined): Entry {
    const gate = new AddressGate({ open, allow: settings.allow });
    const transport = gatedTransport({
      gate,
      connectTimeoutMs: this.#deps.limits.connectMs,
      ca: settings.ca === undefined ? undefined : readFileSync(settings.ca, 'utf8'),
      insecure: settings.insecure,
      egressProxy: settings.egressProxy,
    });
    this.#transports.push(transport);
    return { key, settings, matches: matcher(key), gate, transport };
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
