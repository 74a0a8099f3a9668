/**
 * The image of the Dockerfile, built by podman upon this machine's own Node, as no registry is at hand: it runs as nobody in
 * particular, with its system read-only and without any capability, and serves a pull. So do the containers of config/kubernetes.
 */
import { chmod, chown, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { plainManifests, ROOT, titleOf } from '../support/manifests.ts';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { hashFile } from './support/clients/client.ts';
import { listeningAddress } from './support/hawker.ts';
import { publishLarge } from './support/images.ts';
import { localBases } from './support/local-bases.ts';
import { Origin } from './support/origin.ts';
import { type Daemon, type Finished, must, run } from './support/programs.ts';
import { e2e, type Rig } from './support/rig.ts';
import { seccompProfile } from './support/syscall-filter.ts';

const BUILD_BOUND_MS = 400_000;
const BOUND_MS = 60_000;
const MiB = 1024 * 1024;
const USER = 65532;
const IMAGE = 'localhost/hawker';
const HARDENED = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'];

class Podman {
  readonly #rig: Rig;
  readonly #options: string[];
  readonly #env: NodeJS.ProcessEnv;

  private constructor(rig: Rig, dir: string) {
    this.#rig = rig;
    const folder = (name: string) => join(dir, name);
    this.#options = ['--root', folder('graph'), '--runroot', folder('run'), '--tmpdir', folder('libpod')];
    this.#options.push('--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs', '--events-backend', 'file');
    this.#env = rig.environment({ TMPDIR: dir, XDG_RUNTIME_DIR: dir, CONTAINERS_CONF: '/dev/null' });
  }

  static async create(rig: Rig): Promise<Podman> {
    return new Podman(rig, await rig.folder('podman'));
  }

  async run(...args: string[]): Promise<Finished> {
    return await run('podman', [...this.#options, ...args], { env: this.#env, boundMs: BUILD_BOUND_MS });
  }

  async must(...args: string[]): Promise<string> {
    return await must('podman', [...this.#options, ...args], { env: this.#env, boundMs: BUILD_BOUND_MS });
  }

  /** A container of the image that goes with its end; its network is this machine's. */
  container(...args: string[]): Promise<Finished> {
    return this.run('run', ...CONTAINER, ...args);
  }

  daemon(name: string, ...args: string[]): Daemon {
    return this.#rig.daemon(
      name,
      'podman',
      [...this.#options, 'run', ...CONTAINER, '--name', name, ...args],
      this.#env,
    );
  }
}

/** No timers of systemd for the health check, no cgroups: the sandbox has neither. */
const CONTAINER = ['--rm', '--network', 'host', '--cgroups', 'disabled', '--no-healthcheck', '--pull', 'never'];

async function buildImage(rig: Rig, podman: Podman): Promise<void> {
  const roots = await localBases(await rig.folder('bases'));
  for (const [name, root] of Object.entries(roots)) {
    const tar = join(rig.dir, `${name}.tar`);
    await must('tar', ['--create', '--file', tar, '--directory', root, '.']);
    await podman.must('import', '--quiet', tar, `localhost/hawker-${name}:latest`);
  }
  // What `npm ci` of this tree has left in npm's cache is all that the build needs.
  const cache = (await must('npm', ['config', 'get', 'cache'])).trim();
  const npmrc = join(rig.dir, 'npmrc');
  await writeFile(npmrc, 'cache=/npm-cache\noffline=true\nupdate-notifier=false\n');
  const arg = (name: string) => ['--build-arg', `${name.toUpperCase()}=localhost/hawker-${name}:latest`];
  const mounts = ['--volume', `${cache}:/npm-cache:O`, '--volume', `${npmrc}:/root/.npmrc:ro`];
  const how = ['--format', 'docker', '--layers=false', '--isolation', 'chroot', '--network', 'host', '--pull=never'];
  await podman.must('build', '--quiet', ...how, ...mounts, ...arg('build'), ...arg('base'), '--tag', IMAGE, ROOT);
}

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
  [...ORIGIN_PROGRAMS, 'podman', 'runc', 'tar', 'curl', 'npm', 'ldd', 'systemd-analyze'],
  async (t, rig) => {
    const podman = await Podman.create(rig);
    await buildImage(rig, podman);
    const [about] = JSON.parse(await podman.must('image', 'inspect', IMAGE)) as [Inspected];
    t.equal(about.User, `${USER}:${USER}`);
    t.match(about.Config, { Cmd: ['up'], Volumes: { '/var/lib/hawker': {} } });
    const health = (about.Healthcheck ?? about.HealthCheck)?.Test;
    t.equal(health?.[0], 'CMD', 'a check without a shell');
    t.comment(`${Math.round(about.Size / MiB)} MiB`);

    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    const told = await podman.container(...HARDENED, IMAGE, 'version');
    t.match(told.stdout, version, told.stderr);
    const shell = await podman.container('--entrypoint', 'sh', IMAGE, '-c', 'true');
    t.not(shell.code, 0, 'no shell');
    const look =
      "console.log(JSON.stringify([fs.existsSync('/opt/hawker/node_modules/typescript'), fs.readdirSync('/opt/hawker')]))";
    const { stdout } = await podman.container('--entrypoint', 'node', IMAGE, '--eval', look);
    t.same(JSON.parse(stdout), [false, ['LICENSE', 'config', 'dist', 'node_modules', 'package.json']]);

    await servesPull(t, rig, podman, health!.slice(1));
    await worksAsInKubernetes(t, rig, podman);
  },
);

async function servesPull(t: Test, rig: Rig, podman: Podman, health: string[]): Promise<void> {
  const origin = await Origin.start(rig);
  const image = await publishLarge(rig, origin, 'library/large', 2 * MiB);
  const layer = image.native.layers[0]!;
  const etc = await rig.folder('image-etc');
  await chmod(rig.dir, 0o755);
  const secret = join(etc, 'join-secret');
  await writeFile(secret, 'x'.repeat(43), { mode: 0o440 });
  // As a Secret of Kubernetes comes: root's, readable by the pod's group.
  await chown(secret, 0, USER);
  const any = { listen: '127.0.0.1:0' };
  const config = { proxy: any, peer: any, supernode: any, cluster: { secretFile: '/etc/hawker/join-secret' } };
  const upstreams = { 'docker.io': { url: origin.url } };
  await writeFile(join(etc, 'hawker.yaml'), JSON.stringify({ ...config, upstreams, log: { format: 'json' } }));
  const mounts = ['--volume', `${etc}:/etc/hawker:ro`, '--volume', 'hawker-store:/var/lib/hawker'];
  // With no more system calls than the unit of systemd leaves to a service.
  const unit = await readFile(join(ROOT, 'config/systemd/hawker-up.service'), 'utf8');
  const seccomp = join(rig.dir, 'seccomp.json');
  await writeFile(seccomp, await seccompProfile(unit));
  const filtered = [...HARDENED, '--security-opt', `seccomp=${seccomp}`];
  const daemon = podman.daemon('image', ...filtered, ...mounts, IMAGE, 'up', '--config', '/etc/hawker/hawker.yaml');
  const mirror = await daemon.ready('LISTENING', BOUND_MS, () => listeningAddress(daemon.log(), 'mirror'));
  const file = join(rig.dir, 'pulled');
  const url = `http://${mirror}/v2/${image.repository}/blobs/${layer}`;
  for (const from of ['origin', 'store']) {
    const head = await must('curl', ['-sS', '--fail', '--dump-header', '-', '--output', file, url]);
    t.match(head.toLowerCase(), `x-hawker-source: ${from}`);
    t.equal(await hashFile(file), layer);
  }
  const healthy = await podman.run('exec', 'image', ...health);
  t.equal(healthy.code, 0, `its health check: ${healthy.stderr}`);
  const user = await podman.run('exec', 'image', 'node', '--print', 'process.getuid()');
  t.equal(user.stdout.trim(), `${USER}`);
  await podman.must('stop', '--time', '20', 'image');
  t.equal(await daemon.ended(BOUND_MS), 0, 'it ends well on SIGTERM');
  const ill = await podman.container('--entrypoint', health[0]!, IMAGE, ...health.slice(1));
  t.equal(ill.code, 1, 'nothing listens: not healthy');
}

interface Container {
  readonly name: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly lifecycle?: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
}

/** What the DaemonSet runs on a node as root, with what it has there and no more. */
async function worksAsInKubernetes(t: Test, rig: Rig, podman: Podman): Promise<void> {
  const manifests = plainManifests();
  const config = manifests.find((each) => titleOf(each) === 'ConfigMap hawker') as unknown as {
    data: Record<string, string>;
  };
  const { spec } = manifests.find((each) => titleOf(each) === 'DaemonSet hawker-proxy') as unknown as {
    spec: { template: { spec: { initContainers: Container[]; containers: Container[] } } };
  };
  const { initContainers, containers } = spec.template.spec;
  const named = (name: string) => [...initContainers, ...containers].find((each) => each.name === name)!;
  const asRoot = [...HARDENED, '--user', '0:0'];

  const store = await rig.folder('node-store');
  const [node, ...evaluated] = named('store').command!;
  for (const time of ['first', 'second']) {
    const made = await podman.container(
      ...asRoot,
      '--cap-add',
      'CHOWN',
      '--volume',
      `${store}:/var/lib/hawker`,
      '--entrypoint',
      node!,
      IMAGE,
      ...evaluated,
    );
    t.equal(made.code, 0, `the ${time} time: ${made.stderr}`);
  }
  const { uid, mode } = await stat(store);
  t.same([uid, mode & 0o777], [USER, 0o700]);

  const host = await rig.folder('node-etc');
  await mkdir(join(host, 'containerd'));
  await mkdir(join(host, 'hawker'));
  const yaml = join(rig.dir, 'node.yaml');
  await writeFile(yaml, config.data['hawker.yaml']!, { mode: 0o644 });
  const hostMounts = ['--volume', `${host}/containerd:/host/etc/containerd`];
  hostMounts.push('--volume', `${host}/hawker:/host/etc/hawker`);
  const own = ['--volume', `${yaml}:/etc/hawker/hawker.yaml:ro`];
  const setUp = await podman.container(...asRoot, ...hostMounts, ...own, IMAGE, ...named('containerd-setup').args!);
  t.equal(setUp.code, 0, setUp.stdout + setUp.stderr);
  const hosts = join(host, 'containerd/certs.d/docker.io/hosts.toml');
  t.match(await readFile(hosts, 'utf8'), 'http://127.0.0.1:65001');

  const undo = named('containerd-undo');
  const [waiter, ...waits] = undo.command!;
  const daemon = podman.daemon('undo', ...asRoot, ...hostMounts, '--entrypoint', waiter!, IMAGE, ...waits);
  await daemon.ready('exec', BOUND_MS, async () => (await podman.run('exec', 'undo', 'node', '--version')).code === 0);
  const undone = await podman.run('exec', 'undo', ...undo.lifecycle!.preStop.exec.command);
  t.equal(undone.code, 0, undone.stdout + undone.stderr);
  await t.rejects(readFile(hosts), { code: 'ENOENT' });
  await podman.must('stop', '--time', '20', 'undo');
  t.equal(await daemon.ended(BOUND_MS), 0, 'it waits for SIGTERM, no longer');
}
