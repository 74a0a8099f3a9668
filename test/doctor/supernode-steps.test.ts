import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { checkHttp } from '../../src/doctor/supernode-http.ts';
import { checkName, resolveAll } from '../../src/doctor/supernode-name.ts';
import { checkTcp } from '../../src/doctor/supernode-tcp.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { NO_SUCH_HOST } from '../support/no-such-host.ts';
import { closedPort, http, oddSupernode, rubbish, silent } from '../support/odd-servers.ts';

const url = (port: number, host = '127.0.0.1') => new URL(`http://${host}:${port}`);

t.test('name: all addresses; an empty answer, none, and none in time are failures', async (t) => {
  const clock = systemClock;
  const at = (text: string, resolve = resolveAll) => checkName(new URL(text), { clock, resolve });
  t.match(await at('http://[::1]:1'), { addresses: ['::1'], finding: { code: 'SUPERNODE_NAME', status: 'ok' } });
  t.match((await at('http://localhost:1')).finding, { status: 'ok', seen: /^localhost is .*127\.0\.0\.1/ });
  const two = await at('http://sn:1', async () => ['10.0.0.1', '10.0.0.2', '10.0.0.1']);
  t.match(two, { addresses: ['10.0.0.1', '10.0.0.2'], finding: { seen: /^sn is 10\.0\.0\.1, 10\.0\.0\.2 \(/ } });
  const many = await at('http://sn:1', async () => Array.from({ length: 20 }, (_, i) => `10.0.0.${i}`));
  t.equal(many.addresses.length, 8);
  t.match(many.finding.seen, /the first 8 are tried/);
  t.match(await at('http://sn:1', async () => []), { addresses: [], finding: { status: 'failed', seen: /empty/ } });
  const none = await at(`http://${NO_SUCH_HOST}:1`);
  t.match(none.finding, {
    status: 'failed',
    error: 'SUPERNODE_UNRESOLVED',
    seen: NO_SUCH_HOST,
    todo: /DNS/,
  });
  const manual = new ManualClock();
  const hung = checkName(new URL('http://sn:1'), { clock: manual, resolve: () => new Promise(() => {}) });
  await manual.advance(3000);
  t.match((await hung).finding, { status: 'failed', seen: /no answer within 3\.0 s/ });
});

t.test('TCP: one address that takes the connection is enough; refused', async (t) => {
  const port = await silent(t);
  t.match(await checkTcp(url(port), ['127.0.0.1']), { open: ['127.0.0.1'], finding: { status: 'ok' } });
  const two = await checkTcp(url(port, 'sn'), ['::1', '127.0.0.1']);
  t.match(two, {
    open: ['127.0.0.1'],
    finding: { status: 'ok', seen: /^\[::1\]:\d+ \S.*; 127\.0\.0\.1:\d+ connected$/ },
  });
  const { finding, open } = await checkTcp(url(await closedPort()), ['127.0.0.1']);
  t.same(open, []);
  t.match(finding, {
    status: 'failed',
    error: 'SUPERNODE_UNREACHABLE',
    meaning: /nothing listens/,
    todo: /supernode\.listen/,
  });
  t.match((await checkTcp(url(9), ['255.255.255.255'])).finding, {
    status: 'failed',
    meaning: /no way|itself|not a usual/,
  });
});

/** Listens, takes nothing, and sleeps: once its queue is full, the kernel drops what else comes (listen(2)). */
const DEAF = `const s = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  require('fs').writeSync(1, String(s.address().port)); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); });`;

t.test('TCP: dropped packets', { skip: process.platform !== 'linux' && 'other queues' }, async (t) => {
  const child = spawn(process.execPath, ['-e', DEAF]);
  t.teardown(() => child.kill('SIGKILL'));
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(said.toString());
  for (let n = 0; n < 3; n += 1) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    t.teardown(() => socket.destroy());
    if (n < 2) await once(socket, 'connect');
  }
  const { finding } = await checkTcp(url(port), ['127.0.0.1']);
  t.match(finding, {
    status: 'failed',
    error: 'SUPERNODE_TIMEOUT',
    seen: /no answer within/,
    meaning: /drops the packets/,
    todo: /let TCP \d+ through/,
  });
});

t.test('HTTP: what is no supernode', async (t) => {
  const at = async (port: number) =>
    (await checkHttp(url(port), ['127.0.0.1'], { authorization: undefined, tls: undefined })).finding;
  t.match(await at(await silent(t)), { status: 'failed', error: 'SUPERNODE_SILENT' });
  t.match(await at(await rubbish(t)), { status: 'failed', error: 'SUPERNODE_NOT_HAWKER', seen: /not HTTP/ });
  t.match(await at(await http(t, (_, response) => response.writeHead(404).end())), {
    error: 'SUPERNODE_NOT_HAWKER',
    seen: /HTTP status 404/,
  });
  t.match((await at(await http(t, (_, response) => response.writeHead(503).end()))).error, 'SUPERNODE_UNAVAILABLE');
  const healthy = await http(t, (_, response) => response.end('"ok"'));
  t.match(await at(healthy), { error: 'SUPERNODE_NOT_HAWKER', seen: /\/api\/v1\/status is not/ });
  const proxy = await http(t, (_, response) => response.end('{"version":"1","store":{}}'));
  t.match(await at(proxy), { error: 'SUPERNODE_NOT_HAWKER', seen: /proxy's own API/ });
  const byName = await http(t, (_, response) => {
    response.writeHead(403).end('{"code":"HOST_REFUSED","message":"ask for a loopback address"}');
  });
  t.match(await at(byName), { error: 'HOST_REFUSED', todo: /loopback address/ });
});

t.test('HTTP: a supernode, at the first address that has one', async (t) => {
  const port = await oddSupernode(t);
  const look = await checkHttp(url(port, 'sn'), ['::1', '127.0.0.1'], { authorization: undefined, tls: undefined });
  t.match(look, { ip: '127.0.0.1', version: '9.9.9', protocol: '1.0' });
  t.match(look.finding, { status: 'ok', seen: /Hawker 9\.9\.9; not so ::1/ });
});
