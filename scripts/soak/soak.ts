import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Chaos } from './chaos.ts';
import { Checker, type Tally } from './checker.ts';
import { Client } from './client.ts';
import { Cluster } from './cluster.ts';
import { Crowd, pullBlob, pullManifest } from './crowd.ts';
import { faultsOfStore, storeBytes } from './disk.ts';
import type { Growth } from './growth.ts';
import { Images } from './images.ts';
import { Origin } from './origin.ts';
import { Watch } from './watch.ts';

/** A new image is pushed so often. */
const IMAGE_MS = 4000;
const CLIENTS_A_PROXY = 2;
/** Downloads that nobody reads end after 30 s, peers that were away are ready again. */
const CALM_BOUND_MS = 90_000;
const LAST_IMAGES = 3;

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: string;
  readonly nodes: number;
  /** For stores, configurations and logs; whoever asks removes it. */
  readonly dir: string;
  readonly log: (line: string) => void;
}

export interface SoakResult {
  readonly seconds: number;
  readonly images: number;
  readonly originBytes: number;
  readonly originFaults: ReadonlyMap<string, number>;
  readonly deeds: ReadonlyMap<string, number>;
  readonly warnings: ReadonlyMap<string, number>;
  readonly tally: Tally;
  readonly growths: readonly Growth[];
  readonly most: ReadonlyMap<string, { resident: number; descriptors: number; disk: number }>;
  /** All that was not as it must be. */
  readonly failures: readonly string[];
}

/** A cluster of real processes under random clients and random faults; what must hold is checked all the time, and at the end. */
export async function soak({ minutes, seed, nodes, dir, log }: SoakOptions): Promise<SoakResult> {
  const beganAt = performance.now();
  const images = new Images(seed);
  images.add();
  const origin = await Origin.start(images, seed);
  const cluster = await Cluster.start(join(dir, 'cluster'), { nodes, origin: origin.url });
  try {
    const checker = new Checker(cluster, origin, (text) => log(`FAILED: ${text}`));
    const watch = new Watch(cluster);
    const crowds = cluster.proxies.map(
      (proxy) => new Crowd(proxy, images, checker, { seed, clients: CLIENTS_A_PROXY }),
    );
    const chaos = new Chaos({ cluster, origin, checker, seed, log });
    for (const end = performance.now() + minutes * 60_000; performance.now() < end;) {
      await sleep(IMAGE_MS);
      images.add();
    }
    log('nothing more is broken');
    await chaos.stop();
    await Promise.all(crowds.map((crowd) => crowd.stop()));
    await watch.stop();
    const growths = watch.growths();
    const failures = [...watch.failures, ...(await lastPulls(cluster, images, origin, checker))];
    for (const restless of await cluster.calm(CALM_BOUND_MS)) failures.push(`not calm at the end: ${restless}`);
    failures.push(...(await ends(cluster)));
    for (const { name, first, last, allowed, isTooMuch } of growths)
      if (isTooMuch) failures.push(`${name} has grown from ${first} to ${last}, by more than ${allowed}`);
    for (const service of cluster.all) failures.push(...service.crashes);
    return {
      seconds: (performance.now() - beganAt) / 1000,
      images: images.count,
      originBytes: origin.bytes,
      originFaults: origin.counts,
      deeds: chaos.counts,
      warnings: warningsOf(cluster),
      tally: checker.tally,
      growths,
      most: watch.most,
      failures: [...checker.tally.failures, ...failures],
    };
  } finally {
    await cluster.destroy();
    await origin.close();
  }
}

/** Everything runs and the origin behaves: each proxy gives the latest images, by the strictest measure. */
async function lastPulls(cluster: Cluster, images: Images, origin: Origin, checker: Checker): Promise<string[]> {
  origin.isHonest = true;
  const client = new Client();
  const failed: string[] = [];
  for (const proxy of cluster.proxies) {
    for (let back = 1; back <= LAST_IMAGES; back += 1) {
      const image = images.at(images.count - back);
      const wasGot = [await pullManifest(client, proxy, image, checker, true)];
      for (const layer of image.layers)
        wasGot.push(await pullBlob(client, proxy, image, layer, { kind: 'whole' }, checker));
      if (wasGot.includes(false)) failed.push(`${proxy.name} does not give image ${image.number} at the end`);
    }
  }
  client.close();
  return failed;
}

/** All end when they are asked, and leave nothing behind that is not of use. */
async function ends(cluster: Cluster): Promise<string[]> {
  const failures: string[] = [];
  for (const service of [...cluster.proxies, ...cluster.supernodes]) {
    const how = await service.end('SIGTERM');
    if (how !== 0) failures.push(`${service.name} ended with ${how} on SIGTERM`);
  }
  for (const proxy of cluster.proxies) {
    for (const fault of await faultsOfStore(proxy.storeDir)) failures.push(`${proxy.name}: ${fault}`);
    const bytes = await storeBytes(proxy.storeDir);
    if (bytes > quotaOf(proxy.config)) failures.push(`${proxy.name}: ${bytes} bytes are left, over its quota`);
  }
  return failures;
}

function quotaOf(config: Readonly<Record<string, unknown>>): number {
  const { quota } = config['store'] as { quota: string };
  return Number.parseInt(quota, 10) * 2 ** 20;
}

function warningsOf(cluster: Cluster): Map<string, number> {
  const all = new Map<string, number>();
  for (const service of cluster.all)
    for (const [code, times] of service.warnings()) all.set(code, (all.get(code) ?? 0) + times);
  return all;
}
