/**
 * `hawker setup` with the real daemons: each is set up in a system of the test's own, pulls through Hawker, pulls on when the proxy
 * is killed, and is as before when that is undone. Docker Hub is the test's own registry behind TLS, which the daemons find by an
 * HTTPS proxy: what setup writes is what it writes on any node.
 */
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { rigAt, type SetupRig } from '../setup/rig.ts';
import { TestCa } from '../support/test-ca.ts';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { Hawker, MAIN } from './support/hawker.ts';
import { startHub, type Hub } from './support/hub.ts';
import { publishImage, type Published } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { must, run, type Finished } from './support/programs.ts';
import { e2e, type Rig } from './support/rig.ts';

const START_BOUND_MS = 40_000;
const PULL_BOUND_MS = 120_000;

/** A node: its files, its proxy, and the registry that its runtimes take for Docker Hub. */
interface Node extends SetupRig {
  readonly hawker: Hawker;
  readonly hub: Hub;
  readonly image: Published;
  /** The registry’s URL. */
  readonly origin: string;
  readonly reference: string;
  /** `hawker setup`, as a process, with the configuration of the proxy. */
  run(argv: readonly string[], by?: readonly string[], env?: NodeJS.ProcessEnv): Promise<Finished>;
  /** Requests for manifests and blobs that the mirror has answered. */
  requests(): Promise<number>;
}

async function startNode(rig: Rig): Promise<Node> {
  const origin = await Origin.start(rig);
  const image = await publishImage(rig, origin);
  const hub = await startHub(rig, origin.url);
  const hawker = await Hawker.start(rig, 'hawker', origin.url);
  const root = await rig.folder('node');
  await mkdir(join(root, 'usr/bin'), { recursive: true });
  const config = join(rig.dir, 'node.json');
  const settings = { proxy: { listen: hawker.address }, api: { listen: hawker.api } };
  await writeFile(config, JSON.stringify(settings));
  return {
    ...rigAt(root),
    hawker,
    hub,
    image,
    origin: origin.url,
    reference: `docker.io/${image.repository}:${image.tag}`,
    run: (argv, by = [], env = {}) => {
      const [command, ...args] = [...by, process.execPath, MAIN, 'setup', ...argv, '--config', config];
      return run(command, args, { env: rig.environment(env) });
    },
    async requests() {
      const text = await (await fetch(`http://${hawker.api}/metrics`)).text();
      const counts = text.matchAll(/^hawker_http_requests_total\{handler="(?:manifests|blobs)".*\} (\d+)/gm);
      return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
    },
  };
}

/** Pulls, and forgets what was pulled. */
type Pull = () => Promise<unknown>;

/** Through the mirror, while it is there; then from Docker Hub. */
async function pullsBothWays(t: Test, node: Node, pull: Pull): Promise<void> {
  const [asked, hub] = [await node.requests(), node.hub.connections()];
  await pull();
  t.ok((await node.requests()) >= asked + 3, 'the mirror was asked for manifest and blobs');
  t.equal(node.hub.connections(), hub, 'Docker Hub was not');
  await node.hawker.kill9();
  await pull();
  t.ok(node.hub.connections() > hub, 'with the proxy killed, pulls go on to Docker Hub');
}

e2e(t, 'docker', [...ORIGIN_PROGRAMS, 'dockerd', 'containerd', 'runc', 'unshare', 'mount'], async (t, rig) => {
  const node = await startNode(rig);
  await node.write('/etc/docker/daemon.json', '{\n    "max-concurrent-downloads": 2,\n    "log-level": "warn"\n}\n');
  const before = await node.tree();
  await symlink('/usr/sbin/dockerd', join(node.root, 'usr/bin/dockerd'));
  const socket = join(node.root, 'var/run/docker.sock');
  await mkdir(dirname(socket), { recursive: true });
  const dir = await rig.folder('dockerd');
  const args = [
    '--config-file',
    join(node.root, 'etc/docker/daemon.json'),
    '--host',
    `unix://${socket}`,
    '--pidfile',
    join(node.root, 'var/run/docker.pid'),
    ...['data-root', 'exec-root'].flatMap((name) => [`--${name}`, join(dir, name)]),
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
    '--ip-forward=false',
    '--ip-masq=false',
    '--userland-proxy=false',
    '--storage-driver',
    'vfs',
  ];
  const env = { TMPDIR: dir, DOCKER_TMPDIR: dir, ...node.hub.env };
  const daemon = rig.daemon('dockerd', 'dockerd', args, env);
  const api = (method: string, path: string) =>
    must('curl', ['--silent', '--fail', '--unix-socket', socket, '--request', method, `http://d/v1.40${path}`]);
  await daemon.ready('GET /_ping', START_BOUND_MS, async () => (await api('GET', '/_ping').catch(() => '')) === 'OK');
  const name = `${node.image.repository}:${node.image.tag}`;
  const pull = async () => {
    const said = await api('POST', `/images/create?fromImage=${node.image.repository}&tag=${node.image.tag}`);
    if (said.includes('"error"')) throw new Error(said);
    await api('DELETE', `/images/${name}`);
  };

  const asked = await node.run(['docker', '--root', node.root]);
  t.equal(asked.code, 1, 'without a terminal nobody can be asked');
  t.match(asked.stderr, /SETUP_NOT_CONFIRMED: .*--yes/);
  const done = await node.run(['docker', '--root', node.root, '--yes', '--verify', node.reference]);
  t.equal(done.code, 0, done.stderr);
  t.match(done.stdout, `+    "registry-mirrors": ["${node.hawker.url}"]`);
  t.match(done.stdout, /Reloaded docker: .*\nVerified: docker\.io\/library\/app:v1 was pulled through the mirror/);
  t.equal(
    await api('GET', '/images/json?all=1').then((text) => text.trim()),
    '[]',
    'the trial pull leaves nothing behind',
  );
  await pullsBothWays(t, node, pull);
  const undone = await node.run(['docker', '--root', node.root, '--undo', '--yes']);
  t.equal(undone.code, 0, undone.stderr);
  t.match(undone.stdout, /To do: systemctl restart docker, or --restart here/);
  t.match(await api('GET', '/info'), node.hawker.address, 'a reload would not have made dockerd forget it');
  await daemon.stop();
  t.same(only(await node.tree(), /^etc/), only(before, /^etc/), 'all files are as before');

  const freeze = `mount --bind ${node.root} ${node.root}; mount -o remount,bind,ro ${node.root}; exec "$@"`;
  const frozen = await node.run(
    ['docker', '--root', node.root, '--yes'],
    ['unshare', '--mount', 'sh', '-c', freeze, 'sh'],
  );
  t.equal(frozen.code, 1);
  t.match(frozen.stderr, /SETUP_FILE_MANAGED: .*its file system is read-only; nothing was changed/);

  const flagged = rig.daemon('dockerd-flag', 'dockerd', [...args, '--registry-mirror', 'http://127.0.0.1:1'], env);
  await flagged.ready('GET /_ping', START_BOUND_MS, async () => (await api('GET', '/_ping').catch(() => '')) === 'OK');
  const conflict = await node.run(['docker', '--root', node.root, '--yes']);
  t.equal(conflict.code, 1);
  t.match(conflict.stderr, /SETUP_CONFLICT: .*--registry-mirror on its command line/);
  await flagged.stop();
});

e2e(
  t,
  'containerd',
  [...ORIGIN_PROGRAMS, 'containerd', 'ctr', 'runc', 'unshare', 'mount', 'openssl'],
  async (t, rig) => {
    const node = await startNode(rig);
    for (const name of ['containerd', 'ctr']) await symlink(`/usr/bin/${name}`, join(node.root, 'usr/bin', name));
    const socket = join(node.root, 'run/containerd/containerd.sock');
    const dir = await rig.folder('ctrd');
    const certs = join(node.root, 'etc/containerd/certs.d');
    await node.write(
      '/etc/containerd/config.toml',
      `version = 2
root = "${dir}/root" # ours
state = "${dir}/state"
[grpc]
address = "${socket}"
[ttrpc]
address = "${socket}.ttrpc"
[plugins."io.containerd.grpc.v1.cri".registry.headers]
X-Kept = ["yes"]
`,
    );
    const before = await node.tree();
    const config = join(node.root, 'etc/containerd/config.toml');
    const start = async (name: string) => {
      const daemon = rig.daemon(name, 'containerd', ['--config', config]);
      await daemon.ready('ctr version', START_BOUND_MS, async () => (await run('ctr', [...ctr, 'version'])).code === 0);
      return daemon;
    };
    const ctr = ['--address', socket, '--namespace', 'e2e'];
    const first = await start('containerd');
    const env = rig.environment(node.hub.env);
    const pull = async () => {
      await must('ctr', [...ctr, 'content', 'fetch', '--hosts-dir', certs, node.reference], {
        env,
        boundMs: PULL_BOUND_MS,
      });
      await must('ctr', [...ctr, 'images', 'rm', '--sync', node.reference]);
    };

    const registries = ['--registry', 'docker.io', '--registry', 'ghcr.io'];
    const done = await node.run(['containerd', '--root', node.root, '--yes', ...registries]);
    t.equal(done.code, 0, done.stderr);
    t.match(done.stdout, /To do: systemctl restart containerd, or --restart here \(containerd reads config_path/);
    await first.stop();
    await start('containerd-again');
    const dump = await must('containerd', ['--config', config, 'config', 'dump']);
    t.match(dump, /config_path = "\/etc\/containerd\/certs\.d"/, 'the real one takes it');
    t.match(dump, 'X-Kept');
    const verified = await node.run(
      ['containerd', '--root', node.root, '--verify', node.reference, ...registries],
      [],
      node.hub.env,
    );
    t.equal(verified.code, 0, verified.stderr);
    t.match(verified.stdout, /^Nothing to do: .*\nVerified: /);
    t.notMatch(await must('ctr', ['--address', socket, 'namespaces', 'ls']), 'hawker-setup');
    await pullsBothWays(t, node, pull);
    const undone = await node.run(['containerd', '--root', node.root, '--undo', '--yes']);
    t.equal(undone.code, 0, undone.stderr);
    t.same(only(await node.tree(), /^etc/), only(before, /^etc/), 'all files are as before');

    // The same mirror over TLS, with an authority of its own. containerd’s tools look at this machine’s files: there they are the node’s.
    const ca = TestCa.root(t);
    const { cert, key } = ca.issue('mirror');
    const { address, api } = node.hawker;
    const proxy = { listen: address, defaultUpstream: 'docker.io', tls: { cert, key } };
    const settings = { proxy, api: { listen: api }, supernode: { listen: '127.0.0.1:0' } };
    await Hawker.start(rig, 'hawker-tls', node.origin, { command: 'up', config: settings });
    const bind = `mkdir -p /etc/containerd; mount --bind ${node.root}/etc/containerd /etc/containerd; exec "$@"`;
    const by = ['unshare', '--mount', 'sh', '-c', bind, 'sh'];
    const secure = ['containerd', '--root', node.root, '--yes', ...registries, '--mirror', `https://${address}`];
    // A hosts.toml of the user’s own, with another authority, and a setup that named none: the next one adds its own.
    const hosts = '/etc/containerd/certs.d/docker.io/hosts.toml';
    await node.write('/etc/containerd/own-ca.pem', await readFile(TestCa.root(t).cert, 'utf8'));
    await node.write(hosts, `[host."https://${address}"]\n  ca = "/etc/containerd/own-ca.pem" # ours\n`);
    const handmade = await node.tree();
    const earlier = await node.run([...secure, '--no-verify'], by);
    t.equal(earlier.code, 0, earlier.stderr);
    secure.push('--mirror-ca', ca.cert);
    const written = await node.run([...secure, '--no-verify'], by);
    t.equal(written.code, 0, written.stderr);
    const seen = await node.run([...secure, '--verify', node.reference], by, node.hub.env);
    t.equal(seen.code, 0, seen.stderr);
    t.match(seen.stdout, /^Nothing to do: .*\nVerified: .*through the mirror/);
    const hub = node.hub.connections();
    const asked = await node.requests();
    await must(by[0]!, [...by.slice(1), 'ctr', ...ctr, 'content', 'fetch', '--hosts-dir', certs, node.reference], {
      env,
      boundMs: PULL_BOUND_MS,
    });
    t.ok((await node.requests()) >= asked + 3, 'the mirror was asked by TLS');
    t.equal(node.hub.connections(), hub, 'Docker Hub was not');
    t.match(await node.read(hosts), '  ca = ["/etc/containerd/own-ca.pem", "/etc/containerd/hawker-ca.crt"] # ours\n');
    const last = await node.run(['containerd', '--root', node.root, '--undo', '--yes']);
    t.equal(last.code, 0, last.stderr);
    t.same(only(await node.tree(), /^etc/), only(handmade, /^etc/), 'all files are as before, again');
  },
);

e2e(t, 'podman', [...ORIGIN_PROGRAMS, 'podman', 'runc', 'unshare', 'mount'], async (t, rig) => {
  const node = await startNode(rig);
  const dir = await rig.folder('podman');
  const file = (name: string) => join(dir, name);
  await node.write('/etc/containers/registries.conf', '# empty\n');
  await node.write('/etc/containers/policy.json', '{"default":[{"type":"insecureAcceptAnything"}]}');
  await mkdir(join(node.root, 'etc/hawker'));
  const before = await node.tree();
  await writeFile(file('containers.conf'), '[engine]\ncgroup_manager = "cgroupfs"\n');
  await writeFile(
    file('storage.conf'),
    `[storage]\ndriver = "vfs"\ngraphroot = "${file('graph')}"\nrunroot = "${file('run')}"\n`,
  );
  const env = {
    CONTAINERS_STORAGE_CONF: file('storage.conf'),
    CONTAINERS_CONF: file('containers.conf'),
    XDG_RUNTIME_DIR: await rig.folder('podman/xdg'),
    TMPDIR: await rig.folder('podman/tmp'),
    ...node.hub.env,
  };
  // podman looks at this machine's files: there they are the node's own.
  const binds = ['containers', 'hawker'].map(
    (name) => `mkdir -p /etc/${name}; mount --bind ${node.root}/etc/${name} /etc/${name}`,
  );
  const by = ['unshare', '--mount', 'sh', '-c', `${binds.join('; ')}; exec "$@"`, 'sh'];
  const podman = (...args: string[]) =>
    must(by[0]!, [...by.slice(1), 'podman', ...args], { env: rig.environment(env), boundMs: PULL_BOUND_MS });
  const pull = async () => {
    await podman('pull', '--quiet', node.reference);
    await podman('rmi', node.reference);
  };

  const done = await node.run(['podman', '--yes', '--verify', node.reference], by, env);
  t.equal(done.code, 0, done.stderr);
  t.match(done.stdout, /No restart is needed: .*\nVerified: /);
  t.equal((await podman('images', '--quiet')).trim(), '', 'the trial pull leaves nothing behind');
  await pullsBothWays(t, node, pull);
  const undone = await node.run(['podman', '--undo', '--yes'], by, env);
  t.equal(undone.code, 0, undone.stderr);
  t.same(await node.tree(), before, 'all files are as before');
});

/** The part of a tree whose paths fit. */
function only(tree: Readonly<Record<string, string>>, paths: RegExp): Record<string, string> {
  return Object.fromEntries(Object.entries(tree).filter(([path]) => paths.test(path)));
}
