import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Hawker } from '../hawker.ts';
import type { Published } from '../images.ts';
import { must } from '../programs.ts';
import type { Rig } from '../rig.ts';
import { type Client, hashFiles, runBy, type Setup } from './client.ts';

const PULL_BOUND_MS = 180_000;

/** skopeo copies an image, all its platforms, into a folder with a file for each blob. */
export function skopeo(
  rig: Rig,
  mirror: Pick<Hawker, 'url' | 'address'>,
  { name: folder = 'skopeo', by = [], login, bound = false, certificates }: Setup = {},
): Client {
  const dir = join(rig.dir, folder);
  return {
    name: 'skopeo',
    anyRegistry: !bound,
    async pull({ repository, tag }, host) {
      await rm(dir, { recursive: true, force: true });
      const source = `docker://${mirror.address}/${bound ? '' : `${host}/`}${repository}:${tag}`;
      const tls = certificates ? [`--src-cert-dir=${certificates}`] : ['--src-tls-verify=false'];
      const creds = login ? [`--src-creds=${login.name}:${login.password}`] : [];
      const copy = ['copy', '--all', ...tls, ...creds, source, `dir:${dir}`];
      await must(...runBy(by, 'skopeo', ['--insecure-policy', '--tmpdir', rig.dir, ...copy]), {
        env: rig.environment(),
        boundMs: PULL_BOUND_MS,
      });
      const digests = await hashFiles(dir, (name) => name !== 'version');
      await rm(dir, { recursive: true });
      return [...new Set(digests)].sort();
    },
    expected: ({ digest, images }: Published) =>
      [...new Set([digest, ...images.flatMap(({ manifest, blobs }) => [manifest.digest, ...blobs.keys()])])].sort(),
  };
}
