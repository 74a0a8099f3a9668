/**
 * What doctor says of docker, containerd and podman, against what they do: a runtime that it calls pointed at the mirror asks the
 * mirror in a real pull, one that it does not call so, does not. And what it says of a proxy that really runs.
 */
import { mkdir, rm, symlink, writeFile, chmod } from 'node:fs/promises';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Around, Finding } from '../../src/doctor/check.ts';
import { NODE_CHECKS } from '../../src/doctor/node-checks.ts';
import { checkRuntimes } from '../../src/doctor/runtimes.ts';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { Hawker } from './support/hawker.ts';
import { publishImage, type Published } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { must, run } from './support/programs.ts';
import { e2e, type Rig } from './support/rig.ts';
import { until } from './support/wait.ts';

const START_BOUND_MS = 40_000;
const PULL_BOUND_MS = 60_000;

/** A node of its own below the rig's directory, with a proxy that runs. */
interface Node {
  readonly root: string;
  readonly hawker: Hawker;
  readonly image: Published;
  write(path: string, text: string): Promise<void>;
  remove(path: string): Promise<void>;
  around(environment?: NodeJS.ProcessEnv): Promise<Around>;
  /** Requests for manifests and blobs that the mirror has answered. */
  requests(): Promise<number>;
}

async function startNode(rig: Rig): Promise<Node> {
  const origin = await Origin.start(rig);
  const image = await publishImage(rig, origin);
  const hawker = await Hawker.start(rig, 'hawker', origin.url);
  const root = await rig.folder('node');
  await mkdir(join(root, 'usr/bin'), { recursive: true });
  return {
    root,
    hawker,
    image,
    async write(path, text) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text);
    },
    remove: (path) => rm(join(root, path), { recursive: true, force: true }),
    async around(environment = {}) {
      // As an operator would write it, with the ports that were chosen.
      const file = join(rig.dir, 'node.json');
      const settings = {
        proxy: { listen: hawker.address },
        api: { listen: hawker.api },
        store: { dir: hawker.storeDir },
        upstreams: { 'docker.io': { url: origin.url } },
      };
      await writeFile(file, JSON.stringify(settings));
      const account = { root: true, home: rig.dir };
      const { config } = await loadConfig({ file, flags: {}, environment: {}, account, directory: '/' });
      return { config, clock: systemClock, root, environment: rig.environment(environment) };
    },
    async requests() {
      const text = await (await fetch(`http://${hawker.api}/metrics`)).text();
      const counts = text.matchAll(/^hawker_http_requests_total\{handler="(?:manifests|blobs)".*\} (\d+)/gm);
      return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
    },
  };
}

function statusOf(findings: readonly Finding[], runtime: string): string {
  const statuses = findings.filter(({ code }) => code === `RUNTIME_${runtime}`).map(({ status }) => status);
  return [...new Set(statuses)].join(', ');
}

/** Doctor's word, then a pull: whether the mirror was asked must agree. */
async function compare(
  t: Test,
  node: Node,
  what: string,
  {
    runtime,
    environment,
    pull,
    expect,
  }: { runtime: string; environment?: NodeJS.ProcessEnv; pull: () => Promise<unknown>; expect: string },
): Promise<void> {
  const findings = await checkRuntimes(await node.around(environment));
  t.equal(
    statusOf(findings, runtime),
    expect,
    `${what}: ${JSON.stringify(findings.filter(({ code }) => code.endsWith(runtime)))}`,
  );
  const before = await node.requests();
  await pull();
  t.equal(
    (await node.requests()) > before,
    expect === 'ok',
    `${what}: the mirror was ${expect === 'ok' ? '' : 'not '}asked`,
  );
}

e2e(t, 'docker', [...ORIGIN_PROGRAMS, 'dockerd', 'containerd', 'runc'], async (t, rig) => {
  const node = await startNode(rig);
  await symlink('/usr/sbin/dockerd', join(node.root, 'usr/bin/dockerd'));
  const socket = join(node.root, 'var/run/docker.sock');
  await mkdir(dirname(socket), { recursive: true });
  const config = '/etc/docker/daemon.json';
  const mirrors = (...urls: string[]) => node.write(config, JSON.stringify({ 'registry-mirrors': urls }));
  await mirrors();
  const dir = await rig.folder('dockerd');
  const paths = ['data-root', 'exec-root', 'pidfile'].flatMap((name) => [`--${name}`, join(dir, name)]);
  const network = [
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
    '--ip-forward=false',
    '--ip-masq=false',
    '--userland-proxy=false',
  ];
  const args = [
    '--config-file',
    join(node.root, config),
    ...paths,
    '--host',
    `unix://${socket}`,
    ...network,
    '--storage-driver',
    'vfs',
  ];
  const daemon = rig.daemon('dockerd', 'dockerd', args, { TMPDIR: dir, DOCKER_TMPDIR: dir });
  const ping = () => call(socket, 'GET', '/_ping').catch(() => '');
  await daemon.ready('GET /_ping', START_BOUND_MS, async () => (await ping()) === 'OK');
  const name = node.image.repository.replace('library/', '');
  const pull = () => call(socket, 'POST', `/v1.40/images/create?fromImage=${name}&tag=${node.image.tag}`);
  const reload = async (url: string) => {
    daemon.signal('SIGHUP');
    await until('dockerd has read its file again', START_BOUND_MS, async () =>
      (await call(socket, 'GET', '/info')).includes(url),
    );
  };
  const compared = (what: string, expect: string) => compare(t, node, what, { runtime: 'DOCKER', pull, expect });

  await compared('no mirror', 'failed');
  await mirrors(node.hawker.url);
  await compared('in the file, but not read yet', 'failed');
  await reload(node.hawker.url);
  await compared('read again', 'ok');
  await mirrors(node.hawker.url.replace('http:', 'https:'));
  await reload(node.hawker.url.replace('http:', 'https:'));
  await compared('with https', 'failed');
});

e2e(t, 'containerd', [...ORIGIN_PROGRAMS, 'containerd', 'ctr', 'runc'], async (t, rig) => {
  const node = await startNode(rig);
  await symlink('/usr/bin/containerd', join(node.root, 'usr/bin/containerd'));
  const socket = join(node.root, 'run/containerd/containerd.sock');
  const dir = await rig.folder('ctrd');
  const certs = join(node.root, 'etc/containerd/certs.d');
  await mkdir(certs, { recursive: true });
  const config = (more: string) => `version = 2
root = "${dir}/root"
state = "${dir}/state"
[grpc]
address = "${socket}"
[ttrpc]
address = "${socket}.ttrpc"
${more}`;
  // What is below the node's root has its path from there, as on a node.
  const criOn = `[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/containerd/certs.d"\n`;
  await node.write('/etc/containerd/config.toml', config(criOn));
  const daemon = rig.daemon('containerd', 'containerd', ['--config', join(node.root, 'etc/containerd/config.toml')]);
  const ctr = ['--address', socket, '--namespace', 'e2e'];
  await daemon.ready('ctr version', START_BOUND_MS, async () => (await run('ctr', [...ctr, 'version'])).code === 0);
  const reference = `docker.io/${node.image.repository}:${node.image.tag}`;
  const pull = () =>
    run('ctr', [...ctr, 'content', 'fetch', '--hosts-dir', certs, reference], { boundMs: PULL_BOUND_MS });
  const url = node.hawker.url;
  const good = 'capabilities = ["pull", "resolve"]\n';
  const variants: [string, string, string][] = [
    ['none', '', 'failed'],
    ['right', `[host."${url}"]\n${good}`, 'ok'],
    ['with /v2 and override_path', `[host."${url}/v2"]\noverride_path = true\n${good}`, 'ok'],
    ['with the registry in the path', `[host."${url}/docker.io"]\n${good}`, 'ok'],
    ['with the registry behind /v2', `[host."${url}/v2/docker.io"]\noverride_path = true\n${good}`, 'ok'],
    ['https', `[host."${url.replace('http:', 'https:')}"]\n${good}`, 'failed'],
    ['no scheme', `[host."${node.hawker.address}"]\n${good}`, 'failed'],
    ['not for tags', `[host."${url}"]\ncapabilities = ["pull"]\n`, 'failed'],
    ['server alone', `server = "${url}"\n`, 'failed'],
    ['no TOML', `[host."${url}"]\n${good}[oops\n`, 'failed'],
    ['another port', `[host."http://127.0.0.1:1"]\n${good}`, 'failed'],
  ];
  for (const [what, text, expect] of variants) {
    await node.write('/etc/containerd/certs.d/docker.io/hosts.toml', text);
    if (text === '') await node.remove('/etc/containerd/certs.d/docker.io');
    await compare(t, node, what, { runtime: 'CONTAINERD', pull, expect });
  }
  await node.remove('/etc/containerd/certs.d/docker.io');
  await node.write('/etc/containerd/certs.d/_default/hosts.toml', `[host."${url}"]\n${good}`);
  await compare(t, node, 'for all registries', { runtime: 'CONTAINERD', pull, expect: 'ok' });
  await node.write('/etc/containerd/config.toml', config(''));
  const findings = await checkRuntimes(await node.around());
  t.match(
    findings.filter(({ code }) => code === 'RUNTIME_CONTAINERD'),
    [{ status: 'failed', seen: /containerd config dump: config_path is not set/ }],
  );
});

e2e(t, 'podman', [...ORIGIN_PROGRAMS, 'podman', 'runc'], async (t, rig) => {
  const node = await startNode(rig);
  const dir = await rig.folder('podman');
  const file = (name: string) => join(dir, name);
  const options = [
    '--root',
    file('graph'),
    '--runroot',
    file('run'),
    '--tmpdir',
    file('libpod'),
    '--storage-driver',
    'vfs',
    '--cgroup-manager',
    'cgroupfs',
  ];
  // The real one, with storage of its own.
  const program = join(node.root, 'usr/bin/podman');
  await writeFile(program, `#!/bin/sh\nexec /usr/bin/podman ${options.join(' ')} "$@"\n`);
  await chmod(program, 0o755);
  await writeFile(file('containers.conf'), '');
  await writeFile(
    file('storage.conf'),
    `[storage]\ndriver = "vfs"\ngraphroot = "${file('graph')}"\nrunroot = "${file('run')}"\n`,
  );
  await writeFile(file('policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  const conf = '/etc/containers/registries.conf';
  const environment = {
    CONTAINERS_REGISTRIES_CONF: join(node.root, conf),
    CONTAINERS_STORAGE_CONF: file('storage.conf'),
    CONTAINERS_CONF: file('containers.conf'),
    XDG_RUNTIME_DIR: await rig.folder('podman/xdg'),
    TMPDIR: await rig.folder('podman/tmp'),
  };
  const name = `docker.io/${node.image.repository}:${node.image.tag}`;
  const pull = () =>
    run(program, ['pull', '--quiet', '--signature-policy', file('policy.json'), name], {
      env: rig.environment(environment),
      boundMs: PULL_BOUND_MS,
    });
  const mirror = (location: string, more = 'insecure = true', prefix = 'docker.io') =>
    `[[registry]]\nprefix = "${prefix}"\nlocation = "${prefix}"\n[[registry.mirror]]\nlocation = "${location}"\n${more}\n`;
  const { address } = node.hawker;
  const variants: [string, string, string][] = [
    ['none', '', 'skipped'],
    ['right', mirror(`${address}/docker.io`), 'ok'],
    ['without the registry in the path', mirror(address), 'ok'],
    ['for a part of it', mirror(`${address}/docker.io/library`, 'insecure = true', 'docker.io/library'), 'ok'],
    ['not insecure', mirror(`${address}/docker.io`, ''), 'failed'],
    ['for digests only', mirror(`${address}/docker.io`, 'insecure = true\npull-from-mirror = "digest-only"'), 'failed'],
    ['another port', mirror('127.0.0.1:1/docker.io'), 'failed'],
    ['no TOML', `${mirror(`${address}/docker.io`)}[oops\n`, 'failed'],
  ];
  for (const [what, text, expect] of variants) {
    await node.write(conf, text);
    await compare(t, node, what, { runtime: 'PODMAN', environment, pull, expect });
    await must('rm', ['-rf', file('graph'), file('run'), file('libpod')]);
  }
});

e2e(t, 'the node itself', ORIGIN_PROGRAMS, async (t, rig) => {
  const node = await startNode(rig);
  await symlink('/proc', join(node.root, 'proc'));
  await symlink('/sys', join(node.root, 'sys'));
  const around = await node.around();
  const findings = (await Promise.all(NODE_CHECKS.map(({ check }) => check(around)))).flat();
  const known = new Set(NODE_CHECKS.flatMap(({ finds }) => finds.map(({ code }) => code)));
  t.same(
    findings.filter(({ code }) => !known.has(code)),
    [],
    'no code that the list does not have',
  );
  t.same(
    findings.filter(({ status }) => status === 'failed'),
    [],
    'all is well',
  );
  t.match(
    findings.find(({ code }) => code === 'OPEN_FILES'),
    { status: 'ok', seen: /\d+ are open/ },
  );
  t.match(
    findings.find(({ code }) => code === 'STORE_SPACE'),
    { status: 'ok', seen: /the store has .* of 20 GiB/ },
  );
  t.match(
    findings.find(({ code }) => code === 'STORE_LOCK'),
    { status: 'ok', seen: /held by process/ },
  );
  for (const { status, title, seen } of findings) t.comment(`${status} ${title}: ${seen}`);
});

async function call(socketPath: string, method: string, path: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.once('end', () => resolve(text)).once('error', reject);
    });
    asked.once('error', reject).end();
  });
}
