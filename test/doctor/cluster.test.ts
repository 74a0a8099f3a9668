import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startSupernode } from '../../src/app/supernode-service.ts';
import { startUp } from '../../src/app/up.ts';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { Config } from '../../src/config/config.ts';
import { checkCluster, CLUSTER_CHECKS } from '../../src/doctor/cluster.ts';
import { eventually, json, nodeConfig, peersReady, urlOf } from '../support/cluster.ts';
import { aroundOf, failures, listeningConfig, of, startNode } from '../support/doctor-rig.ts';
import { closedPort, http, oddSupernode, rubbish, serveOn, silent } from '../support/odd-servers.ts';
import { makeSupernode, SECRET, serve } from '../support/swarm-rig.ts';

const ORIGIN = 'http://127.0.0.1:1';
const doctor = (config: Config) => checkCluster(aroundOf(config));

/** A configuration whose every port is closed, for a node that does not run. */
async function stoppedConfig(t: Test, supernodes: string[], more: Partial<Config> = {}): Promise<Config> {
  const listen = async () => ({ listen: { host: '127.0.0.1', port: await closedPort() } });
  const base = nodeConfig({ dir: t.testdir({}), origin: ORIGIN, supernodes });
  const [proxy, api, peer, supernode] = [await listen(), await listen(), await listen(), await listen()];
  return {
    ...base,
    proxy: { ...base.proxy, ...proxy },
    api,
    peer: { ...base.peer, ...peer },
    supernode: { ...base.supernode, ...supernode },
    ...more,
  };
}

async function supernodeOf(t: Test, cluster: Config['cluster'] = { secretFile: undefined }): Promise<string> {
  const config = { ...nodeConfig({ dir: '/nowhere', origin: ORIGIN }), cluster };
  const supernode = await startSupernode(config, { log: silentLogger });
  t.teardown(() => supernode.stop());
  return urlOf(supernode, 'supernode');
}

function secretFile(t: Test, name: string, secret: string): Config['cluster'] {
  const directory = mkdtempSync(join(tmpdir(), 'hawker-doctor-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, name);
  writeFileSync(path, `${secret}\n`, { mode: 0o600 });
  return { secretFile: path };
}

/** Until the proxy of that configuration says so of its session. */
async function sessionIs(config: Config, code: string): Promise<void> {
  const url = `http://127.0.0.1:${config.api.listen.port}/api/v1/status`;
  await eventually(`the session says ${code || 'that it is connected'}`, async () => {
    const { supernodes } = await json<{ supernodes: { code: string; state: string }[] }>(url);
    return supernodes.some((each) => each.code === code && (code !== '' || each.state === 'connected'));
  });
}

t.test('a healthy node of two: everything was done, and is well', async (t) => {
  const dir = t.testdir({});
  const supernode = await supernodeOf(t);
  const node = (name: string) =>
    startNode(t, nodeConfig({ dir: `${dir}/${name}`, origin: ORIGIN, supernodes: [supernode] }));
  const config = await node('a');
  await node('b');
  await peersReady(supernode, 2);
  const findings = await doctor(config);
  const notDone = findings.filter(({ status }) => status !== 'ok').map(({ code }) => code);
  t.same(notDone, ['SUPERNODE_HERE'], 'the supernode is elsewhere');
  t.match(of(findings, 'SUPERNODE_HERE'), { status: 'skipped', seen: /names others/ });
  t.match(of(findings, 'PEERS').seen, /^1 ready$/);
  t.match(of(findings, 'DIAL_BACK').seen, new RegExp(`has reached 127.0.0.1:${config.peer.listen.port}`));
  const codes = new Set(findings.map(({ code }) => code));
  for (const { code } of CLUSTER_CHECKS) t.ok(codes.has(code), code);
});

t.test('hawker up, alone: all well, its own supernode too', async (t) => {
  const base = await stoppedConfig(t, []);
  const config = { ...base, supernodes: [`http://localhost:${base.supernode.listen.port}`] };
  const service = await startUp(config, { log: silentLogger });
  t.teardown(() => service.stop());
  await peersReady(urlOf(service, 'supernode'), 1);
  const findings = await doctor(listeningConfig(config, service));
  t.same(failures(findings), []);
  t.match(of(findings, 'SUPERNODE_HERE').status, 'ok');
  t.match(of(findings, 'SAME_CONFIG').status, 'ok');
  t.match(of(findings, 'PEERS').seen, /alone/);
});

t.test('nothing runs: that is the root, what needs it is skipped', async (t) => {
  const config = await stoppedConfig(t, []);
  const findings = await doctor({ ...config, supernodes: [`http://127.0.0.1:${config.supernode.listen.port}`] });
  t.same(failures(findings), ['PROXY_API', 'SUPERNODE_HERE', 'SUPERNODE_TCP']);
  t.match(of(findings, 'PROXY_API'), { error: 'NOT_RUNNING', todo: /hawker proxy/ });
  t.match(of(findings, 'SUPERNODE_HERE'), { error: 'NOT_RUNNING', todo: /hawker supernode/ });
  for (const code of ['SUPERNODE_HTTP', 'SUPERNODE_PROTOCOL', 'MEMBERSHIP']) {
    t.match(of(findings, code), { status: 'skipped', seen: /^no connection to 127\.0\.0\.1:\d+$/ });
  }
});

t.test('ports that others have: by whom', async (t) => {
  const config = await stoppedConfig(t, []);
  const supernodes = [`http://127.0.0.1:${config.supernode.listen.port}`];
  const { port: own } = config.supernode.listen;
  await serveOn(
    t,
    createServer((socket) => socket.end('220 smtp\r\n')),
    own,
  );
  const taken = {
    ...config,
    supernodes,
    api: { listen: { host: '127.0.0.1', port: await http(t, (_, r) => r.end('{}')) } },
  };
  const registry = await http(t, (request, response) =>
    response.writeHead(request.url === '/v2/' ? 200 : 404).end('{}'),
  );
  const proxy = { ...config.proxy, listen: { host: '127.0.0.1', port: registry } };
  const peer = { ...config.peer, listen: { host: '127.0.0.1', port: await rubbish(t) } };
  const findings = await doctor({ ...taken, proxy, peer });
  for (const code of ['PROXY_API', 'MIRROR', 'PIECE_PORT', 'SUPERNODE_HERE']) {
    t.match(of(findings, code), {
      status: 'failed',
      error: 'PORT_TAKEN',
      seen: process.platform === 'linux' ? /\(pid \d+\) has/ : / has /,
    });
  }
  t.match(of(findings, 'DIAL_BACK'), { status: 'skipped', seen: /does not answer/ });
});

t.test('everything hangs: it ends all the same, and says so', async (t) => {
  const at = async () => ({ host: '127.0.0.1', port: await silent(t) });
  const config = await stoppedConfig(t, [`http://127.0.0.1:${await silent(t)}`, `http://127.0.0.1:${await silent(t)}`]);
  const hung = {
    ...config,
    api: { listen: await at() },
    proxy: { ...config.proxy, listen: await at() },
    peer: { ...config.peer, listen: await at() },
  };
  const findings = await doctor(hung);
  t.same(failures(findings), ['PROXY_API', 'MIRROR', 'PIECE_PORT', 'SUPERNODE_HTTP', 'SUPERNODE_HTTP']);
  t.match(of(findings, 'PROXY_API'), { error: 'SERVICE_HANGS', seen: /says nothing within/ });
  t.match(of(findings, 'PIECE_PORT').error, 'SERVICE_HANGS');
  t.match(of(findings, 'SUPERNODE_HTTP'), { error: 'SUPERNODE_SILENT' });
  t.match(of(findings, 'SUPERNODE_PROTOCOL'), { status: 'skipped', seen: /no supernode answers/ });
  t.match(of(findings, 'SESSION'), { status: 'skipped', seen: 'the proxy does not say' });
});

t.test('no supernode by configuration; ports that are not known', async (t) => {
  const findings = await doctor(nodeConfig({ dir: t.testdir({}), origin: ORIGIN, supernodes: [] }));
  t.same(failures(findings), []);
  t.match(of(findings, 'SUPERNODE_NAME'), { status: 'skipped', seen: /alone/ });
  for (const code of ['PROXY_API', 'MIRROR', 'PIECE_PORT']) t.match(of(findings, code).seen, /port 0/);
});

t.test('a wrong join secret', async (t) => {
  const dir = t.testdir({});
  const supernode = await supernodeOf(t, secretFile(t, 'right', SECRET));
  const wrong = {
    ...nodeConfig({ dir, origin: ORIGIN, supernodes: [supernode] }),
    cluster: secretFile(t, 'wrong', 'w'.repeat(40)),
  };
  const config = await startNode(t, wrong);
  await sessionIs(config, 'NOT_A_MEMBER');
  const findings = await doctor(config);
  t.same(failures(findings), ['MEMBERSHIP', 'SESSION', 'REGISTRATION', 'REGISTRATIONS', 'PEERS']);
  t.match(of(findings, 'MEMBERSHIP'), { error: 'NOT_A_MEMBER', todo: /cluster\.secretFile/ });
  t.match(of(findings, 'SUPERNODE_PROTOCOL').status, 'ok');
  t.match(of(findings, 'SESSION'), { error: 'NOT_A_MEMBER', seen: /failed since/, todo: /secretFile/ });
  t.match(of(findings, 'REGISTRATION'), { error: 'NOT_A_MEMBER', seen: /has refused 127\.0\.0\.1/ });
  t.match(of(findings, 'DIAL_BACK'), { status: 'skipped', seen: /no session/ });
  const unread = await doctor({ ...config, cluster: { secretFile: '/nowhere/at/all' } });
  t.match(of(unread, 'MEMBERSHIP'), { status: 'skipped', seen: /cannot be read/ });
  t.match(of(unread, 'SUPERNODE_PROTOCOL'), { status: 'ok', seen: /not tried/ });
  t.match(of(unread, 'PIECE_PORT').seen, /not checked/);
  const right = { ...config, cluster: secretFile(t, 'right', SECRET) };
  t.match(of(await doctor(right), 'PIECE_PORT'), {
    status: 'failed',
    error: 'PORT_TAKEN',
    seen: /another join secret/,
  });
});

t.test('another version of the protocol, and what does not speak it', async (t) => {
  const challenge = {
    t: 'challenge',
    nonce: 'n'.repeat(22),
    epoch: 'epoch-01',
    version: '9.9.9',
    membership: false,
    time: 0,
  };
  const says = (protocol: string) => JSON.stringify({ ...challenge, protocol });
  const at = async (odd: Parameters<typeof oddSupernode>[1]) =>
    doctor(await stoppedConfig(t, [`http://127.0.0.1:${await oddSupernode(t, odd)}`]));
  const newer = await at({ protocol: '2.0', says: says('2.0') });
  t.match(of(newer, 'SUPERNODE_PROTOCOL'), { status: 'failed', error: 'PROTOCOL_VERSION', seen: /upgrade the proxy/ });
  t.match(of(newer, 'MEMBERSHIP'), { status: 'skipped', seen: /no session/ });
  t.match(of(newer, 'DIAL_BACK'), { status: 'skipped', seen: /no session/ });
  const older = await at({ protocol: '0.9', says: says('0.9') });
  t.match(of(older, 'SUPERNODE_PROTOCOL'), { error: 'PROTOCOL_VERSION', seen: /upgrade the supernode/ });
  const chat = await at({ says: '{"hello":1}' });
  t.match(of(chat, 'SUPERNODE_PROTOCOL'), { status: 'failed', error: 'SUPERNODE_NOT_HAWKER' });
});

t.test('a supernode that takes sessions and says nothing', async (t) => {
  const url = `http://127.0.0.1:${await oddSupernode(t)}`;
  const findings = await doctor(await stoppedConfig(t, [url]));
  t.match(of(findings, 'SUPERNODE_PROTOCOL'), { status: 'failed', error: 'SUPERNODE_SILENT', todo: /hangs/ });
});

t.test('a node that cannot be reached, as the supernode tries it', async (t) => {
  const supernode = await supernodeOf(t);
  const base = nodeConfig({ dir: t.testdir({}), origin: ORIGIN, supernodes: [supernode] });
  const advertise = [`127.0.0.1:${await closedPort()}`];
  const config = await startNode(t, { ...base, peer: { ...base.peer, advertise } });
  await sessionIs(config, '');
  await eventually('it was tested', async () => {
    const { peers } = await json<{ peers: { reason: string }[] }>(`${supernode}/api/v1/peers`);
    return /ECONNREFUSED/.test(peers[0]?.reason ?? '');
  });
  const findings = await doctor(config);
  t.same(failures(findings), ['REGISTRATION', 'DIAL_BACK']);
  t.match(of(findings, 'REGISTRATION'), { error: 'PEER_NOT_READY', seen: /unreachable since .*ECONNREFUSED/ });
  t.match(of(findings, 'DIAL_BACK'), {
    error: 'DIAL_BACK_FAILED',
    seen: new RegExp(advertise[0]!),
    meaning: /gives nothing/,
  });
});

t.test('no proxy runs: doctor stands in for it', async (t) => {
  const supernode = await supernodeOf(t);
  const config = await stoppedConfig(t, [supernode]);
  const well = await doctor(config);
  t.same(failures(well), ['PROXY_API']);
  t.match(of(well, 'DIAL_BACK'), { status: 'ok', seen: /doctor listened in its place.*has reached 127\.0\.0\.1/ });
  t.match(of(well, 'REGISTRATION'), { status: 'skipped', seen: 'no proxy runs here' });
  const { peers } = await json<{ peers: unknown[] }>(`${supernode}/api/v1/peers`);
  t.same(peers, [], 'it was no peer');
  const advertise = [`127.0.0.1:${await closedPort()}`];
  const far = await doctor({ ...config, peer: { ...config.peer, advertise } });
  t.match(of(far, 'DIAL_BACK'), { status: 'failed', error: 'DIAL_BACK_FAILED', seen: /ECONNREFUSED.*in its place/ });
  const listen = { host: '127.0.0.1', port: await rubbish(t) };
  const taken = await doctor({ ...config, peer: { ...config.peer, listen } });
  t.match(of(taken, 'DIAL_BACK'), { status: 'failed', error: 'ADDRESS_IN_USE', meaning: /would not start/ });
});

t.test('two proxies with the same peer id', async (t) => {
  const dir = t.testdir({ a: {}, b: {} });
  const supernode = await supernodeOf(t);
  const node = (name: string) =>
    startNode(t, nodeConfig({ dir: `${dir}/${name}`, origin: ORIGIN, supernodes: [supernode] }));
  await node('a');
  await peersReady(supernode, 1);
  cpSync(`${dir}/a/v1/peer-id`, `${dir}/b/v1/peer-id`, { recursive: true });
  const clone = await node('b');
  await sessionIs(clone, 'DUPLICATE_ID');
  const findings = await doctor(clone);
  t.match(of(findings, 'SESSION'), { status: 'failed', error: 'DUPLICATE_ID' });
  t.match(of(findings, 'REGISTRATION'), { status: 'failed', error: 'DUPLICATE_ID', todo: /remove v1\/peer-id/ });
});

t.test('a clock that is two minutes behind the supernode', async (t) => {
  const clock = { ...systemClock, now: () => Date.now() + 120_000 };
  const { url } = await serve(t, makeSupernode(clock));
  const findings = await doctor(await stoppedConfig(t, [url], { cluster: secretFile(t, 'secret', SECRET) }));
  t.match(of(findings, 'CLOCK'), { status: 'failed', error: 'CLOCK_SKEW', seen: /2 min behind/ });
  t.match(of(findings, 'MEMBERSHIP'), { status: 'ok', seen: /each has proved/ });
});

t.test('several supernodes; a proxy with another configuration than this', async (t) => {
  const dir = t.testdir({});
  const [first, second] = [await supernodeOf(t), await supernodeOf(t)];
  const down = `http://127.0.0.1:${await closedPort()}`;
  const config = await startNode(t, nodeConfig({ dir, origin: ORIGIN, supernodes: [down, first, second] }));
  await peersReady(first, 1);
  await sessionIs(config, '');
  const findings = await doctor(config);
  const sessions = findings.filter(({ code }) => code === 'SESSION');
  t.match(sessions, [
    { status: 'failed', error: 'SUPERNODE_UNREACHABLE', meaning: /substitute/ },
    { status: 'ok' },
    { status: 'ok', seen: /not needed/ },
  ]);
  t.same(failures(findings), ['SUPERNODE_TCP', 'SESSION']);
  t.match(of(findings, 'REGISTRATION'), { status: 'ok', title: new RegExp(new URL(first).host) });
  const others = await doctor({ ...config, supernodes: [second] });
  t.match(of(others, 'SAME_CONFIG'), {
    status: 'failed',
    error: 'OTHER_CONFIG',
    seen: new RegExp(second),
    todo: /--config/,
  });
  t.match(of(others, 'SESSION').status, 'ok', 'one of those it looks for');
  const strange = await doctor({ ...config, supernodes: [`http://127.0.0.1:${await closedPort()}`] });
  t.match(of(strange, 'SESSION'), { status: 'skipped', seen: /does not look for it/ });
});
