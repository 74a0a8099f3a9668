import { setTimeout as sleep } from 'node:timers/promises';
import { Chance } from './chance.ts';
import { count, type Checker } from './checker.ts';
import type { Cluster } from './cluster.ts';
import type { Origin } from './origin.ts';
import type { Service } from './service.ts';

const DEEDS = {
  kill: 5,
  terminate: 3,
  freeze: 5,
  away: 2,
  wipe: 2,
  'supernode-kill': 3,
  'supernode-restart': 2,
  'supernode-freeze': 3,
  outage: 3,
} as const;
type Deed = keyof typeof DEEDS;

/** From one deed to the next. */
const MIN_GAP_MS = 1500;
const MAX_GAP_MS = 7000;
const LEAST_UP = 2;

/** Breaks something every few seconds, never so much that no proxy is left. Each deed is known before: the same seed does the same. */
export class Chaos {
  readonly counts = new Map<string, number>();
  readonly #cluster: Cluster;
  readonly #origin: Origin;
  readonly #checker: Checker;
  readonly #log: (line: string) => void;
  readonly #chance: Chance;
  readonly #underWay = new Set<Promise<void>>();
  readonly #busy = new Set<Service>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #isOutage = false;

  constructor(at: { cluster: Cluster; origin: Origin; checker: Checker; seed: string; log: (line: string) => void }) {
    this.#cluster = at.cluster;
    this.#origin = at.origin;
    this.#checker = at.checker;
    this.#log = at.log;
    this.#chance = new Chance(at.seed, 'chaos');
    this.#running = this.#run();
  }

  /** Nothing more is broken; resolves when everything runs again. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await Promise.all(this.#underWay);
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#pass(this.#chance.whole(MIN_GAP_MS, MAX_GAP_MS));
      const deed = this.#chance.weighted(DEEDS);
      const which = this.#chance.next();
      const length = this.#chance.next();
      if (this.#stop.signal.aborted) break;
      const doing = this.#do(deed, which, length).catch((error: unknown) => {
        // A service that does not start again is what the soak is to find.
        this.#checker.tally.failures.push(`${deed}: ${String(error)}`);
        this.#log(`FAILED: ${deed}: ${String(error)}`);
      });
      this.#underWay.add(doing);
      void doing.then(() => this.#underWay.delete(doing));
    }
  }

  async #do(deed: Deed, which: number, length: number): Promise<void> {
    if (deed === 'outage') {
      await this.#outage(500 + length * 6000);
      return;
    }
    const [supernode, steadySupernode] = this.#cluster.supernodes;
    const isEnding = deed !== 'freeze' && deed !== 'supernode-freeze';
    const isSupernode = deed.startsWith('supernode');
    const candidates = isSupernode
      ? isEnding
        ? [supernode!]
        : [supernode!, steadySupernode!]
      : this.#cluster.proxies.slice(isEnding ? 1 : 0);
    const service = candidates[Math.floor(which * candidates.length)]!;
    const others = this.#cluster.proxies.filter((proxy) => proxy !== service && !this.#busy.has(proxy));
    if (this.#busy.has(service) || (!isSupernode && others.length < LEAST_UP)) return;
    this.#busy.add(service);
    count(this.counts, deed);
    this.#log(`${deed} ${service.name} ${length.toFixed(2)}`);
    try {
      if (!isEnding) await this.#freeze(service, 200 + length * 7000);
      else await this.#restart(service, deed, length);
    } finally {
      this.#busy.delete(service);
    }
  }

  async #freeze(service: Service, ms: number): Promise<void> {
    service.pause();
    await this.#pass(ms);
    service.resume();
  }

  async #restart(service: Service, deed: Deed, length: number): Promise<void> {
    const isGentle = deed === 'terminate' || deed === 'supernode-restart' || (deed === 'away' && length > 0.5);
    const how = await service.end(isGentle ? 'SIGTERM' : 'SIGKILL');
    if (isGentle && how !== 0) throw new Error(`${service.name} ended with ${how} on SIGTERM`);
    if (deed === 'wipe') {
      await service.wipe();
      this.#checker.forgot(service);
    }
    await this.#pass(deed === 'away' ? 8000 + length * 25_000 : length * 5000);
    await service.start();
  }

  async #outage(ms: number): Promise<void> {
    if (this.#isOutage) return;
    this.#isOutage = true;
    count(this.counts, 'outage');
    this.#log(`outage of ${Math.round(ms)} ms`);
    await this.#origin.goOut(ms);
    this.#isOutage = false;
  }

  async #pass(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }
}
