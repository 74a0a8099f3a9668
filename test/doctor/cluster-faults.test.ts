import { cpSync } from 'node:fs';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { eventually, json, nodeConfig, peersReady } from '../support/cluster.ts';
import {
  doctor,
  failures,
  of,
  ORIGIN,
  secretFile,
  sessionIs,
  startNode,
  stoppedConfig,
  supernodeOf,
} from '../support/doctor-rig.ts';
import { closedPort, rubbish } from '../support/odd-servers.ts';
import { makeSupernode, SECRET, serve } from '../support/swarm-rig.ts';

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
  const unread = await doctor({ ...config, cluster: { ...config.cluster, secretFile: '/nowhere/at/all' } });
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

t.test('a supernode that other machines can reach tells members and operators who is there', async (t) => {
  const right = secretFile(t, 'right', SECRET);
  const operator = secretFile(t, 'operator-token', 'o'.repeat(40)).secretFile;
  const supernode = await supernodeOf(t, { ...right, operatorTokenFile: operator }, '0.0.0.0');
  const base = await stoppedConfig(t, [supernode]);
  const found = (cluster: object) => doctor({ ...base, cluster: { ...base.cluster, ...cluster } });
  for (const cluster of [right, { ...right, operatorTokenFile: operator }]) {
    const findings = await found(cluster);
    t.match(of(findings, 'SUPERNODE_API'), { status: 'ok' });
    t.match(of(findings, 'SUPERNODE_HTTP'), { status: 'ok', seen: /a supernode of Hawker \d/ });
    t.match(of(findings, 'REGISTRATIONS'), { status: 'ok' });
  }
  const wrongToken = await found({ ...right, operatorTokenFile: right.secretFile });
  t.match(of(wrongToken, 'SUPERNODE_API'), { status: 'failed', error: 'OPERATOR_TOKEN_WRONG' });
  t.match(of(wrongToken, 'MEMBERSHIP'), { status: 'ok' });
  t.match(of(wrongToken, 'REGISTRATIONS'), { status: 'skipped' });
  const stranger = await found(secretFile(t, 'wrong', 'w'.repeat(40)));
  t.match(of(stranger, 'SUPERNODE_HTTP'), { status: 'ok', seen: /unknown version/ });
  t.match(of(stranger, 'MEMBERSHIP'), { status: 'failed', error: 'NOT_A_MEMBER' });
  t.match(of(stranger, 'SUPERNODE_API'), { status: 'skipped', seen: /no member/ });
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

t.test('a clock that is three minutes behind the supernode', async (t) => {
  const clock = { ...systemClock, now: () => Date.now() + 180_000 };
  const { url } = await serve(t, makeSupernode(clock));
  const findings = await doctor(await stoppedConfig(t, [url], { cluster: secretFile(t, 'secret', SECRET) }));
  t.match(of(findings, 'CLOCK'), { status: 'failed', error: 'CLOCK_SKEW', seen: /3 min behind/ });
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
