import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Network } from '../../../../scripts/netns/network.ts';
import { hubServer, HUB } from '../hub.ts';
import { publishNamed } from '../images.ts';
import { Origin } from '../origin.ts';
import { must } from '../programs.ts';
import type { Rig } from '../rig.ts';
import { Machine } from './machine.ts';
import { writePrograms } from './programs.ts';

const MiB = 1024 * 1024;
const ROOT = fileURLToPath(new URL('../../../../../', import.meta.url));
/** This process, on the machines' network: their router. */
const ROUTER = '10.0.0.254';
/** A public address, for a private one would be refused as Docker Hub's; nothing of these namespaces leads out. */
const HUB_ADDRESS = '44.44.44.44';
/** containerd's, as Debian's package has it. */
const CONTAINERD_CONFIG = `version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
      conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd/opt"
`;

/** What the walk needs around it, on a machine that has no network. */
export interface World {
  readonly machines: ReadonlyMap<string, Machine>;
  /** A clean clone, as the machine `supernode` has it, with what `npm ci` has brought. */
  readonly clone: string;
  /** Of all blobs, in bytes: what Docker Hub has, and what it has been asked for. */
  readonly hub: { has: number; sent: number };
}

/** `addresses` of machines by name; `runtimes`: those that run docker and containerd. `images`: what Docker Hub has, by repository and tag. */
export async function createWorld(
  rig: Rig,
  {
    addresses,
    runtimes,
    images,
  }: {
    readonly addresses: Readonly<Record<string, string>>;
    readonly runtimes: readonly string[];
    readonly images: readonly string[];
  },
): Promise<World> {
  const network = await Network.create();
  rig.onClosed(() => network.close());
  await network.ownAddress(ROUTER);
  await must('ip', ['address', 'add', `${HUB_ADDRESS}/32`, 'dev', 'bridge']);
  const hub = { has: 0, sent: 0 };
  const certificate = await startHub(rig, images, hub);

  const clone = await cleanClone(rig);
  const names = Object.keys(addresses);
  const dirs = Object.fromEntries(names.map((name) => [addresses[name]!, join(rig.dir, name)]));
  const programs = await writePrograms(join(rig.dir, 'programs'), dirs);
  const global = await rig.folder('global');
  const machines = new Map<string, Machine>();
  const authorities = await readFile('/etc/ssl/certs/ca-certificates.crt', 'utf8').catch(() => '');
  for (const name of names) {
    const host = await network.host(name, addresses[name]!);
    await must('ip', ['-n', name, 'route', 'add', 'default', 'via', ROUTER]);
    const machine = await Machine.boot(rig, {
      host,
      etc: {
        hosts: `127.0.0.1 localhost ${name}\n${HUB_ADDRESS} ${HUB}\n`,
        'resolv.conf': '',
        'ssl/certs/ca-certificates.crt': `${authorities}${await readFile(certificate, 'utf8')}`,
        docker: null,
        hawker: null,
        containerd: null,
        'containerd/config.toml': CONTAINERD_CONFIG,
      },
      path: [programs, join(global, 'bin'), dirname(process.execPath), process.env['PATH'], '/usr/sbin:/sbin'].join(
        ':',
      ),
      env: {
        NODE_EXTRA_CA_CERTS: certificate,
        npm_config_prefix: global,
        npm_config_cache: join(rig.dir, 'npm-cache'),
        npm_config_offline: 'true',
        npm_config_update_notifier: 'false',
      },
    });
    machines.set(name, machine);
  }
  await Promise.all(
    runtimes.map((name) => machines.get(name)!.must('systemctl start containerd; systemctl start docker')),
  );
  return { machines, clone, hub };
}

/** Docker Hub at its own name, with these images; its certificate's file. */
async function startHub(rig: Rig, images: readonly string[], hub: World['hub']): Promise<string> {
  const origin = await Origin.start(rig);
  for (const image of images) {
    const [repository = '', tag = ''] = image.split(':');
    const { blobs } = await publishNamed(rig, origin, { repository, tag, sizes: [3 * MiB, 9 * MiB, 20_000] });
    for (const bytes of blobs.values()) hub.has += bytes;
  }
  const { tls, cert } = await hubServer(rig, origin.url, (method, url, bytes) => {
    if (method === 'GET' && url.includes('/blobs/sha256')) hub.sent += bytes;
  });
  const sockets = new Set<Socket>();
  tls.on('connection', (socket: Socket) => sockets.add(socket.once('close', () => sockets.delete(socket))));
  await once(tls.listen(443, HUB_ADDRESS), 'listening');
  rig.onClose(async () => {
    for (const socket of sockets) socket.destroy();
    await once(tls.close(), 'close');
  });
  return cert;
}

/** What git would check out, and what `npm ci` would bring, which is there already: the same folder, mounted. */
async function cleanClone(rig: Rig): Promise<string> {
  const clone = await rig.folder('hawker');
  const files = (await must('git', ['-C', ROOT, 'ls-files', '--cached', '--others', '--exclude-standard'])).trim();
  const list = join(rig.dir, 'files');
  await writeFile(list, files);
  await must('sh', ['-ec', 'tar -C "$1" -c -T "$2" | tar -C "$3" -x', 'clone', ROOT, list, clone]);
  const modules = join(clone, 'node_modules');
  await must('mkdir', [modules]);
  await must('mount', ['--bind', join(ROOT, 'node_modules'), modules]);
  return clone;
}
