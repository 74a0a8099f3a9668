import { join } from 'node:path';
import { MiB } from '../../../src/base/units.ts';
import type { Bench } from '../bench-rig.ts';
import type { Case } from '../case.ts';
import { coldContenders } from '../cold-servers.ts';
import { interleaved, OURS } from '../measure.ts';
import { measuredPull, RATE } from '../pulls.ts';
import { delayed } from '../relay.ts';
import { blobPath, RegistryData } from '../registry-data.ts';
import { Registry } from '../registry.ts';

const DELAY_MS = 50;
/** Gigabit Ethernet. Without a limit the relay's own CPU time on a shared machine would be what is measured. */
const LINK_MIB_PER_SECOND = 119;
const DIRECT = 'curl from the origin';

export const farOrigin: Case = {
  name: 'far-origin',
  title: 'curl gets a blob of 512 MiB cold, from an origin 100 ms away at 1 Gbit/s (a relay delays each way by 50 ms)',
  marks: [{ figure: RATE, as: 'ratio', rule: 'at least', bound: 0.9, against: [DIRECT] }],
  async run(bench: Bench) {
    const { rig, runs, scale, say } = bench;
    const data = new RegistryData(join(rig.dir, 'registry'));
    const warmUp = await data.addBlob((64 * MiB) / scale);
    const { digest, size } = await data.addBlob((512 * MiB) / scale);
    const origin = await Registry.start(rig, { name: 'origin', dir: data.dir });
    const relay = await delayed(origin.url, { ms: DELAY_MS, mibPerSecond: LINK_MIB_PER_SECOND });
    const far = { url: relay.url, daemon: origin.daemon, stop: () => origin.stop() };
    const contenders = coldContenders(bench, [OURS], { origin: far, warmUp: [warmUp] }, (server) =>
      measuredPull(server.url + blobPath(digest), size, { servers: [server], origin }),
    );
    const direct = { name: DIRECT, once: () => measuredPull(relay.url + blobPath(digest), size, { origin }) };
    try {
      return await interleaved([...contenders, direct], runs, say);
    } finally {
      relay.stop();
    }
  },
};
