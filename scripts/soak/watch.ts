import { setTimeout as sleep } from 'node:timers/promises';
import { QUOTA_BYTES, type Cluster } from './cluster.ts';
import { storeBytes } from './disk.ts';
import { ALLOWANCES, growthOf, SHORT_MS, type Growth, type Measure, type Sample } from './growth.ts';
import { descriptorsOf, heapAfterGc, residentBytes } from './memory.ts';
import type { Service } from './service.ts';

const SAMPLE_MS = 5000;
/** A collection stops the process for a moment: not too often. */
const HEAP_EVERY = 3;
/** What was evicted is unlinked a moment later. */
const UNLINKED_WITHIN_MS = 3000;

/** Samples what all processes take: memory, descriptors, disk. */
export class Watch {
  readonly failures: string[] = [];
  /** The most that each process has taken, by name. */
  readonly most = new Map<string, { resident: number; descriptors: number; disk: number }>();
  readonly #cluster: Cluster;
  readonly #series = new Map<string, Record<Measure, Sample[]>>();
  readonly #beganAt = performance.now();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Of those that have lived all the time, from the fourth part of the soak on. */
  growths(): Growth[] {
    const length = performance.now() - this.#beganAt;
    return this.#cluster.steady.flatMap(({ name }) => {
      const series = this.#series.get(name);
      if (!series) return [];
      return (Object.keys(ALLOWANCES) as Measure[]).map((measure) => {
        const samples = series[measure].filter(({ at }) => at >= length / 4);
        return growthOf(`${name} ${measure}`, measure, samples, length < SHORT_MS);
      });
    });
  }

  async #run(): Promise<void> {
    for (let round = 0; !this.#stop.signal.aborted; round += 1) {
      for (const service of this.#cluster.all) this.#sample(service);
      if (round % HEAP_EVERY === 0) for (const service of this.#cluster.steady) await this.#sampleHeap(service);
      await Promise.all(this.#cluster.proxies.map((proxy) => this.#sampleDisk(proxy)));
      await sleep(SAMPLE_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  #sample(service: Service): void {
    const { pid, name } = service;
    if (pid === undefined) return;
    const resident = residentBytes(pid) ?? 0;
    const descriptors = descriptorsOf(pid) ?? 0;
    this.#note(name, 'resident', resident);
    this.#note(name, 'descriptors', descriptors);
    const most = this.#mostOf(name);
    most.resident = Math.max(most.resident, resident);
    most.descriptors = Math.max(most.descriptors, descriptors);
  }

  async #sampleHeap({ inspector, isPaused, name }: Service): Promise<void> {
    if (inspector === undefined || isPaused) return;
    const found = await heapAfterGc(inspector);
    if (!found) return;
    this.#note(name, 'heap', found.heap);
    this.#note(name, 'buffers', found.buffers);
  }

  async #sampleDisk(proxy: Service): Promise<void> {
    const most = this.#mostOf(proxy.name);
    const end = performance.now() + UNLINKED_WITHIN_MS;
    for (;;) {
      const bytes = await storeBytes(proxy.storeDir);
      most.disk = Math.max(most.disk, bytes);
      if (bytes <= QUOTA_BYTES) return;
      if (performance.now() > end && !proxy.isPaused && proxy.isUp) {
        this.failures.push(`${proxy.name}: its store takes ${bytes} bytes, over its quota of ${QUOTA_BYTES}`);
        return;
      }
      if (performance.now() > end) return;
      await sleep(250);
    }
  }

  #mostOf(name: string): { resident: number; descriptors: number; disk: number } {
    const most = this.most.get(name) ?? { resident: 0, descriptors: 0, disk: 0 };
    this.most.set(name, most);
    return most;
  }

  #note(name: string, measure: Measure, value: number): void {
    const series = this.#series.get(name) ?? { resident: [], heap: [], buffers: [], descriptors: [] };
    this.#series.set(name, series);
    series[measure].push({ at: performance.now() - this.#beganAt, value });
  }
}
