import type { ByteTotals } from '../../base/metrics.ts';
import { MAX_PEERS } from './limits.ts';

/** Of the history: how long one sample is, and how many there are: a quarter of an hour. */
export const SAMPLE_MS = 5000;
export const MAX_SAMPLES = 180;

/** When, in milliseconds since 1970, and the bytes of the time before it: to clients by their source, and read from origins. */
export type TrafficSample = readonly [at: number, store: number, peers: number, origin: number, read: number];

/** Bytes of all peers, as they have told them. */
export interface TrafficView {
  /** To clients, from each source, since the peers' processes were started. */
  readonly store: number;
  readonly peers: number;
  readonly origin: number;
  /** What the peers have read from origins. */
  readonly read: number;
  /** What the clients got and no origin sent. */
  readonly saved: number;
  /** The oldest first. */
  readonly history: readonly TrafficSample[];
}

type Sums = [store: number, peers: number, origin: number, read: number];

const nothing = (): Sums => [0, 0, 0, 0];

/**
 * Sums what peers tell in their beats. Totals count from the start of each peer's process, so that a new supernode soon knows them
 * again; the history has only what came while this one listened.
 */
export class Traffic {
  /** By instance, those that were heard of last at the end. */
  readonly #told = new Map<string, ByteTotals>();
  readonly #totals = nothing();
  #sample = nothing();
  #sampleSince: number | undefined;
  #history: TrafficSample[] = [];

  /** `now` is on the clock of all calls. */
  told(instance: string, bytes: ByteTotals, now: number): void {
    const before = this.#told.get(instance);
    this.#told.delete(instance);
    this.#told.set(instance, bytes);
    if (this.#told.size > MAX_PEERS) this.#told.delete(this.#told.keys().next().value!);
    this.#close(now);
    bytes.forEach((sum, index) => {
      const more = Math.max(0, sum - (before?.[index] ?? 0));
      this.#totals[index]! += more;
      if (before) this.#sample[index]! += more;
    });
  }

  of(instance: string): ByteTotals | undefined {
    return this.#told.get(instance);
  }

  /** `wallOffset`: what has to be added to the times for milliseconds since 1970. */
  view(wallOffset: number): TrafficView {
    const [store, peers, origin, read] = this.#totals;
    const saved = Math.max(0, store + peers + origin - read);
    const history = this.#history.map(([at, ...bytes]): TrafficSample => [Math.round(at + wallOffset), ...bytes]);
    return { store, peers, origin, read, saved, history };
  }

  #close(now: number): void {
    this.#sampleSince ??= now;
    if (now - this.#sampleSince < SAMPLE_MS) return;
    this.#history.push([now, ...this.#sample]);
    if (this.#history.length > MAX_SAMPLES) this.#history.shift();
    this.#sample = nothing();
    this.#sampleSince = now;
  }
}
