import { join } from 'node:path';
import { MiB } from '../../../src/base/units.ts';
import { quiet, type Bench } from '../bench-rig.ts';
import type { Case } from '../case.ts';
import { coldContenders, NGINX_CACHE, PULL_THROUGH } from '../cold-servers.ts';
import { interleaved, OURS } from '../measure.ts';
import { measuredPull, RATE, SERVER_CPU } from '../pulls.ts';
import { blobPath, RegistryData } from '../registry-data.ts';
import { Registry } from '../registry.ts';

export const cold: Case = {
  name: 'cold',
  title: 'curl gets a blob of 512 MiB through a cache that has had another one, from an origin on loopback',
  marks: [
    { figure: RATE, as: 'ratio', rule: 'at least', bound: 0.8, against: [PULL_THROUGH, NGINX_CACHE] },
    { figure: SERVER_CPU, as: 'ratio', rule: 'at most', bound: 0.6, against: [PULL_THROUGH] },
  ],
  async run(bench: Bench) {
    const { rig, runs, scale, say } = bench;
    const data = new RegistryData(join(rig.dir, 'registry'));
    const warmUp = await data.addBlob((512 * MiB) / scale);
    const { digest, size } = await data.addBlob((512 * MiB) / scale);
    const origin = await Registry.start(rig, { name: 'origin', dir: data.dir });
    const names = [OURS, PULL_THROUGH, NGINX_CACHE];
    const contenders = coldContenders(bench, names, { origin, warmUp: [warmUp] }, (server) =>
      // A pull-through registry reads a second time for its store, and goes on with that after the client has all.
      measuredPull(server.url + blobPath(digest), size, { servers: [server], origin }, () =>
        quiet([server.daemon, origin.daemon]),
      ),
    );
    return interleaved(contenders, runs, say);
  },
};
