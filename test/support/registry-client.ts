import { systemClock, type Clock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import type { BlobHead, ByteSink } from '../../src/http/byte-sink.ts';
import type { OriginLimits } from '../../src/registry/limits.ts';
import type { Upstream } from '../../src/registry/upstream.ts';
import { Upstreams, type UpstreamSettings } from '../../src/registry/upstreams.ts';
import { HostileRegistry } from './hostile-registry.ts';

/** A sink that keeps what it gets; `holdEvery`: asks the source to wait after so many bytes, until a macrotask later. */
export class KeepingSink implements ByteSink {
  readonly heads: BlobHead[] = [];
  readonly #chunks: Buffer[] = [];
  readonly #holdEvery: number;
  #sinceHold = 0;
  #holding = false;
  holds = 0;
  length = 0;
  /** Thrown by `write` once so many bytes have come. */
  failure: { afterBytes: number; error: Error } | undefined;
  /** Thrown by `head`. */
  headFailure: Error | undefined;
  /** What `drained` waits for, instead of a macrotask. */
  drain: (() => Promise<void>) | undefined;

  constructor(options: { holdEvery?: number } = {}) {
    this.#holdEvery = options.holdEvery ?? Infinity;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  head(head: BlobHead): void {
    if (this.headFailure) throw this.headFailure;
    this.heads.push(head);
  }

  write(chunk: Uint8Array): boolean {
    if (this.heads.length !== 1) throw new Error('bytes before the head');
    if (this.#holding) throw new Error('bytes although the source was to wait');
    this.#chunks.push(Buffer.from(chunk));
    this.length += chunk.length;
    if (this.failure && this.length >= this.failure.afterBytes) throw this.failure.error;
    this.#sinceHold += chunk.length;
    if (this.#sinceHold < this.#holdEvery) return true;
    this.#sinceHold = 0;
    this.holds += 1;
    this.#holding = true;
    return false;
  }

  async drained(): Promise<void> {
    await (this.drain ? this.drain() : new Promise((resolve) => setImmediate(resolve)));
    this.#holding = false;
  }
}

export interface Opened {
  readonly origin: HostileRegistry;
  readonly upstreams: Upstreams;
  readonly upstream: Upstream;
  readonly metrics: Metrics;
}

/** As much of a tap test as is needed here. */
export interface Ends {
  teardown(end: () => unknown): void;
}

/** A hostile registry, and an upstream `registry.test` that points to it; both end with the test. */
export async function openUpstream(
  t: Ends,
  settings: Partial<UpstreamSettings> = {},
  options: { limits?: Partial<OriginLimits>; clock?: Clock; origin?: Parameters<typeof HostileRegistry.start>[0] } = {},
): Promise<Opened> {
  const origin = await HostileRegistry.start(options.origin);
  t.teardown(() => origin.close());
  const metrics = new Metrics();
  const upstreams = new Upstreams(
    { 'registry.test': { url: origin.url, insecure: false, allow: ['127.0.0.2'], ...settings } },
    {
      log: silentLogger,
      metrics,
      clock: options.clock ?? systemClock,
      ...(options.limits ? { limits: options.limits } : {}),
    },
  );
  t.teardown(() => upstreams.close());
  return { origin, upstreams, upstream: upstreams.find('registry.test')!, metrics };
}

/** The real time, but that nobody sleeps: waits between tries are over at once. */
export const hastyClock: Clock = { ...systemClock, sleep: () => Promise.resolve() };

/** The error that a promise rejects with. */
export async function failureOf(promise: Promise<unknown>): Promise<Error & { code?: string; final?: boolean }> {
  try {
    await promise;
  } catch (error) {
    return error as Error & { code?: string };
  }
  throw new Error('it did not fail');
}

export const never = new AbortController().signal;
