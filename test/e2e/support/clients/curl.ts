import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Hawker } from '../hawker.ts';
import type { Published } from '../images.ts';
import { must } from '../programs.ts';
import type { Rig } from '../rig.ts';
import { type Client, hashFile } from './client.ts';

const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

interface AnyManifest {
  manifests?: { digest: string }[];
  config?: { digest: string };
  layers?: { digest: string }[];
}

/** curl: the manifest of the tag, then everything that it names, all platforms. */
export function curl(rig: Rig, mirror: Pick<Hawker, 'url' | 'address'>): Client {
  const dir = join(rig.dir, `curl-${mirror.address.replace(':', '-')}`);

  async function fetchTree(base: string, path: string): Promise<string[]> {
    const file = join(dir, path.replaceAll(/[/:]/g, '_'));
    const accept = path.startsWith('manifests/') ? ['--header', `Accept: ${ACCEPT}`] : [];
    await must('curl', ['--silent', '--show-error', '--fail', ...accept, '--output', file, `${base}/${path}`]);
    const digests = [await hashFile(file)];
    if (!path.startsWith('manifests/')) return digests;
    const { manifests = [], config, layers = [] } = JSON.parse(await readFile(file, 'utf8')) as AnyManifest;
    for (const { digest } of manifests) digests.push(...(await fetchTree(base, `manifests/${digest}`)));
    for (const { digest } of [...(config ? [config] : []), ...layers]) {
      digests.push(...(await fetchTree(base, `blobs/${digest}`)));
    }
    return digests;
  }

  return {
    name: 'curl',
    anyRegistry: true,
    async pull({ repository, tag }, host) {
      await rm(dir, { recursive: true, force: true });
      await mkdir(dir);
      const digests = await fetchTree(`${mirror.url}/v2/${host}/${repository}`, `manifests/${tag}`);
      await rm(dir, { recursive: true });
      return [...new Set(digests)].sort();
    },
    expected: ({ digest, images }: Published) =>
      [...new Set([digest, ...images.flatMap(({ manifest, blobs }) => [manifest.digest, ...blobs.keys()])])].sort(),
  };
}
