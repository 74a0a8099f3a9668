import { join } from 'node:path';
import { GiB, KiB, MiB } from '../../../src/base/units.ts';
import type { Bench } from '../bench-rig.ts';
import type { Case } from '../case.ts';
import { pullAll } from '../curl.ts';
import { interleaved, OURS, type Sample } from '../measure.ts';
import { HawkerNode } from '../node.ts';
import { peakMiB } from '../processes.ts';
import { blobPath, RegistryData, type Blob } from '../registry-data.ts';
import { Registry } from '../registry.ts';

const CLIENTS = 8;
/** No client makes it grow by chance for more runs than that. */
const MOST_RUNS = 3;
const PEAK = 'peak MiB';
const GROWTH = 'peak after 10 GiB, of that after 1 GiB';

export const memory: Case = {
  name: 'memory',
  title: `${CLIENTS} curls get blobs of their own at once, cold: 1 GiB in all, then 1 GiB each, then 1 GiB warm`,
  marks: [
    { figure: PEAK, as: 'value', rule: 'at most', bound: 200 },
    { figure: GROWTH, as: 'value', rule: 'at most', bound: 1.1 },
  ],
  async run(bench: Bench) {
    const { rig, runs, scale, say } = bench;
    const data = new RegistryData(join(rig.dir, 'registry'));
    const small = await different(data, (128 * MiB) / scale);
    const large = await different(data, GiB / scale);
    const origin = await Registry.start(rig, { name: 'origin', dir: data.dir });
    const once = async (): Promise<Sample> => {
      const node = await HawkerNode.start(bench, { name: OURS, originUrl: origin.url, dir: bench.diskDir });
      const peak = () => peakMiB(node.daemon.pid);
      try {
        const idle = peak();
        await all(node, small);
        const afterOne = peak();
        await all(node, large);
        await all(node, small);
        return { [PEAK]: peak(), 'when idle': idle, 'after 1 GiB': afterOne, [GROWTH]: peak() / afterOne };
      } finally {
        await node.stop();
      }
    };
    return interleaved([{ name: OURS, once }], Math.min(runs, MOST_RUNS), say);
  },
};

/** Zeros take no room at the origin; what differs is how many. */
async function different(data: RegistryData, size: number): Promise<Blob[]> {
  const blobs: Blob[] = [];
  while (blobs.length < CLIENTS) blobs.push(await data.addZeros(size + blobs.length * 4 * KiB));
  return blobs;
}

async function all(node: HawkerNode, blobs: readonly Blob[]): Promise<void> {
  await pullAll(blobs.map(({ digest, size }) => ({ url: node.url + blobPath(digest), size })));
}
