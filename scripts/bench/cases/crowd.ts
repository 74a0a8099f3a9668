import { join } from 'node:path';
import { MiB } from '../../../src/base/units.ts';
import { quiet, type Bench } from '../bench-rig.ts';
import type { Case } from '../case.ts';
import { coldContenders, NGINX_CACHE, PULL_THROUGH } from '../cold-servers.ts';
import { pullAll } from '../curl.ts';
import { interleaved, OURS } from '../measure.ts';
import { treeSeconds } from '../processes.ts';
import { blobPath, RegistryData } from '../registry-data.ts';
import { Registry } from '../registry.ts';

const CLIENTS = 8;
const RIVALS = [PULL_THROUGH, NGINX_CACHE];
const COPIES = 'copies from the origin';
const SECONDS = 'seconds until all have it';

export const crowd: Case = {
  name: 'crowd',
  title: `${CLIENTS} curls get the same blob of 512 MiB at once through a cache that has had another one`,
  marks: [
    { figure: COPIES, as: 'value', rule: 'at most', bound: 1.005 },
    // To finish at least as fast is to take no longer.
    { figure: SECONDS, as: 'ratio', rule: 'at most', bound: 1, against: RIVALS },
  ],
  async run(bench: Bench) {
    const { rig, runs, scale, say } = bench;
    const data = new RegistryData(join(rig.dir, 'registry'));
    const warmUp = await data.addBlob((512 * MiB) / scale);
    const { digest, size } = await data.addBlob((512 * MiB) / scale);
    const origin = await Registry.start(rig, { name: 'origin', dir: data.dir, counted: true });
    const contenders = coldContenders(bench, [OURS, ...RIVALS], { origin, warmUp: [warmUp] }, async (server) => {
      await origin.mark();
      const cpu = treeSeconds(server.daemon.pid);
      const pulls = Array.from({ length: CLIENTS }, () => ({ url: server.url + blobPath(digest), size }));
      const { first, last } = await pullAll(pulls);
      const used = treeSeconds(server.daemon.pid) - cpu;
      // A pull-through registry goes on reading for its store.
      await quiet([server.daemon, origin.daemon]);
      const { bytes, requests } = await origin.sent(digest);
      return {
        [COPIES]: bytes / size,
        'GETs at the origin': requests,
        'seconds until one has it': first,
        [SECONDS]: last,
        'CPU-s': used,
      };
    });
    return interleaved(contenders, runs, say);
  },
};
