import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import t from 'tap';
import { setupRig } from './rig.ts';

const CONFIG = [resolve(import.meta.dirname, '../../config'), resolve(import.meta.dirname, '../../../config')].find(
  (path) => existsSync(path),
)!;

t.test('the ready files of config/ are what setup writes', async (t) => {
  const files: readonly [argv: string[], ready: string, path: string][] = [
    [['docker'], 'docker/daemon.json', '/etc/docker/daemon.json'],
    [['containerd', '--registry', '*'], 'containerd/hosts.toml', '/etc/containerd/certs.d/_default/hosts.toml'],
    [['podman'], 'podman/50-hawker.conf', '/etc/containers/registries.conf.d/50-hawker.conf'],
    [['k3s', '--registry', '*'], 'k3s/registries.yaml', '/etc/rancher/k3s/registries.yaml'],
  ];
  for (const [argv, ready, path] of files) {
    const rig = await setupRig(t);
    await rig.setup([...argv, '--yes', '--no-verify']);
    t.equal(await rig.read(path), await readFile(`${CONFIG}/${ready}`, 'utf8'), ready);
  }
});
