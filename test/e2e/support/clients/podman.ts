import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Hawker } from '../hawker.ts';
import { SECOND_UPSTREAM } from '../hawker.ts';
import type { Published } from '../images.ts';
import { must } from '../programs.ts';
import type { Rig } from '../rig.ts';
import { authJson, type Client, hashFile, runBy, type Setup } from './client.ts';

const PULL_BOUND_MS = 180_000;

/** podman, with the mirror in registries.conf as a README would have it: by path prefix. */
export async function podman(
  rig: Rig,
  mirror: Pick<Hawker, 'url' | 'address'>,
  { name: folder = 'podman', by = [], login, bound = false, certificates }: Setup = {},
): Promise<Client> {
  const dir = await rig.folder(folder);
  const file = (name: string) => join(dir, name);
  const registries = (bound ? ['docker.io'] : ['docker.io', SECOND_UPSTREAM]).map(
    (host) => `[[registry]]
prefix = "${host}"
location = "${host}"
[[registry.mirror]]
location = "${bound ? mirror.address : `${mirror.address}/${host}`}"
${certificates ? '' : 'insecure = true\n'}`,
  );
  await writeFile(file('registries.conf'), registries.join('\n'));
  await writeFile(file('containers.conf'), '');
  await writeFile(
    file('storage.conf'),
    `[storage]\ndriver = "vfs"\ngraphroot = "${file('graph')}"\nrunroot = "${file('run')}"\n`,
  );
  // What --creds says goes to no mirror.
  await writeFile(file('auth.json'), authJson(mirror.address, login));
  await writeFile(file('policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  const env = rig.environment({
    CONTAINERS_REGISTRIES_CONF: file('registries.conf'),
    CONTAINERS_STORAGE_CONF: file('storage.conf'),
    CONTAINERS_CONF: file('containers.conf'),
    REGISTRY_AUTH_FILE: file('auth.json'),
    XDG_RUNTIME_DIR: await rig.folder(`${folder}/xdg`),
    TMPDIR: await rig.folder(`${folder}/tmp`),
  });
  const storage = ['--root', file('graph'), '--runroot', file('run'), '--tmpdir', file('libpod')];
  const command = async (...args: string[]) =>
    await must(
      ...runBy(by, 'podman', [...storage, '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs', ...args]),
      {
        env,
        boundMs: PULL_BOUND_MS,
      },
    );
  const certDir = certificates ? ['--cert-dir', certificates] : [];
  const forget = async () => {
    for (const name of ['graph', 'run', 'libpod', 'saved']) await rm(file(name), { recursive: true, force: true });
  };

  return {
    name: 'podman',
    anyRegistry: !bound,
    async pull({ repository, tag }, host) {
      await forget();
      const name = `${host}/${repository}:${tag}`;
      await command('pull', '--quiet', ...certDir, '--signature-policy', file('policy.json'), name);
      await command(
        'save',
        '--quiet',
        '--format',
        'docker-dir',
        '--signature-policy',
        file('policy.json'),
        '--output',
        file('saved'),
        name,
      );
      const manifest = JSON.parse(await readFile(file('saved/manifest.json'), 'utf8')) as SavedManifest;
      const digests: string[] = [];
      for (const { digest } of [manifest.config, ...manifest.layers]) {
        digests.push(await hashFile(file(`saved/${digest.slice('sha256:'.length)}`)));
      }
      await forget();
      return digests.sort();
    },
    expected: ({ native }: Published) => [native.config, ...native.diffIds].sort(),
  };
}

interface SavedManifest {
  config: { digest: string };
  layers: { digest: string }[];
}
