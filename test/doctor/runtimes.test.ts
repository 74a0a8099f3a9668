import { createServer } from 'node:http';
import { createServer as createSocketServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import type { RuntimeLook } from '../../src/doctor/runtime-look.ts';
import { checkRuntimes, judgeRuntimes } from '../../src/doctor/runtimes.ts';
import { nodeRig, withCode, type NodeRig } from './node-rig.ts';

const MIRROR = 'http://127.0.0.1:65001';
const HOSTS = `[host."${MIRROR}"]\ncapabilities = ["pull", "resolve"]\n`;
const CONFIG_PATH = '/etc/containerd/certs.d';
const DUMP = `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "${CONFIG_PATH}"\n`;

const look = (runtime: RuntimeLook['runtime'], more: Partial<RuntimeLook> = {}): RuntimeLook => {
  return { runtime, seen: ['looked'], state: 'elsewhere', inUse: false, problems: [], todo: 'point it', ...more };
};
const problem = { seen: 'wrong', meaning: 'bad', todo: 'mend it' };

t.test('which runtime fails', async (t) => {
  const statuses = (looks: RuntimeLook[]) => judgeRuntimes(looks).map(({ code, status }) => [code, status]);
  const used = { inUse: true };
  t.same(statuses([look('docker', { state: 'absent' }), look('containerd'), look('podman', { state: 'pointed' })]), [
    ['RUNTIME_DOCKER', 'skipped'],
    ['RUNTIME_CONTAINERD', 'skipped'],
    ['RUNTIME_PODMAN', 'ok'],
  ]);
  t.same(
    statuses([look('docker', used), look('containerd', used)]).map(([, status]) => status),
    ['failed', 'failed'],
    'none is pointed at it',
  );
  t.same(
    statuses([look('docker', used), look('containerd', { ...used, state: 'pointed' })]).map(([, status]) => status),
    ['skipped', 'ok'],
  );
  t.same(
    statuses([look('docker'), look('podman')]).map(([, status]) => status),
    ['skipped', 'skipped'],
    'none is in use',
  );
  const broken = statuses([
    look('docker', { ...used, problems: [problem] }),
    look('containerd', used),
    look('podman', { state: 'pointed', problems: [problem, problem] }),
  ]);
  t.same(
    broken.map(([, status]) => status),
    ['failed', 'skipped', 'failed', 'failed'],
    'what is meant for it and does not work always does',
  );
});

/** A daemon's socket below the node's root. */
async function socket(t: Test, rig: NodeRig, path: string, info?: object): Promise<void> {
  await mkdir(dirname(join(rig.root, path)), { recursive: true });
  const server = info
    ? createServer((_, response) => response.end(JSON.stringify(info)))
    : createSocketServer((peer) => peer.end());
  await new Promise<void>((resolve) => server.listen(join(rig.root, path), resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
}

const docker = (mirrors: string[], more: object = {}) => ({
  ServerVersion: '27.0',
  RegistryConfig: { Mirrors: mirrors },
  ...more,
});
const daemonJson = (...mirrors: string[]) => JSON.stringify({ 'registry-mirrors': mirrors });

async function check(rig: NodeRig, settings: object = {}, environment: Record<string, string> = {}) {
  return await checkRuntimes(await rig.around({ api: { listen: '127.0.0.1:1' }, ...settings }, environment));
}

t.test('nothing is installed', async (t) => {
  const findings = await check(await nodeRig(t));
  t.same([...new Set(findings.map(({ status }) => status))], ['skipped']);
  t.match(withCode(findings, 'RUNTIME_DOCKER'), [{ seen: /not installed/ }]);
});

t.test('docker', async (t) => {
  const cases: {
    name: string;
    file?: string;
    mirrors?: string[];
    info?: object;
    settings?: object;
    status: string;
    seen: RegExp;
    todo?: RegExp;
  }[] = [
    {
      name: 'file and daemon',
      file: daemonJson(MIRROR),
      mirrors: [`${MIRROR}/`],
      status: 'ok',
      seen: /dockerd 27\.0 runs with the mirror/,
    },
    { name: 'daemon only', mirrors: [`${MIRROR}/`], status: 'ok', seen: /not there/ },
    { name: 'file only, no daemon', file: daemonJson(MIRROR), status: 'ok', seen: /the daemon was not asked/ },
    {
      name: 'not reloaded',
      file: daemonJson(MIRROR),
      mirrors: [],
      status: 'failed',
      seen: /names it, but the running dockerd does not/,
      todo: /reload/,
    },
    { name: 'no mirror', mirrors: [], status: 'failed', seen: /no mirror/, todo: /registry-mirrors/ },
    { name: 'another port', mirrors: ['http://127.0.0.1:65000/'], status: 'failed', seen: /65000/, todo: /65001/ },
    {
      name: 'https',
      mirrors: ['https://127.0.0.1:65001/'],
      status: 'failed',
      seen: /plain HTTP/,
      todo: /http:\/\/127\.0\.0\.1:65001/,
    },
    { name: 'no JSON', file: '{"registry-mirrors": [', mirrors: [MIRROR], status: 'failed', seen: /no JSON/ },
    {
      name: 'a mirror of something else',
      mirrors: [MIRROR],
      settings: { proxy: { defaultUpstream: 'ghcr.io' } },
      status: 'failed',
      seen: /mean ghcr\.io/,
      todo: /proxy\.listeners/,
    },
    {
      name: 'containerd’s store, rootless',
      mirrors: [MIRROR],
      info: { SecurityOptions: ['name=rootless'], DriverStatus: [['driver-type', 'io.containerd.snapshotter.v1']] },
      status: 'ok',
      seen: /containerd’s store; it is rootless/,
    },
  ];
  for (const { name, file, mirrors, info, settings, status, seen, todo } of cases) {
    const rig = await nodeRig(t);
    if (file !== undefined) await rig.write('/etc/docker/daemon.json', file);
    if (mirrors) await socket(t, rig, '/var/run/docker.sock', docker(mirrors, info));
    const found = withCode(await check(rig, settings), 'RUNTIME_DOCKER');
    t.match(found, [{ status, seen, ...(todo ? { todo, meaning: /./ } : {}) }], name);
  }
});

t.test('docker that sends requests for the mirror through its own proxy', async (t) => {
  const rig = await nodeRig(t);
  const info = docker(['http://10.0.0.5:65001'], { HttpProxy: 'http://proxy:3128', NoProxy: '' });
  await socket(t, rig, '/var/run/docker.sock', info);
  const proxy = { listen: '10.0.0.5:65001' };
  t.match(withCode(await check(rig, { proxy }), 'RUNTIME_DOCKER'), [{ status: 'failed', seen: /HTTP proxy/ }]);
});

t.test('docker 28 with containerd’s store: hosts.toml counts', async (t) => {
  const rig = await nodeRig(t);
  const store = { ServerVersion: '28.0.1', DriverStatus: [['driver-type', 'io.containerd.snapshotter.v1']] };
  await socket(t, rig, '/var/run/docker.sock', docker([MIRROR], store));
  const looked = async () => withCode(await check(rig), 'RUNTIME_DOCKER');
  const file = '/etc/docker/certs.d/docker.io/hosts.toml';
  t.match(await looked(), [{ status: 'ok' }], 'there is none');
  await rig.write(file, '[host."http://127.0.0.1:65000"]\n');
  t.match(await looked(), [{ status: 'failed', seen: /hosts\.toml counts before.*65000/ }]);
  await rig.write(file, HOSTS);
  t.match(await looked(), [{ status: 'ok' }]);
  await rig.write(file, '[host\n');
  t.match(await looked(), [{ status: 'failed', meaning: /docker ignores the whole file/ }]);
});

t.test('docker of another machine is not asked', async (t) => {
  const rig = await nodeRig(t);
  await rig.program('docker', 'exit 0');
  const found = withCode(await check(rig, {}, { DOCKER_HOST: 'tcp://10.0.0.9:2375' }), 'RUNTIME_DOCKER');
  t.match(found, [{ status: 'skipped', seen: /DOCKER_HOST is tcp:\/\/10\.0\.0\.9:2375/ }]);
});

async function containerdRig(t: Test, dump = DUMP): Promise<NodeRig> {
  const rig = await nodeRig(t);
  await rig.write('/dump', dump);
  await rig.program('containerd', `exec cat '${rig.root}/dump'`);
  await socket(t, rig, '/run/containerd/containerd.sock');
  return rig;
}

t.test('containerd', async (t) => {
  const hosts = (name: string) => `${CONFIG_PATH}/${name}/hosts.toml`;
  const own = { upstreams: { 'registry.example:5000': { url: 'http://127.0.0.1:5000' } } };
  const cases: {
    name: string;
    dump?: string;
    files: Record<string, string>;
    settings?: object;
    status: string;
    seen: RegExp;
    todo?: RegExp;
  }[] = [
    { name: 'for all', files: { [hosts('_default')]: HOSTS }, status: 'ok', seen: /through it: docker\.io, ghcr\.io/ },
    {
      name: 'for one',
      files: { [hosts('docker.io')]: HOSTS },
      status: 'ok',
      seen: /through it: docker\.io; not through it: ghcr\.io/,
    },
    {
      name: 'with a port in the name',
      files: { [hosts('registry.example_5000_')]: HOSTS, [hosts('docker.io')]: HOSTS },
      settings: own,
      status: 'ok',
      seen: /registry\.example:5000/,
    },
    {
      name: 'a registry that was set is left out',
      files: { [hosts('docker.io')]: HOSTS },
      settings: own,
      status: 'failed',
      seen: /no hosts\.toml for registry\.example:5000/,
      todo: /registry\.example:5000\/hosts\.toml/,
    },
    { name: 'none', files: {}, status: 'failed', seen: /no hosts\.toml names/, todo: /_default\/hosts\.toml/ },
    {
      name: 'no config_path',
      dump: 'version = 2\n',
      files: { [hosts('_default')]: HOSTS },
      status: 'failed',
      seen: /config_path is not set/,
      todo: /config_path = /,
    },
    {
      name: 'the old way',
      dump: 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\nendpoint = []\n',
      files: { [hosts('_default')]: HOSTS },
      status: 'failed',
      seen: /deprecated registry\.mirrors for docker\.io/,
    },
    {
      name: 'without CRI',
      dump: 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n',
      files: { [hosts('_default')]: HOSTS },
      status: 'ok',
      seen: /CRI plugin is off/,
    },
    {
      name: 'containerd 2',
      dump: 'version = 3\n[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/a:/etc/containerd/certs.d"\n',
      files: { [hosts('_default')]: `server = "${MIRROR}"\n` },
      status: 'ok',
      seen: /the mirror is the server/,
    },
    {
      name: 'bad TOML',
      files: { [hosts('docker.io')]: `${HOSTS}\n[host` },
      status: 'failed',
      seen: /line 4/,
      todo: /line 4/,
    },
    {
      name: 'k3s',
      files: { [hosts('_default')]: HOSTS, '/etc/rancher/k3s/registries.yaml': 'mirrors: {}\n' },
      status: 'ok',
      seen: /k3s/,
    },
  ];
  for (const { name, dump, files, settings, status, seen, todo } of cases) {
    const rig = await containerdRig(t, dump);
    for (const [path, text] of Object.entries(files)) await rig.write(path, text);
    const found = withCode(await check(rig, settings), 'RUNTIME_CONTAINERD');
    t.match(found, [{ status, seen, ...(todo ? { todo, meaning: /./ } : {}) }], name);
  }
});

t.test('containerd that does not run, and whose program fails: its file is read', async (t) => {
  const rig = await nodeRig(t);
  await rig.program('containerd', 'exit 1');
  await rig.write('/etc/containerd/config.toml', DUMP);
  await rig.write(`${CONFIG_PATH}/_default/hosts.toml`, HOSTS);
  t.match(withCode(await check(rig), 'RUNTIME_CONTAINERD'), [
    { status: 'ok', seen: /does not run.*\/etc\/containerd\/config\.toml: config_path/ },
  ]);
  await rig.write('/etc/containerd/config.toml', 'version = 2\n[oops\n');
  t.match(withCode(await check(rig), 'RUNTIME_CONTAINERD'), [
    { status: 'failed', seen: /line 2/, todo: /restart containerd/ },
  ]);
});

const registry = (location: string, insecure = true) =>
  `[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "${location}"\ninsecure = ${insecure}\n`;

t.test('podman, by its files where it cannot be asked', async (t) => {
  const MAIN = '/etc/containers/registries.conf';
  const right = registry('127.0.0.1:65001/docker.io');
  const cases: {
    name: string;
    files: Record<string, string>;
    settings?: object;
    environment?: Record<string, string>;
    status: string;
    seen: RegExp;
  }[] = [
    { name: 'right', files: { [MAIN]: right }, status: 'ok', seen: /docker\.io by 127\.0\.0\.1:65001/ },
    {
      name: 'drop-in',
      files: { [MAIN]: '', '/etc/containers/registries.conf.d/50-hawker.conf': right },
      status: 'ok',
      seen: /50-hawker\.conf/,
    },
    {
      name: 'a later drop-in wins',
      files: { [MAIN]: right, '/etc/containers/registries.conf.d/90.conf': registry('other:1') },
      status: 'failed',
      seen: /other:1/,
    },
    {
      name: 'the user’s own file wins',
      files: { [MAIN]: right, '/home/me/.config/containers/registries.conf': '' },
      environment: { HOME: '/home/me' },
      status: 'skipped',
      seen: /nor in use/,
    },
    {
      name: 'a file that the environment names',
      files: { '/x.conf': right },
      environment: { CONTAINERS_REGISTRIES_CONF: '/x.conf' },
      status: 'ok',
      seen: /x\.conf/,
    },
    { name: 'no mirrors', files: { [MAIN]: '' }, status: 'skipped', seen: /nor in use/ },
    { name: 'another mirror', files: { [MAIN]: registry('127.0.0.1:65000') }, status: 'failed', seen: /65000/ },
    {
      name: 'not insecure',
      files: { [MAIN]: registry('127.0.0.1:65001/docker.io', false) },
      status: 'failed',
      seen: /without insecure/,
    },
    { name: 'no TOML', files: { [MAIN]: 'x = [\n' }, status: 'failed', seen: /registries\.conf, line/ },
    {
      name: 'a registry that was set is left out',
      files: { [MAIN]: right },
      settings: { upstreams: { 'registry.example': { insecure: true } } },
      status: 'failed',
      seen: /for registry\.example/,
    },
  ];
  for (const { name, files, settings, environment, status, seen } of cases) {
    const rig = await nodeRig(t);
    await rig.program('skopeo', 'exit 0');
    for (const [path, text] of Object.entries(files)) await rig.write(path, text);
    t.match(withCode(await check(rig, settings, environment), 'RUNTIME_PODMAN'), [{ status, seen }], name);
  }
});

t.test('podman is asked where it is there', async (t) => {
  const rig = await nodeRig(t);
  const Mirrors = [{ Location: '127.0.0.1:65001/docker.io', Insecure: true }];
  await rig.write('/info', JSON.stringify({ registries: { 'docker.io': { Mirrors } } }));
  await rig.program('podman', `exec cat '${rig.root}/info'`);
  t.match(withCode(await check(rig), 'RUNTIME_PODMAN'), [{ status: 'ok', seen: /asked: podman info/ }]);
  await rig.program('podman', 'echo oops >&2; exit 3');
  t.match(withCode(await check(rig), 'RUNTIME_PODMAN'), [{ status: 'skipped', seen: /podman info failed \(oops\)/ }]);
});

t.test('whether anybody has asked the mirror', async (t) => {
  let metrics = '';
  const server = createServer((_, response) => response.end(metrics)).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const rig = await nodeRig(t);
  const api = { listen: `127.0.0.1:${(server.address() as AddressInfo).port}` };
  const requests = async () => withCode(await check(rig, { api }), 'RUNTIME_REQUESTS');
  metrics = 'hawker_http_requests_total{handler="base",status="200"} 4\n';
  t.match(await requests(), [{ status: 'skipped', seen: /pull something/ }]);
  metrics +=
    'hawker_http_requests_total{handler="manifests",status="200"} 2\nhawker_http_requests_total{handler="blobs",status="206"} 5\n';
  t.match(await requests(), [{ status: 'ok', seen: /2 for manifests and 5 for blobs/ }]);
});

t.test('a mirror on port 0 can be named by nobody', async (t) => {
  const found = await check(await nodeRig(t), { proxy: { listen: '127.0.0.1:0' } });
  t.match(withCode(found, 'RUNTIME_MIRROR'), [{ status: 'skipped', seen: /port 0/ }]);
});
