/**
 * The image of the Dockerfile, built by podman upon this machine's own Node, as no registry is at hand: it runs as nobody in
 * particular, with its system read-only and without any capability, and serves a pull. So do the containers of config/kubernetes, each as
 * its manifest has it, with a real containerd on their node.
 */
import { chmod, chown, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { plainManifests, ROOT, titleOf } from '../support/manifests.ts';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { hashFile } from './support/clients/client.ts';
import { Podman, PODMAN_PROGRAMS } from './support/containers.ts';
import { listeningAddress } from './support/hawker.ts';
import { BUILD_PROGRAMS, buildImage } from './support/image.ts';
import { publishImage, publishLarge } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { containerOf, type Node, type Pod, podOf, probeUrl, runArguments } from './support/pods.ts';
import { must, run } from './support/programs.ts';
import { e2e, type Rig } from './support/rig.ts';
import { seccompProfile } from './support/syscall-filter.ts';

const BOUND_MS = 60_000;
const STOP_S = '20';
const MiB = 1024 * 1024;
/** Of Node alone it is about 100. */
const LARGEST_MIB = 160;
const USER = 65532;
const IMAGE = 'localhost/hawker';
const HARDENED = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'];
const DOCKER_HUB_HOSTS = 'containerd/certs.d/docker.io/hosts.toml';

interface Inspected {
  readonly Size: number;
  readonly User: string;
  readonly Config: { readonly Cmd: string[]; readonly Entrypoint: string[]; readonly Volumes: object };
  readonly HealthCheck?: { readonly Test: string[] };
  readonly Healthcheck?: { readonly Test: string[] };
}

e2e(
  t,
  'the image',
  [...ORIGIN_PROGRAMS, ...PODMAN_PROGRAMS, ...BUILD_PROGRAMS, 'curl', 'systemd-analyze', 'containerd', 'ctr'],
  async (t, rig) => {
    await chmod(rig.dir, 0o755);
    const podman = await Podman.create(rig);
    await t.test('is built, and holds what runs and no more', async (t) => {
      await buildImage(rig, podman, IMAGE);
      await looksRight(t, podman);
    });
    if (!t.passing()) return;
    const origin = await Origin.start(rig);
    await t.test('serves a pull, says how it is, and ends on SIGTERM', (t) => servesPull(t, rig, podman, origin));
    await t.test('works on a node of Kubernetes as the manifests have it', (t) =>
      worksAsInKubernetes(t, rig, podman, origin),
    );
  },
);

async function inspect(podman: Podman): Promise<Inspected & { readonly health: readonly string[] }> {
  const [about] = JSON.parse(await podman.must('image', 'inspect', IMAGE)) as [Inspected];
  return { ...about, health: (about.Healthcheck ?? about.HealthCheck)?.Test ?? [] };
}

async function looksRight(t: Test, podman: Podman): Promise<void> {
  const about = await inspect(podman);
  t.equal(about.User, `${USER}:${USER}`);
  t.match(about.Config, { Cmd: ['up'], Volumes: { '/var/lib/hawker': {} } });
  t.equal(about.health[0], 'CMD', 'a check without a shell');
  t.comment(`${Math.round(about.Size / MiB)} MiB`);
  t.ok(about.Size < LARGEST_MIB * MiB, `${about.Size} bytes`);

  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const told = await podman.container(...HARDENED, IMAGE, 'version');
  t.match(told.stdout, version, told.stderr);
  const shell = await podman.container('--entrypoint', 'sh', IMAGE, '-c', 'true');
  t.match(shell.stderr, /executable file `sh` not found/, 'no shell');
  const look = `
    const all = fs.readdirSync('/opt/hawker', { recursive: true });
    const odd = all.filter((path) => /\\.map$|\\.ts$|^node_modules.(?:typescript|tap)$/.test(path));
    console.log(JSON.stringify([fs.readdirSync('/opt/hawker'), odd]));`;
  const { stdout, stderr } = await podman.container('--entrypoint', 'node', IMAGE, '--eval', look);
  t.equal(stderr, '');
  t.same(JSON.parse(stdout || '0'), [['LICENSE', 'config', 'dist', 'node_modules', 'package.json'], []]);
}

async function servesPull(t: Test, rig: Rig, podman: Podman, origin: Origin): Promise<void> {
  const image = await publishLarge(rig, origin, 'library/large', 2 * MiB);
  const layer = image.native.layers[0]!;
  const etc = await rig.folder('image-etc');
  await writeSecret(etc, 'join-secret');
  const any = { listen: '127.0.0.1:0' };
  const config = { proxy: any, peer: any, cluster: { secretFile: '/etc/hawker/join-secret' } };
  const upstreams = { 'docker.io': { url: origin.url } };
  await writeFile(join(etc, 'hawker.yaml'), JSON.stringify({ ...config, upstreams, log: { format: 'json' } }));
  const mounts = ['--volume', `${etc}:/etc/hawker:ro`];
  // With no more system calls than the unit of systemd leaves to a service.
  const unit = await readFile(join(ROOT, 'config/systemd/hawker-up.service'), 'utf8');
  const seccomp = join(rig.dir, 'seccomp.json');
  await writeFile(seccomp, await seccompProfile(unit));
  const filtered = ['--security-opt', 'no-new-privileges', '--security-opt', `seccomp=${seccomp}`];
  const daemon = podman.daemon(
    'image',
    ...(await docsOptions()),
    ...filtered,
    ...mounts,
    IMAGE,
    'up',
    '--config',
    '/etc/hawker/hawker.yaml',
  );
  const mirror = await daemon.ready('LISTENING', BOUND_MS, () => listeningAddress(daemon.log(), 'mirror'));
  const file = join(rig.dir, 'pulled');
  const url = `http://${mirror}/v2/${image.repository}/blobs/${layer}`;
  for (const from of ['origin', 'store']) {
    const head = await must('curl', ['-sS', '--fail', '--dump-header', '-', '--output', file, url]);
    t.match(head.toLowerCase(), `x-hawker-source: ${from}`);
    t.equal(await hashFile(file), layer);
  }
  for (const port of [65003, 6789]) {
    for (const path of ['livez', 'readyz']) t.ok(await isOk(`http://127.0.0.1:${port}/${path}`), `${port} ${path}`);
  }
  const { health } = await inspect(podman);
  const healthy = await podman.run('exec', 'image', ...health.slice(1));
  t.equal(healthy.code, 0, `its health check: ${healthy.stderr}`);
  const user = await podman.run('exec', 'image', 'node', '--print', 'process.getuid()');
  t.equal(user.stdout.trim(), `${USER}`);
  await podman.must('kill', '--signal', 'HUP', 'image');
  await daemon.ready('reloaded', BOUND_MS, () => daemon.log().includes('CONFIG_RELOADED'));
  await podman.must('stop', '--time', STOP_S, 'image');
  t.equal(await daemon.ended(BOUND_MS), 0, 'it ends well on SIGTERM');
  const ill = await podman.container('--entrypoint', health[1]!, IMAGE, ...health.slice(2));
  t.equal(ill.code, 1, 'nothing listens: not healthy');
}

/** Of `docker run` in docs/install.md, but for what a container of the test has its own of: to be in front, name, network, image. */
async function docsOptions(): Promise<string[]> {
  const text = await readFile(join(ROOT, 'docs/install.md'), 'utf8');
  const [, options] = /^docker run --detach --name hawker --network host (.*) hawker$/m.exec(text) ?? [];
  if (!options?.includes('--read-only --cap-drop ALL')) throw new Error('docs/install.md has another docker run');
  return options.split(' ');
}

const isOk = async (url: string) => (await fetch(url).catch(() => undefined))?.ok;

/** As a Secret of Kubernetes comes: root's, readable by the pod's group. */
async function writeSecret(dir: string, name: string): Promise<void> {
  const file = join(dir, name);
  await writeFile(file, name.padEnd(43, 'x'), { mode: 0o440 });
  await chown(file, 0, USER);
}

/** A node as a kubelet sees it, before it runs the pods: what their volumes hold. */
async function makeNode(rig: Rig, origin: Origin, configMap: string): Promise<Node> {
  const volumes: Record<string, string> = {};
  for (const name of ['config', 'secrets', 'store', 'containerd', 'setup-record'])
    volumes[name] = await rig.folder(`node/${name}`);
  // As docs/kubernetes.md has it for a registry of one's own.
  const config = { ...(parse(configMap) as object), upstreams: { 'docker.io': { url: origin.url } } };
  await writeFile(join(volumes['config']!, 'hawker.yaml'), JSON.stringify(config));
  for (const name of ['join-secret', 'operator-token']) await writeSecret(volumes['secrets']!, name);
  return { volumes, address: '127.0.0.1' };
}

async function worksAsInKubernetes(t: Test, rig: Rig, podman: Podman, origin: Origin): Promise<void> {
  const manifests = new Map(plainManifests().map((each) => [titleOf(each), each]));
  const config = (manifests.get('ConfigMap hawker')!['data'] as Record<string, string>)['hawker.yaml']!;
  const [proxies, supernodes] = ['DaemonSet hawker-proxy', 'StatefulSet hawker-supernode'].map((title) =>
    podOf(manifests.get(title)!),
  ) as [Pod, Pod];
  const node = await makeNode(rig, origin, config);
  // The first of the supernodes, by its name; there is no other.
  const names = ['--add-host', `${new URL(parse(config).supernodes[0] as string).hostname}:127.0.0.1`];
  const start = (pod: Pod, name: string) =>
    podman.daemon(name, ...names, ...runArguments(pod, containerOf(pod, name), IMAGE, node));

  const containerd = await startContainerd(rig, node);
  for (const time of ['first', 'second']) {
    for (const container of proxies.initContainers!) {
      const { code, stdout, stderr } = await podman.container(...runArguments(proxies, container, IMAGE, node));
      t.equal(code, 0, `${container.name}, the ${time} time: ${stdout}${stderr}`);
    }
  }
  const { uid, mode } = await stat(node.volumes['store']!);
  t.same([uid, mode & 0o777], [USER, 0o700]);
  t.match(await readFile(join(containerd.etc, DOCKER_HUB_HOSTS), 'utf8'), 'http://127.0.0.1:65001');
  t.match(await containerd.effective(), /config_path = "\/etc\/containerd\/certs\.d"/, 'the real one takes it');

  const daemons = [start(supernodes, 'supernode'), start(proxies, 'proxy'), start(proxies, 'containerd-undo')];
  for (const [i, pod] of [supernodes, proxies].entries()) {
    for (const probe of ['livenessProbe', 'readinessProbe'] as const)
      await daemons[i]!.ready(probe, BOUND_MS, () => isOk(probeUrl(pod.containers[0]!, probe)));
  }
  const image = await publishImage(rig, origin);
  await containerd.pull(`docker.io/${image.repository}:${image.tag}`);

  const peers = await (
    await docsCommands()
  ).reduce(async (before, [container, ...command]) => {
    await before;
    const { code, stdout, stderr } = await podman.run('exec', container!, ...command);
    t.equal(code, 0, `${command.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  }, Promise.resolve(''));
  t.match(peers, /^1 peer|ready/m, peers);

  const { command } = containerOf(proxies, 'containerd-undo').lifecycle!.preStop.exec;
  const undone = await podman.run('exec', 'containerd-undo', ...command);
  t.equal(undone.code, 0, undone.stdout + undone.stderr);
  t.equal(await readFile(containerd.file, 'utf8'), containerd.text, 'as it was');
  await t.rejects(stat(join(containerd.etc, 'containerd/certs.d')), { code: 'ENOENT' });
  for (const daemon of daemons.toReversed()) {
    await podman.must('stop', '--time', STOP_S, daemon.name);
    t.equal(await daemon.ended(BOUND_MS), 0, `${daemon.name} ends on SIGTERM`);
  }
}

/** What docs/kubernetes.md runs in the containers: `kubectl exec … --container NAME -- COMMAND…`, the last one `hawker peers`. */
async function docsCommands(): Promise<string[][]> {
  const text = await readFile(join(ROOT, 'docs/kubernetes.md'), 'utf8');
  const found = text.matchAll(/^kubectl .* exec .* --container (\S+) -- ([^#\n]+)/gm);
  return [...found].map(([, container, command]) => [container!, ...command!.trim().split(/ +/)]);
}

/** The node's containerd; its configuration is in the volume that the pods write to. */
async function startContainerd(rig: Rig, node: Node) {
  const etc = join(node.volumes['containerd']!, '..');
  const file = join(node.volumes['containerd']!, 'config.toml');
  const dir = await rig.folder('containerd-data');
  const socket = join(dir, 'c.sock');
  const text = `version = 2
root = "${dir}/root" # ours
state = "${dir}/state"
[grpc]
address = "${socket}"
[ttrpc]
address = "${socket}.ttrpc"
`;
  await writeFile(file, text);
  const daemon = rig.daemon('containerd', 'containerd', ['--config', file]);
  const ctr = ['--address', socket, '--namespace', 'k8s.io'];
  await daemon.ready('ctr version', BOUND_MS, async () => (await run('ctr', [...ctr, 'version'])).code === 0);
  return {
    etc,
    file,
    text,
    effective: () => must('containerd', ['--config', file, 'config', 'dump']),
    /** There is no network here: what comes has come through the mirror. */
    pull: async (reference: string) => {
      const hosts = join(node.volumes['containerd']!, 'certs.d');
      await must('ctr', [...ctr, 'content', 'fetch', '--hosts-dir', hosts, reference], { boundMs: BOUND_MS });
    },
  };
}
