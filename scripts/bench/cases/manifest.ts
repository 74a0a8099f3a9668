import { join } from 'node:path';
import { MiB } from '../../../src/base/units.ts';
import { quiet, type Bench, type Server } from '../bench-rig.ts';
import type { Case } from '../case.ts';
import { COLD_SERVERS, PULL_THROUGH } from '../cold-servers.ts';
import { load } from '../load.ts';
import { interleaved, OURS, percentiles, type Runs, type Sample } from '../measure.ts';
import { treeSeconds } from '../processes.ts';
import { MANIFEST_TYPE, manifestPath, RegistryData } from '../registry-data.ts';
import { Registry } from '../registry.ts';

const REGISTRY = 'docker-registry';
const CONNECTIONS = [1, 32];
const WARM_UP_MS = 1000;
const FOR_MS = 3000;
const TAG = 'v1';
const LAYERS = 8;

export const manifest: Case = {
  name: 'manifest',
  title: 'a manifest by its digest, again and again, on 1 and on 32 connections',
  marks: CONNECTIONS.flatMap((connections) =>
    ['p50', 'p99'].map((part) => ({
      figure: `${connections}: ${part} ms`,
      as: 'ratio' as const,
      rule: 'at most' as const,
      bound: 0.5,
      against: [REGISTRY],
    })),
  ),
  run: (bench) => runOf(bench, (digest) => digest),
};

export const tag: Case = {
  name: 'tag',
  title: 'a manifest by its tag, asked for at the origin each time, on 1 and on 32 connections',
  marks: CONNECTIONS.flatMap((connections) =>
    ['p50', 'p99'].map((part) => ({
      figure: `${connections}: ${part} ms`,
      as: 'ratio' as const,
      rule: 'at most' as const,
      bound: 0.7,
      against: [PULL_THROUGH],
    })),
  ),
  run: (bench) => runOf(bench, () => TAG),
};

async function runOf(bench: Bench, referenceOf: (digest: string) => string): Promise<Runs> {
  const { rig, runs, say } = bench;
  const data = new RegistryData(join(rig.dir, 'registry'));
  const layers = [];
  while (layers.length < LAYERS) layers.push(await data.addBlob(MiB));
  const digest = await data.addImage(TAG, layers);
  const registry = await Registry.start(rig, { name: 'docker-registry', dir: data.dir });
  const servers: Record<string, Server> = {
    [OURS]: await COLD_SERVERS[OURS]!(bench, registry.url),
    [PULL_THROUGH]: await COLD_SERVERS[PULL_THROUGH]!(bench, registry.url),
    [REGISTRY]: registry,
  };
  const contenders = Object.entries(servers).map(([name, server]) => ({
    name,
    once: async () => {
      const sample = await latencies(server, manifestPath(referenceOf(digest)));
      await quiet(Object.values(servers).map(({ daemon }) => daemon));
      return sample;
    },
  }));
  return interleaved(contenders, runs, say);
}

async function latencies({ url, daemon }: Server, path: string): Promise<Sample> {
  const sample: Record<string, number> = {};
  for (const connections of CONNECTIONS) {
    const cpu = treeSeconds(daemon.pid);
    const headers = { Accept: MANIFEST_TYPE };
    const times = await load({
      kind: 'again',
      url: url + path,
      headers,
      connections,
      warmUpMs: WARM_UP_MS,
      forMs: FOR_MS,
    });
    const { p50, p99 } = percentiles(times);
    sample[`${connections}: p50 ms`] = p50;
    sample[`${connections}: p99 ms`] = p99;
    sample[`${connections}: a second`] = times.length / (FOR_MS / 1000);
    sample[`${connections}: CPU ms each`] =
      ((treeSeconds(daemon.pid) - cpu) * 1000) / (times.length * ((WARM_UP_MS + FOR_MS) / FOR_MS));
  }
  return sample;
}
