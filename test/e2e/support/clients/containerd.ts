import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Hawker } from '../hawker.ts';
import { SECOND_UPSTREAM } from '../hawker.ts';
import type { Published } from '../images.ts';
import type { User } from '../private-origin.ts';
import { must, run } from '../programs.ts';
import type { Rig } from '../rig.ts';
import { until } from '../wait.ts';
import { basicOf, hashFiles, runBy, type Setup, type StepwiseClient } from './client.ts';
import { overlayWorks } from './overlay.ts';

const START_BOUND_MS = 20_000;
const PULL_BOUND_MS = 180_000;
const FORGET_BOUND_MS = 10_000;

/** containerd, by ctr with a hosts directory: the mirror alone, without the registry behind it. */
export async function containerd(
  rig: Rig,
  mirror: Pick<Hawker, 'url' | 'address'>,
  name = 'containerd',
  user?: User,
  { by = [], login, certificates }: Setup = {},
): Promise<StepwiseClient> {
  const dir = await rig.folder(name);
  const socket = join(dir, 'c.sock');
  await writeFile(join(dir, 'config.toml'), daemonConfig(dir, socket));
  const hosts = join(dir, 'hosts');
  for (const host of ['docker.io', SECOND_UPSTREAM]) {
    await mkdir(join(hosts, host), { recursive: true });
    await writeFile(join(hosts, host, 'hosts.toml'), hostsToml(mirror.url, login, certificates));
  }
  const daemon = rig.daemon(name, 'containerd', ['--config', join(dir, 'config.toml')]);
  const ctr = ['--address', socket, '--namespace', 'e2e'];
  await daemon.ready('ctr version', START_BOUND_MS, async () => (await run('ctr', [...ctr, 'version'])).code === 0);
  const content = join(dir, 'root/io.containerd.content.v1.content/blobs/sha256');
  const snapshotter = (await overlayWorks(rig)) ? 'overlayfs' : 'native';

  const forget = async () => {
    for (const name of (await must('ctr', [...ctr, 'images', 'ls', '--quiet'])).split('\n').filter(Boolean)) {
      await must('ctr', [...ctr, 'images', 'rm', '--sync', name]);
    }
    await until(
      'containerd forgets',
      FORGET_BOUND_MS,
      async () => (await readdir(content).catch(() => [])).length === 0,
    );
  };

  const fetch = async ({ repository, tag }: Pick<Published, 'repository' | 'tag'>, host: string) => {
    const image = `${host}/${repository}:${tag}`;
    const own = user ? ['--user', `${user.name}:${user.password}`] : [];
    const pull = ['images', 'pull', '--hosts-dir', hosts, '--snapshotter', snapshotter, ...own, image];
    await must(...runBy(by, 'ctr', [...ctr, ...pull]), { boundMs: PULL_BOUND_MS });
  };

  return {
    name: 'containerd',
    anyRegistry: true,
    forget,
    fetch,
    async pull(image, host) {
      await forget();
      await fetch(image, host);
      return await hashFiles(content);
    },
    expected: ({ digest, native: { manifest, blobs } }: Published) =>
      [...new Set([digest, manifest.digest, ...blobs.keys()])].sort(),
  };
}

/** As docs/private-images.md has it; its one client may be known by a header or by a certificate. */
function hostsToml(url: string, login: User | undefined, certificates: string | undefined): string {
  const files = certificates
    ? `ca = "${certificates}/ca.crt"\nclient = [["${certificates}/client.cert", "${certificates}/client.key"]]\n`
    : '';
  const header = login ? `[host."${url}".header]\nAuthorization = ["${basicOf(login)}"]\n` : '';
  return `server = "${url}"
[host."${url}"]
capabilities = ["pull", "resolve"]
${files}${header}`;
}

function daemonConfig(dir: string, socket: string): string {
  const unused = ['aufs', 'btrfs', 'devmapper', 'zfs'].map((name) => `io.containerd.snapshotter.v1.${name}`);
  return `version = 2
root = "${dir}/root"
state = "${dir}/state"
disabled_plugins = ${JSON.stringify(['io.containerd.grpc.v1.cri', 'io.containerd.internal.v1.opt', ...unused])}
[grpc]
address = "${socket}"
[debug]
level = "warn"
[ttrpc]
address = "${socket}.ttrpc"
`;
}
