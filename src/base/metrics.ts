import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Where the bytes of a response came from. */
export type ByteSource = 'store' | 'peers' | 'origin';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * The metrics of one role, in a registry of its own. Names are a contract with dashboards and alert rules. No label holds a
 * digest, a repository or a peer: `upstream` is the key in the configuration, so that patterns stay one series.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly #on = { registers: [this.registry] };

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
  readonly auditLost = new Counter({
    name: 'hawker_audit_lost_total',
    help: 'Lines of the audit log that could not be written',
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
  readonly buildInfo = new Gauge({
    name: 'hawker_build_info',
    help: 'Always 1; the version is in the labels',
    labelNames: ['version', 'protocol'],
    ...this.#on,
  });

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
}
