import type { Got } from './client.ts';
import type { Cluster } from './cluster.ts';
import type { Origin } from './origin.ts';
import type { Service } from './service.ts';

/** After an outage proxies need so long until they ask the origin again (their backoff). */
const AFTER_OUTAGE_MS = 5000;
/** What the origin has lied about may come out wrong for so long: until all who read it so have noticed. */
const AFTER_LIE_MS = 120_000;

/** One request, for the report. */
export interface Request {
  readonly proxy: Service;
  readonly what: string;
  readonly repository: string;
  readonly digest: string;
  readonly isWhole: boolean;
  /** The client left by itself. */
  readonly hungUp: boolean;
  /** On `performance.now()`. */
  readonly beganAt: number;
}

export interface Tally {
  requests: number;
  bytes: number;
  hungUp: number;
  readonly sources: Map<string, number>;
  /** Requests that came to nothing and may: why, and how often. */
  readonly excused: Map<string, number>;
  readonly failures: string[];
  /** Milliseconds of requests that went well. */
  readonly times: number[];
}

/**
 * Judges each request. A failure is excused only where nobody could have given the bytes: the client's own proxy was ended
 * meanwhile; the origin was away and no other proxy had the blob; or the origin itself lied about it, which can be known only
 * when its bytes have gone out. That a whole response with wrong bytes ends well is excused by nothing.
 */
export class Checker {
  readonly tally: Tally = {
    requests: 0,
    bytes: 0,
    hungUp: 0,
    sources: new Map(),
    excused: new Map(),
    failures: [],
    times: [],
  };
  readonly #cluster: Cluster;
  readonly #origin: Origin;
  readonly #onFailure: (text: string) => void;
  /** What each proxy has given to clients before, and so may give without asking the origin. */
  readonly #given = new Map<Service, Set<string>>();

  constructor(cluster: Cluster, origin: Origin, onFailure: (text: string) => void) {
    this.#cluster = cluster;
    this.#origin = origin;
    this.#onFailure = onFailure;
  }

  /** The proxy's store is gone, and what it remembers with it. */
  forgot(proxy: Service): void {
    this.#given.delete(proxy);
  }

  async judge(request: Request, got: Got): Promise<boolean> {
    const { tally } = this;
    const { proxy, repository, digest, beganAt } = request;
    tally.requests += 1;
    tally.bytes += got.bytes;
    const ms = performance.now() - beganAt;
    if (got.fault === undefined) {
      if (request.hungUp) tally.hungUp += 1;
      else tally.times.push(ms);
      count(tally.sources, got.source === '' ? 'none' : got.source);
      const given = this.#given.get(proxy) ?? new Set();
      this.#given.set(proxy, given.add(`${repository} ${digest}`));
      return true;
    }
    const excuse = request.isWhole && got.endedWell && got.wrongBytes ? undefined : await this.#excuse(request);
    if (excuse === undefined) {
      const text = `${proxy.name}: ${request.what} after ${Math.round(ms)} ms: ${got.fault}`;
      tally.failures.push(text);
      this.#onFailure(text);
    } else {
      count(tally.excused, excuse);
    }
    return false;
  }

  async #excuse({ proxy, digest, repository, beganAt }: Request): Promise<string | undefined> {
    if (proxy.disturbedAt >= beganAt || !proxy.isUp) return 'its own proxy was ended';
    const liedAt = this.#origin.liedAt(digest);
    if (liedAt !== undefined && performance.now() - liedAt < AFTER_LIE_MS) return 'the origin had lied about it';
    const { from, to } = this.#origin.outage;
    if (from > performance.now() || to + AFTER_OUTAGE_MS < beganAt) return undefined;
    // Whether a client may read it has to be asked of the origin, but for what it read before.
    if (!this.#given.get(proxy)?.has(`${repository} ${digest}`)) return 'the origin was away, and had to be asked';
    const givers = await this.#cluster.givers(digest, { except: proxy, since: beganAt });
    return givers.length === 0 ? 'the origin was away, and nobody else had it' : undefined;
  }
}

export function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}
