import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Where the bytes of a response came from. */
export type ByteSource = (typeof BYTE_SOURCES)[number];

const BYTE_SOURCES = ['store', 'peers', 'origin'] as const;

/** Body bytes since this process started: sent to clients from the store, from peers and from the origin, and read from origins. */
export type ByteTotals = readonly [store: number, peers: number, origin: number, read: number];

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** What a registry says of the pulls that it still allows this node. */
export interface RateLimitLeft {
  /** The key in the configuration. */
  readonly upstream: string;
  readonly remaining: number;
  readonly limit: number | undefined;
}

/**
 * The metrics of one role, in a registry of its own: what each role has. Names are a contract with dashboards and alert rules, and
 * docs/metrics.md has a line for each. No label holds a digest, a repository or a peer.
 */
export class RoleMetrics {
  readonly registry = new Registry();
  readonly #on = { registers: [this.registry] };

  readonly auditLost = new Counter({
    name: 'hawker_audit_lost_total',
    help: 'Lines of the audit log that could not be written',
    ...this.#on,
  });
  readonly buildInfo = new Gauge({
    name: 'hawker_build_info',
    help: 'Always 1; the version is in the labels',
    labelNames: ['version', 'protocol'],
    ...this.#on,
  });

  /** Registers `hawker_certificate_expiry_timestamp_seconds`; `endMs`, in milliseconds since 1970, is asked at each scrape. */
  showCertificateEnd(endMs: () => number): void {
    const gauge = new Gauge({
      name: 'hawker_certificate_expiry_timestamp_seconds',
      help: 'When the first of the certificates in cluster.tls.cert ends, in seconds since 1970; only where the cluster has TLS',
      ...this.#on,
      collect() {
        gauge.set(endMs() / 1000);
      },
    });
  }
}

/** The metrics of a proxy. `upstream` is the key in the configuration, so that patterns stay one series. */
export class Metrics extends RoleMetrics {
  readonly #on = { registers: [this.registry] };
  readonly #totals = { store: 0, peers: 0, origin: 0, read: 0 };

  readonly clientBytes = new Counter({
    name: 'hawker_client_bytes_total',
    help: 'Body bytes sent to clients, by where they came from',
    labelNames: ['source'],
    ...this.#on,
  });
  readonly originBytes = new Counter({
    name: 'hawker_origin_bytes_total',
    help: 'Body bytes read from origin registries',
    labelNames: ['upstream'],
    ...this.#on,
  });
  readonly originRequests = new Counter({
    name: 'hawker_origin_requests_total',
    help: 'Requests to origin registries; status is the HTTP status, or error where no answer came',
    labelNames: ['upstream', 'method', 'status'],
    ...this.#on,
  });
  readonly peerBytes = new Counter({
    name: 'hawker_peer_bytes_total',
    help: 'Body bytes of pieces received from other proxies (in) and sent to them (out)',
    labelNames: ['direction'],
    ...this.#on,
  });
  readonly pieceDuration = new Histogram({
    name: 'hawker_piece_duration_seconds',
    help: 'From asking for a piece until it is here, by where it came from; pieces of one read count with equal shares of its time',
    labelNames: ['source'],
    buckets: SECONDS,
    ...this.#on,
  });
  readonly badPieces = new Counter({
    name: 'hawker_bad_pieces_total',
    help: 'Pieces from other proxies that were thrown away: not what their CRC says (crc), or lost in a dispute (dispute)',
    labelNames: ['reason'],
    ...this.#on,
  });
  readonly storeBytes = new Gauge({
    name: 'hawker_store_bytes',
    help: 'Bytes the store takes on disk, incoming blobs included',
    ...this.#on,
  });
  readonly storeQuotaBytes = new Gauge({
    name: 'hawker_store_quota_bytes',
    help: 'The quota of the store',
    ...this.#on,
  });
  readonly storePinnedBytes = new Gauge({
    name: 'hawker_store_pinned_bytes',
    help: 'Bytes of blobs that are pinned, and never evicted',
    ...this.#on,
  });
  readonly storeDroppedBlobs = new Counter({
    name: 'hawker_store_dropped_blobs_total',
    help: 'Stored blobs that were dropped: changed, cut, gone or unreadable (damaged), or with other bytes than were stored (rotten)',
    labelNames: ['reason'],
    ...this.#on,
  });
  readonly storeScrubbedBytes = new Counter({
    name: 'hawker_store_scrubbed_bytes_total',
    help: 'Bytes of stored blobs that were read and hashed in the background, to find those that rot',
    ...this.#on,
  });
  readonly timeToFirstByte = new Histogram({
    name: 'hawker_time_to_first_byte_seconds',
    help: 'From a blob or manifest request to its first body byte, by where the bytes came from',
    labelNames: ['source'],
    buckets: SECONDS,
    ...this.#on,
  });
  readonly httpRequests = new Counter({
    name: 'hawker_http_requests_total',
    help: 'Requests answered, by handler and HTTP status',
    labelNames: ['handler', 'status'],
    ...this.#on,
  });
  readonly supernodeConnected = new Gauge({
    name: 'hawker_supernode_connected',
    help: 'Whether this proxy has a session with the supernode: 1 for the one that it is with, 0 for the others of its list',
    labelNames: ['url'],
    ...this.#on,
  });

  constructor() {
    super();
    // From the start: a rate does not see the first of what was not there before.
    for (const source of BYTE_SOURCES) {
      this.clientBytes.inc({ source }, 0);
      this.timeToFirstByte.zero({ source });
    }
    for (const source of ['peers', 'origin']) this.pieceDuration.zero({ source });
    for (const direction of ['in', 'out']) this.peerBytes.inc({ direction }, 0);
    for (const reason of ['crc', 'dispute']) this.badPieces.inc({ reason }, 0);
    for (const reason of ['damaged', 'rotten']) this.storeDroppedBlobs.inc({ reason }, 0);
  }

  /** Body bytes have gone to a client. */
  sentToClient(source: ByteSource, bytes: number): void {
    this.clientBytes.inc({ source }, bytes);
    this.#totals[source] += bytes;
  }

  /** Body bytes have come from an origin. */
  readFromOrigin(upstream: string, bytes: number): void {
    this.originBytes.inc({ upstream }, bytes);
    this.#totals.read += bytes;
  }

  /** What the counters of these bytes add up to, without the wait for a scrape. */
  byteTotals(): ByteTotals {
    const { store, peers, origin, read } = this.#totals;
    return [store, peers, origin, read];
  }

  /** Registers `hawker_pressure`; `shares` is asked at each scrape. */
  showPressure(shares: () => (readonly [resource: string, share: number])[]): void {
    const gauge = new Gauge({
      name: 'hawker_pressure',
      help: 'How much of its limit a resource takes, 0 to 1: load is shed from 0.8 on (of the disk: at 1, where nothing more fits)',
      labelNames: ['resource'],
      ...this.#on,
      collect() {
        for (const [resource, share] of shares()) gauge.set({ resource }, share);
      },
    });
  }

  /** Registers `hawker_downloads`; `count` is asked at each scrape. */
  countDownloads(count: () => { active: number; idle: number }): void {
    const gauge = new Gauge({
      name: 'hawker_downloads',
      help: 'Blobs coming in now, by state: active, or idle (nobody reads them)',
      labelNames: ['state'],
      ...this.#on,
      collect() {
        const { active, idle } = count();
        gauge.set({ state: 'active' }, active);
        gauge.set({ state: 'idle' }, idle);
      },
    });
  }

  /** Registers `hawker_origin_ratelimit_remaining` and `_limit`; `left` is asked at each scrape, and what it leaves out is gone. */
  showRateLimits(left: () => readonly RateLimitLeft[]): void {
    const remainingGauge = new Gauge({
      name: 'hawker_origin_ratelimit_remaining',
      help: 'Pulls that the registry still allows this node, by its last answer for a manifest (ratelimit-remaining); gone after its window',
      labelNames: ['upstream'],
      ...this.#on,
      collect() {
        remainingGauge.reset();
        for (const { upstream, remaining } of left()) remainingGauge.set({ upstream }, remaining);
      },
    });
    const limitGauge = new Gauge({
      name: 'hawker_origin_ratelimit_limit',
      help: 'Pulls that the registry allows this node in a window (ratelimit-limit)',
      labelNames: ['upstream'],
      ...this.#on,
      collect() {
        limitGauge.reset();
        for (const { upstream, limit } of left()) if (limit !== undefined) limitGauge.set({ upstream }, limit);
      },
    });
  }
}
