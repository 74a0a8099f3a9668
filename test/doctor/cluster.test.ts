import { createServer } from 'node:net';
import t from 'tap';
import { startUp } from '../../src/app/up.ts';
import { silentLogger } from '../../src/base/log.ts';
import { CLUSTER_CHECKS } from '../../src/doctor/cluster.ts';
import { nodeConfig, peersReady, urlOf } from '../support/cluster.ts';
import {
  doctor,
  failures,
  listeningConfig,
  of,
  ORIGIN,
  startNode,
  stoppedConfig,
  supernodeOf,
} from '../support/doctor-rig.ts';
import { http, oddSupernode, rubbish, serveOn, silent } from '../support/odd-servers.ts';

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
  // Of a supernode at https only (test/app/tls-cluster.test.ts).
  for (const { code } of CLUSTER_CHECKS) t.equal(codes.has(code), code !== 'SUPERNODE_HANDSHAKE', code);
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
