import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GiB, MiB } from '../../../src/base/units.ts';
import { must } from '../../../test/e2e/support/programs.ts';
import { sumOf } from '../../swarm/cluster.ts';
import { quiet, type Bench } from '../bench-rig.ts';
import type { Case } from '../case.ts';
import { pull } from '../curl.ts';
import { interleaved, OURS, type Sample } from '../measure.ts';
import { HawkerNode } from '../node.ts';
import { endedChildrenSeconds, treeSeconds } from '../processes.ts';
import { CLIENT_CPU, measuredPull, RATE } from '../pulls.ts';
import { blobPath, RegistryData } from '../registry-data.ts';
import { Registry } from '../registry.ts';

const WARM = 'hawker, warm';
const TEE = 'curl | tee | sha256sum';
/** Of what comes to B, so much must come from A: else it was not what is measured. */
const LEAST_FROM_PEERS = 0.95;

export const peer: Case = {
  name: 'peer',
  title: 'curl gets a blob of 512 MiB from node B, which has had another one and gets it from node A',
  marks: [
    { figure: RATE, as: 'ratio', rule: 'at least', bound: 0.3, against: [WARM] },
    { figure: RATE, as: 'ratio', rule: 'at least', bound: 1.2, against: [TEE] },
  ],
  async run(bench: Bench) {
    const { rig, runs, scale, say } = bench;
    const data = new RegistryData(join(rig.dir, 'registry'));
    const warmUp = await data.addBlob((512 * MiB) / scale);
    const { digest, size } = await data.addBlob((512 * MiB) / scale);
    const origin = await Registry.start(rig, { name: 'origin', dir: data.dir });
    const a = await HawkerNode.start(bench, { name: 'node-a', originUrl: origin.url });
    for (const blob of [warmUp, warmUp, { digest, size }]) await pull(a.url + blobPath(blob.digest), blob.size);

    const fromPeer = async (): Promise<Sample> => {
      const b = await HawkerNode.start(bench, { name: 'node-b', originUrl: origin.url, supernodeUrl: a.supernodeUrl });
      try {
        await pull(b.url + blobPath(warmUp.digest), warmUp.size);
        await quiet([a.daemon, b.daemon]);
        const before = await fromPeers(b);
        const aCpu = treeSeconds(a.daemon.pid);
        const sample = await measuredPull(b.url + blobPath(digest), size, { servers: [b] });
        const came = (await fromPeers(b)) - before;
        if (came < size * LEAST_FROM_PEERS) throw new Error(`only ${came} of ${size} bytes came from node A`);
        return { ...sample, 'node A CPU-s/GiB': (treeSeconds(a.daemon.pid) - aCpu) / (size / GiB) };
      } finally {
        await quiet([a.daemon, b.daemon]);
        await b.stop();
      }
    };
    const contenders = [
      { name: OURS, once: fromPeer },
      { name: WARM, once: () => measuredPull(a.url + blobPath(digest), size, { servers: [a] }) },
      { name: TEE, once: () => tee(origin.url + blobPath(digest), { size, file: join(rig.dir, 'tee'), digest }) },
    ];
    return interleaved(contenders, runs, say);
  },
};

async function fromPeers(node: HawkerNode): Promise<number> {
  return sumOf(await node.metrics(), 'hawker_peer_bytes_total', 'direction="in"');
}

/** What one would do by hand: get it, keep it, check it. */
async function tee(
  url: string,
  { size, file, digest }: { size: number; file: string; digest: string },
): Promise<Sample> {
  const cpu = endedChildrenSeconds();
  const began = performance.now();
  const script = 'curl --silent --fail "$1" | tee "$2" | sha256sum';
  const sum = await must('sh', ['-c', script, 'tee', url, file]);
  const seconds = (performance.now() - began) / 1000;
  if (`sha256:${sum.slice(0, 64)}` !== digest) throw new Error(`${url} gave something else`);
  await rm(file);
  return { [RATE]: size / MiB / seconds, [CLIENT_CPU]: (endedChildrenSeconds() - cpu) / (size / GiB) };
}
