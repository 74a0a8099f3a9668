import { GiB, MiB } from '../../../src/base/units.ts';
import type { StepwiseClient } from '../../../test/e2e/support/clients/client.ts';
import { containerd } from '../../../test/e2e/support/clients/containerd.ts';
import { docker } from '../../../test/e2e/support/clients/docker.ts';
import { publishLarge } from '../../../test/e2e/support/images.ts';
import { Origin } from '../../../test/e2e/support/origin.ts';
import type { Rig } from '../../../test/e2e/support/rig.ts';
import type { Bench } from '../bench-rig.ts';
import type { Case } from '../case.ts';
import { interleaved, OURS, type Runs } from '../measure.ts';
import { HawkerNode } from '../node.ts';

const STRAIGHT = 'docker-registry';
const RATE = 'MiB/s';
const HOST = 'docker.io';
const marks = [{ figure: RATE, as: 'ratio', rule: 'at least', bound: 0.95, against: [STRAIGHT] }] as const;

type StartClient = (rig: Rig, mirror: { url: string; address: string }, name: string) => Promise<StepwiseClient>;

export const dockerPull: Case = {
  name: 'docker',
  title: 'docker pull of an image of 1 GiB that the mirror has',
  marks,
  run: (bench) => runOf(bench, docker),
};

export const containerdPull: Case = {
  name: 'containerd',
  title: 'ctr images pull of an image of 1 GiB that the mirror has',
  marks,
  run: (bench) => runOf(bench, containerd),
};

async function runOf(bench: Bench, start: StartClient): Promise<Runs> {
  const { rig, runs, scale, say } = bench;
  const origin = await Origin.start(rig);
  const size = GiB / scale;
  const image = await publishLarge(rig, origin, 'library/large', size);
  const node = await HawkerNode.start(bench, { name: OURS, originUrl: origin.url });
  const contenders = [];
  for (const [name, { url }] of Object.entries({ [OURS]: node, [STRAIGHT]: origin })) {
    // A daemon each, as a daemon's mirrors are set when it starts.
    const client = await start(rig, { url, address: new URL(url).host }, `client-${contenders.length}`);
    // It fills the mirror, too, and checks that what is measured is what it should be.
    await client.pull(image, HOST);
    const once = async () => {
      await client.forget();
      const began = performance.now();
      await client.fetch(image, HOST);
      const seconds = (performance.now() - began) / 1000;
      await client.forget();
      return { [RATE]: size / MiB / seconds };
    };
    contenders.push({ name, once });
  }
  return interleaved(contenders, runs, say);
}
