import type { Metrics } from '../base/metrics.ts';

/** Body bytes counted before the metric is told: it is not to be touched for every chunk. */
const FLUSH_BYTES = 1024 * 1024;

/** What is asked of, and read from, one upstream, for the metrics. */
export class RequestCounter {
  readonly #metrics: Metrics;
  readonly #upstream: string;
  #bytes = 0;

  /** `upstream` is the key in the configuration. */
  constructor(metrics: Metrics, upstream: string) {
    this.#metrics = metrics;
    this.#upstream = upstream;
    // A rate does not see the first of what was not there before.
    metrics.originBytes.inc({ upstream }, 0);
  }

  request(method: string, status: number | 'error'): void {
    this.#metrics.originRequests.inc({ upstream: this.#upstream, method, status: String(status) });
  }

  bytes(count: number): void {
    this.#bytes += count;
    if (this.#bytes >= FLUSH_BYTES) this.flush();
  }

  flush(): void {
    if (this.#bytes > 0) this.#metrics.readFromOrigin(this.#upstream, this.#bytes);
    this.#bytes = 0;
  }
}
