import { mkdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GiB } from '../../../src/base/units.ts';
import { quiet, type Bench, type Server } from '../bench-rig.ts';
import type { Case } from '../case.ts';
import { pull } from '../curl.ts';
import { interleaved, OURS } from '../measure.ts';
import { Nginx } from '../nginx.ts';
import { HawkerNode } from '../node.ts';
import { measuredPull, RATE, SERVER_CPU } from '../pulls.ts';
import { blobPath, RegistryData } from '../registry-data.ts';
import { Registry } from '../registry.ts';

const NGINX = ['nginx, sendfile on', 'nginx, sendfile off'];
const REGISTRY = 'docker-registry';

export const warm: Case = {
  name: 'warm',
  title: 'curl gets a blob of 1 GiB that the server has',
  marks: [
    { figure: RATE, as: 'ratio', rule: 'at least', bound: 1, against: NGINX },
    { figure: RATE, as: 'ratio', rule: 'at least', bound: 1, against: [REGISTRY] },
    {
      figure: SERVER_CPU,
      as: 'ratio',
      rule: 'at most',
      bound: 1.1,
      against: NGINX,
      best: { figure: RATE, more: true },
    },
  ],
  async run(bench: Bench) {
    const { rig, runs, scale, say } = bench;
    const data = new RegistryData(join(rig.dir, 'registry'));
    const { digest, size } = await data.addBlob(GiB / scale);
    const path = blobPath(digest);
    const root = join(rig.dir, 'files');
    await mkdir(dirname(root + path), { recursive: true });
    await symlink(data.fileOf(digest), root + path);
    const registry = await Registry.start(rig, { name: 'docker-registry', dir: data.dir });
    const servers: Record<string, Server> = {
      [OURS]: await HawkerNode.start(bench, { name: OURS, originUrl: registry.url }),
      [NGINX[0]!]: await Nginx.files(rig, { name: 'nginx-on', root, sendfile: 'on' }),
      [NGINX[1]!]: await Nginx.files(rig, { name: 'nginx-off', root, sendfile: 'off' }),
      [REGISTRY]: registry,
    };
    // Twice: the first fills Hawker's store.
    for (const { url } of [...Object.values(servers), ...Object.values(servers)]) await pull(url + path, size);
    await quiet(Object.values(servers).map(({ daemon }) => daemon));
    const contenders = Object.entries(servers).map(([name, server]) => ({
      name,
      once: () => measuredPull(server.url + path, size, { servers: [server] }),
    }));
    return interleaved(contenders, runs, say);
  },
};
