import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { activate } from '../../src/setup/activate.ts';
import { crio } from '../../src/setup/crio.ts';
import { k3s } from '../../src/setup/k3s.ts';
import { podman } from '../../src/setup/podman.ts';
import { pullByCri } from '../../src/setup/crictl.ts';
import type { Activation, SetupAround } from '../../src/setup/runtime.ts';
import { verify } from '../../src/setup/verify.ts';
import { aroundWith } from '../doctor/node-rig.ts';
import { setupRig } from '../setup/rig.ts';
import { temporaryDirectory } from '../store/temporary.ts';

const URL = 'http://127.0.0.1:65001';
const DAEMON = '/etc/docker/daemon.json';

t.test('it asks, and only a yes is one', async (t) => {
  for (const [answer, status] of [
    ['y', 0],
    [' YES ', 0],
    ['', 1],
    ['n', 1],
    ['yellow', 1],
  ] as const) {
    const rig = await setupRig(t);
    const questions: string[] = [];
    const ask = async (question: string) => (questions.push(question), answer);
    const result = await rig.setup(['docker'], { ask, isTerminal: true });
    t.equal(result.status, status, answer);
    t.same(questions, ['Write this? [y/N] ']);
    t.match(result.out, '\u001B[32m+  "registry-mirrors"', 'in colour on a terminal');
    t.equal('etc/docker/daemon.json' in (await rig.tree()), status === 0);
    if (status === 1) t.match(result.err, /SETUP_NOT_CONFIRMED: the change was not wanted/);
  }
});

t.test('where nobody can be asked it shows the change, and fails', async (t) => {
  const rig = await setupRig(t);
  const result = await rig.setup(['docker']);
  t.match(result, { status: 1, err: /^hawker: SETUP_NOT_CONFIRMED: nobody can be asked here; .*--yes\n$/ });
  t.match(result.out, /^--- \/dev\/null\n\+\+\+ \/etc\/docker\/daemon\.json\n@@ /);
  t.notMatch(result.out, '\u001B');
  t.same(await rig.tree(), {});
});

t.test('as JSON: what was changed and what came of it, also of a failure', async (t) => {
  const rig = await setupRig(t);
  const json = async (...argv: string[]) => {
    const { out, status } = await rig.setup(['docker', '--json', ...argv], {
      ask: () => Promise.reject(new Error('asked')),
    });
    return { status, ...(JSON.parse(out) as object) };
  };
  t.match(await json(), {
    status: 1,
    applied: false,
    changes: [{ path: DAEMON, diff: /^\+ /m }],
    error: { code: 'SETUP_NOT_CONFIRMED' },
  });
  t.match(await json('--dry-run'), { status: 0, applied: false, error: null, notes: [/Docker Hub only/, /private/] });
  await rig.write(DAEMON, '{}');
  t.match(await json('--yes'), {
    status: 0,
    runtime: 'docker',
    applied: true,
    backups: [`${DAEMON}.before-hawker`],
    activation: { kind: 'none', state: 'nothing' },
    verified: { status: 'skipped', seen: /no proxy runs here/ },
    error: null,
  });
  t.match(await json('--yes'), { status: 0, changes: [], applied: false, verified: null });
  t.match(await json('--undo', '--dry-run'), { status: 0, applied: false, changes: [{ path: DAEMON }] });
  t.match(await json('--undo', '--yes'), { status: 0, applied: true, verified: null });
  await rig.write(DAEMON, '[');
  t.match(await json('--yes'), { status: 1, error: { code: 'SETUP_FILE_INVALID', todo: /mend/ } });
});

t.test('what was to be verified by name, and could not be, has failed', async (t) => {
  const rig = await setupRig(t);
  const { status, err } = await rig.setup(['docker', '--yes', '--verify', 'docker.io/library/app:v1']);
  t.equal(status, 1);
  t.match(err, /SETUP_NOT_VERIFIED: .*no proxy runs here/);
  t.match(await rig.read(DAEMON), '65001', 'the files are written all the same');
  t.match(await rig.setup(['k3s', '--yes', '--no-verify', '--registry', 'docker.io']), { status: 0 });
});

/** A dockerd of this version, as far as it is asked; `pulls` is told of each pull. */
async function dockerd(
  t: Test,
  root: string,
  info: object,
  pulls: (path: string) => string = () => '{}\n',
): Promise<void> {
  const socket = join(root, 'var/run/docker.sock');
  await mkdir(dirname(socket), { recursive: true });
  const server = createServer(({ method, url }, answer) => {
    if (url === '/info') answer.end(JSON.stringify(info));
    else if (method === 'POST') answer.end(pulls(url!));
    else answer.writeHead(404).end();
  });
  await listening(t, server, socket);
}

async function listening(t: Test, server: Server, where: string | 0): Promise<void> {
  await once(where === 0 ? server.listen(0, '127.0.0.1') : server.listen(where), 'listening');
  t.teardown(() => void server.close());
}

const STORE = { DriverStatus: [['driver-type', 'io.containerd.snapshotter.v1']] };

t.test('docker 28 with containerd’s store: hosts.toml for every registry', async (t) => {
  const rig = await setupRig(t);
  await dockerd(t, rig.root, { ServerVersion: '28.1.0', ...STORE });
  await rig.write('/etc/docker/certs.d/docker.io/hosts.toml', '[host."https://corp.example"]\n');
  const { out } = await rig.setup(['docker', '--dry-run', '--registry', 'docker.io', '--registry', 'ghcr.io']);
  t.match(out, '+++ /etc/docker/daemon.json');
  t.match(out, '+++ /etc/docker/certs.d/ghcr.io/hosts.toml');
  t.match(out, '--- /etc/docker/certs.d/docker.io/hosts.toml', 'one that counts before registry-mirrors');
  t.match(out, 'reads /etc/docker/certs.d for every registry');
  const other = await setupRig(t);
  await dockerd(t, other.root, { ServerVersion: '28.1.0', ...STORE });
  t.notMatch((await other.setup(['docker', '--dry-run'])).out, 'certs.d/docker.io', 'registry-mirrors will do');
  const older = await setupRig(t);
  await dockerd(t, older.root, { ServerVersion: '27.5.1', ...STORE });
  t.notMatch((await older.setup(['docker', '--dry-run'])).out, 'certs.d');
});

t.test('a rootless docker has files of its own', async (t) => {
  const rig = await setupRig(t);
  await dockerd(t, rig.root, { ServerVersion: '27.0.0', SecurityOptions: ['name=rootless'] });
  t.match(await rig.setup(['docker', '--yes']), { status: 1, err: /SETUP_CONFLICT: .*rootless/ });
});

t.test('a daemon that cannot be signalled here is left to a person', async (t) => {
  const rig = await setupRig(t);
  await dockerd(t, rig.root, { ServerVersion: '20.10.0' });
  await rig.write('/var/run/docker.pid', String(process.pid));
  const { status, out } = await rig.setup(['docker', '--yes']);
  t.equal(status, 0);
  t.match(out, /To do: systemctl reload docker \(/, 'that process is no dockerd');
  t.notMatch(out, 'erified');
  t.match(await rig.setup(['docker', '--undo', '--yes', '--restart']), {
    status: 1,
    err: /SETUP_NOT_ACTIVATED: .*no systemd here/,
  });
});

/** A node whose proxy tells how often it was asked, one more each time. */
async function verifying(t: Test, mirrors: readonly string[], grows: boolean, said?: string) {
  const rig = await setupRig(t);
  let count = 1;
  const api = createServer((_, answer) =>
    answer.end(`hawker_http_requests_total{handler="manifests",status="200"} ${count}\n`),
  );
  await listening(t, api, 0);
  const pulled: string[] = [];
  await dockerd(t, rig.root, { ServerVersion: '20.10.0', RegistryConfig: { Mirrors: mirrors } }, (path) => {
    pulled.push(path);
    if (grows) count += 1;
    return said ?? '{"status":"Pulling"}\n{"status":"Done"}\n';
  });
  await rig.write(DAEMON, JSON.stringify({ 'registry-mirrors': [URL] }));
  const config = join(rig.root, 'hawker.yaml');
  await writeFile(config, `api: {listen: '127.0.0.1:${(api.address() as AddressInfo).port}'}\n`);
  return { run: (...argv: string[]) => rig.setup(['docker', '--config', config, ...argv]), pulled };
}

t.test('verified by a pull that the mirror has seen', async (t) => {
  const image = ['--verify', 'ubuntu'];
  const good = await verifying(t, [`${URL}/`], true);
  t.match(await good.run(...image), {
    status: 0,
    out: /Verified: ubuntu was pulled through the mirror in .* \(1 request there\)/,
  });
  t.same(good.pulled, ['/images/create?fromImage=library%2Fubuntu&tag=latest']);
  t.match(await good.run('--verify', 'ghcr.io/a/b'), { status: 1, err: /SETUP_NOT_VERIFIED: .*Docker Hub only/ });
  const unseen = await verifying(t, [`${URL}/`], false);
  t.match(await unseen.run(...image), { status: 1, err: /SETUP_NOT_VERIFIED: .*the mirror was not asked/ });
  const failing = await verifying(t, [`${URL}/`], true, '{"errorDetail":{},"error":"no such image"}\n');
  t.match(await failing.run(...image), { status: 1, err: /SETUP_NOT_VERIFIED: .*no such image/ });
});

/** Around a machine whose programs are those of one directory. */
async function machine(t: Test, programs: Readonly<Record<string, string>>): Promise<SetupAround> {
  const dir = await temporaryDirectory(t);
  for (const [name, text] of Object.entries(programs)) {
    await writeFile(join(dir, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(dir, name), 0o755);
  }
  const around = await aroundWith(t, '/', {}, { PATH: `${dir}:/usr/bin:/bin`, LOG: join(dir, 'log') });
  return { ...around, account: { root: true, home: '/root' }, registries: undefined };
}

t.test('reloaded by systemd; restarted only where that was asked for', async (t) => {
  const reload: Activation = { kind: 'reload', command: 'systemctl reload crio', why: 'x' };
  const restart: Activation = { kind: 'restart', command: 'systemctl restart k3s', why: 'x' };
  const agent = await machine(t, { systemctl: '[ "$1" != is-active ] || [ "$3" = k3s-agent ] || [ "$3" = crio ]' });
  t.equal(await activate(agent, { name: 'crio', runtime: crio, activation: reload, restart: false }), 'done');
  t.equal(await activate(agent, { name: 'k3s', runtime: k3s, activation: restart, restart: false }), 'pending');
  t.equal(await activate(agent, { name: 'k3s', runtime: k3s, activation: restart, restart: true }), 'done');
  t.match(await k3s.activation(agent, []), { kind: 'restart', command: /k3s-agent/ });
  const failing = await machine(t, { systemctl: '[ "$1" = is-active ] || { echo "Job failed." >&2; exit 1; }' });
  const failed = { code: 'SETUP_NOT_ACTIVATED', message: /systemctl restart k3s failed: Job failed\./ };
  await t.rejects(activate(failing, { name: 'k3s', runtime: k3s, activation: restart, restart: true }), failed);
  const none = await machine(t, { systemctl: 'exit 3' });
  t.equal(await activate(none, { name: 'crio', runtime: crio, activation: reload, restart: false }), 'pending');
  const noUnit = { code: 'SETUP_NOT_ACTIVATED', message: /none of systemd’s units runs it \(k3s, k3s-agent\)/ };
  await t.rejects(activate(none, { name: 'k3s', runtime: k3s, activation: restart, restart: true }), noUnit);
});

t.test('crictl and podman pull, and take away what was not there before', async (t) => {
  const log = (result: number) =>
    `echo "\${0##*/} $*" >> "$LOG"; case "$*" in *inspecti*|*exists*) exit 1;; *pull*) echo oops >&2; exit ${result};; esac`;
  const around = await machine(t, { crictl: log(0), k3s: log(0), podman: log(1) });
  t.same(await crio.pull(around, 'a/b'), { failure: undefined });
  t.same(await pullByCri(around, 'a/b', ['k3s', 'crictl']), { failure: undefined });
  t.same(await podman.pull(around, 'a/b'), { failure: 'oops' });
  t.equal(await pullByCri(around, 'a/b', ['no-such-program']), 'there is no no-such-program on the PATH to pull with');
  t.match(await podman.pull({ ...around, root: '/x' }, 'a/b'), /not those of --root/);
  t.match(await crio.pull({ ...around, root: '/x' }, 'a/b'), /not that of --root/);
  const text = await readFile(around.environment['LOG']!, 'utf8');
  t.same(text.trimEnd().split('\n'), [
    'crictl inspecti --quiet a/b',
    'crictl pull a/b',
    'crictl rmi a/b',
    'k3s crictl inspecti --quiet a/b',
    'k3s crictl pull a/b',
    'k3s crictl rmi a/b',
    'podman image exists a/b',
    'podman pull --quiet a/b',
    'podman rmi a/b',
  ]);
  const verified = await verify(around, { name: 'crio', runtime: crio, image: 'a/b' });
  t.match(verified, { status: 'skipped', seen: /no proxy runs here/ });
});
