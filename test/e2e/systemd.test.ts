/**
 * The units of config/systemd with systemd itself, on a machine of the test's own: installed by the words of docs/install.md, they serve
 * pulls, as `up` and as proxy and supernode; a restart, a crash and a reload disturb nobody, and what is taken away is gone.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { ROOT } from '../support/manifests.ts';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { hashFile } from './support/clients/client.ts';
import { publishLarge, type Published } from './support/images.ts';
import { Machine, MACHINE_PROGRAMS } from './support/machine.ts';
import { Origin } from './support/origin.ts';
import { must, run } from './support/programs.ts';
import { e2e, type Rig } from './support/rig.ts';
import { until } from './support/wait.ts';

const MiB = 1024 * 1024;
/** More than is in the sockets between a client that does not read and the proxy. */
const LARGE = 16 * MiB;
const BOUND_MS = 60_000;
const MIRROR = '127.0.0.1:65001';
const API = 'http://127.0.0.1:65003';
const SUPERNODE = 'http://127.0.0.1:6789';
const PROXY = 'hawker-proxy.service';
const SUPERNODE_UNIT = 'hawker-supernode.service';
const SOURCE = '/usr/src/hawker';
const CONFIG = '/etc/hawker/hawker.yaml';
/** What a release has, already built. */
const TREE = ['package.json', 'package-lock.json', '.npmrc', 'README.md', 'CHANGELOG.md', 'LICENSE', 'config', 'dist'];

e2e(t, 'under systemd', [...ORIGIN_PROGRAMS, ...MACHINE_PROGRAMS, 'npm', 'curl'], async (t, rig) => {
  const machine = await Machine.boot(rig);
  const origin = await Origin.start(rig);
  const image = await publishLarge(rig, origin, 'library/large', LARGE);
  try {
    await t.test('installed as docs/install.md has it', (t) => installs(t, machine, origin));
    if (!t.passing()) return;
    await t.test('hawker up serves', (t) => runsUp(t, rig, machine, image));
    if (!t.passing()) return;
    await t.test('a proxy beside a supernode', (t) => runsApart(t, rig, machine, image));
    await t.test('taken away as docs/install.md has it', (t) => takesAway(t, machine));
  } finally {
    if (!t.passing()) process.stderr.write((await machine.run('journalctl', '--no-pager', '--lines=80')).stdout);
  }
});

/** The commands of a block of docs/install.md that follows these words. */
async function commandsAfter(words: string): Promise<string> {
  const text = await readFile(join(ROOT, 'docs/install.md'), 'utf8');
  const [, commands] = /```sh\n(.*?)```/s.exec(text.slice(text.indexOf(words))) ?? [];
  if (!commands) throw new Error(`docs/install.md has no commands after: ${words}`);
  return commands;
}

async function installs(t: Test, machine: Machine, origin: Origin): Promise<void> {
  const source = machine.path(SOURCE);
  await mkdir(source, { recursive: true });
  for (const name of TREE) await cp(join(ROOT, name), join(source, name), { recursive: true });
  const commands = await commandsAfter('\n## systemd\n');
  t.match(commands, /^systemctl enable --now hawker-up\.service/m);
  // It is built already; what `npm ci` of this tree has left in npm's cache is all that it needs.
  const cache = (await must('npm', ['config', 'get', 'cache'])).trim();
  const offline = ['npm_config_offline=true', 'npm_config_omit=dev', 'npm_config_ignore_scripts=true'];
  const env = [...offline, `npm_config_cache=${cache}`];
  // The settings of this machine before it is started.
  const upstreams = { 'docker.io': { url: origin.url } };
  const [before, last] = [
    commands.slice(0, commands.indexOf('systemctl daemon')),
    commands.slice(commands.indexOf('systemctl daemon')),
  ];
  const first = await machine.run('env', ...env, 'sh', '-euxc', `cd ${SOURCE}\n${before}`);
  t.equal(first.code, 0, first.stdout + first.stderr);
  const config = parse(await readFile(machine.path(CONFIG), 'utf8')) as object;
  await writeFile(machine.path(CONFIG), JSON.stringify({ ...config, upstreams }));
  const second = await machine.run('sh', '-euxc', last);
  t.equal(second.code, 0, second.stdout + second.stderr);
}

const isOk = async (url: string) => (await fetch(url).catch(() => undefined))?.ok;
const propertyOf = async (machine: Machine, unit: string, name: string) =>
  (await machine.must('systemctl', 'show', '--value', `--property=${name}`, unit)).trim();

const urlOf = ({ repository, native }: Published) => `http://${MIRROR}/v2/${repository}/blobs/${native.layers[0]}`;

/** Fetches the image's large layer through the mirror by curl; what came of it: '' where all is well. */
async function pull(rig: Rig, image: Published, name: string): Promise<string> {
  const file = join(rig.dir, `pull-${name}`);
  const { code, stderr } = await run('curl', ['-sS', '--fail', '--output', file, urlOf(image)], { boundMs: BOUND_MS });
  if (code !== 0) return `curl ended with ${code}: ${stderr}`;
  return (await hashFile(file)) === image.native.layers[0] ? '' : 'other bytes';
}

async function runsUp(t: Test, rig: Rig, machine: Machine, image: Published): Promise<void> {
  await until('ready', BOUND_MS, () => isOk(`${API}/readyz`));
  t.ok(await isOk(`${SUPERNODE}/readyz`));
  t.equal(await pull(rig, image, 'up'), '');
  const status = await machine.run('hawker', 'status');
  t.equal(status.code, 0, status.stdout + status.stderr);
  t.equal(await propertyOf(machine, 'hawker-up', 'User'), 'hawker');
  await machine.must('systemctl', 'disable', '--now', 'hawker-up.service');
  t.equal(await propertyOf(machine, 'hawker-up', 'Result'), 'success');
}

async function runsApart(t: Test, rig: Rig, machine: Machine, image: Published): Promise<void> {
  await machine.must('systemctl', 'enable', '--now', SUPERNODE_UNIT, PROXY);
  const isReady = async () => (await isOk(`${API}/readyz`)) && (await isOk(`${SUPERNODE}/readyz`));
  const mainPid = () => propertyOf(machine, PROXY, 'MainPID');
  await until('both are ready', BOUND_MS, isReady);
  await until('the proxy is a peer', BOUND_MS, async () =>
    (await machine.run('hawker', 'peers')).stdout.includes('1 ready'),
  );
  t.equal(await pull(rig, image, 'apart'), '');

  const status = await readFile(machine.path(`/proc/${await mainPid()}/status`), 'utf8');
  for (const line of [/^NoNewPrivs:\t1$/m, /^Seccomp:\t2$/m, /^Cap(?:Eff|Bnd):\t0+$/m]) t.match(status, line);
  t.notMatch(status, /^Uid:\t0/m);
  const { mode } = await stat(machine.path('/var/lib/hawker'));
  t.equal(mode & 0o777, 0o700, 'the store');

  // One pull is under way, others come while nobody takes connections: the sockets keep them.
  const first = await mainPid();
  const url = urlOf(image);
  const [held] = (await once(get(url, { agent: false }), 'response')) as [IncomingMessage];
  const restarted = machine.must('systemctl', 'restart', PROXY);
  await until(
    'it is stopping',
    BOUND_MS,
    async () => (await propertyOf(machine, PROXY, 'SubState')) === 'stop-sigterm',
  );
  const others = ['a', 'b', 'c'].map((name) => pull(rig, image, name));
  const hash = createHash('sha256');
  for await (const chunk of held as AsyncIterable<Buffer>) hash.update(chunk);
  t.equal(`sha256:${hash.digest('hex')}`, image.native.layers[0], 'the pull that was under way is whole');
  t.same(await Promise.all(others), ['', '', ''], 'nor has another failed');
  await restarted;
  const second = await mainPid();
  t.not(second, first);

  await machine.must('systemctl', 'reload', PROXY);
  await until('it has reloaded', BOUND_MS, async () => (await journal(machine)).includes('CONFIG_RELOADED'));
  t.equal(await mainPid(), second, 'the same process');

  await machine.must('systemctl', 'kill', '--signal=KILL', PROXY);
  t.equal(await pull(rig, image, 'killed'), '', 'the socket waits for the next process');
  t.not(await mainPid(), second);
  t.equal(await propertyOf(machine, PROXY, 'NRestarts'), '1');

  await machine.must('systemctl', 'stop', PROXY, SUPERNODE_UNIT);
  for (const unit of [PROXY, SUPERNODE_UNIT]) t.equal(await propertyOf(machine, unit, 'Result'), 'success');
  t.ok(await isOk(`${API}/livez`), 'a connection starts it');
}

/** By the words of docs/install.md; nothing of Hawker is left. */
async function takesAway(t: Test, machine: Machine): Promise<void> {
  const { code, stdout, stderr } = await machine.run('sh', '-eux', '-c', await commandsAfter('\nTo take it away'));
  t.equal(code, 0, stdout + stderr);
  for (const url of [API, SUPERNODE, `http://${MIRROR}`]) await t.rejects(fetch(url), `nobody listens: ${url}`);
  const units = await machine.must('systemctl', 'list-units', '--all', '--plain', '--no-legend', 'hawker*');
  t.equal(units, '');
  t.equal((await machine.run('systemctl', 'is-system-running')).stdout.trim(), 'running', 'no unit has failed');
  const places = ['/etc', '/run', '/usr/bin', '/usr/lib', '/usr/local', '/var'];
  t.equal(await machine.must('find', ...places, '-xdev', '-name', '*hawker*', '-print'), '', 'nothing is left');
  t.not((await machine.run('id', 'hawker')).code, 0);
}

const journal = (machine: Machine) => machine.must('journalctl', '--no-pager', '--output=cat', `--unit=${PROXY}`);
