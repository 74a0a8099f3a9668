import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import * as fc from 'fast-check';
import t from 'tap';
import { CAUSES } from '../../scripts/faults/causes.ts';
import { answerTo, parseQuery } from '../../scripts/faults/dns-message.ts';
import { DnsServer } from '../../scripts/faults/dns-server.ts';
import { EIGHT } from '../../scripts/faults/eight.ts';
import { EXPECTED } from '../../scripts/faults/expected.ts';
import { ruleOf } from '../../scripts/faults/firewall.ts';
import { parseOptions } from '../../scripts/faults/options.ts';
import { type Outcome } from '../../scripts/faults/outcome.ts';
import { failedPart, outcomeText, page } from '../../scripts/faults/report.ts';
import { TcpRelay } from '../../scripts/faults/tcp-relay.ts';
import { PATIENCE_MS } from '../support/patience.ts';

t.test('the catalogue', async (t) => {
  const names = CAUSES.map(({ name }) => name);
  t.same([...new Set(names)], names, 'each name once');
  t.same(names.toSorted(), Object.keys(EXPECTED).toSorted(), 'it is said of each what is to be seen');
  // ip-link(8): an interface's name has 15 characters at most, and "to-" is before it.
  for (const { name } of CAUSES) t.ok(name.length <= 12, name);
  for (const name of EIGHT) t.ok(names.includes(name), name);
});

t.test('DNS, asked by a real resolver', async (t) => {
  const server = await DnsServer.start('127.0.0.1', 0);
  t.teardown(() => server.close());
  const [resolver, hasty] = [PATIENCE_MS, 200].map((timeout) => new Resolver({ timeout, tries: 1 })) as [
    Resolver,
    Resolver,
  ];
  for (const each of [resolver, hasty]) each.setServers([`127.0.0.1:${server.port}`]);
  server.set('sn.test', ['10.0.0.1', '10.0.0.2', 'fd00::1:2']);
  t.same(await resolver.resolve4('sn.test'), ['10.0.0.1', '10.0.0.2'], 'in their order');
  t.same(await resolver.resolve6('SN.test'), ['fd00::1:2']);
  server.set('sn.test', ['10.0.0.3']);
  t.same(await resolver.resolve4('sn.test'), ['10.0.0.3'], 'nothing is kept of an answer');
  await t.rejects(resolver.resolve6('sn.test'), { code: 'ENODATA' }, 'it has none of the other kind');
  await t.rejects(resolver.resolve4('other.test'), { code: 'ENOTFOUND' }, 'of which nothing was said');
  server.set('sn.test', 'NXDOMAIN');
  await t.rejects(resolver.resolve4('sn.test'), { code: 'ENOTFOUND' });
  server.set('sn.test', 'silence');
  await t.rejects(hasty.resolve4('sn.test'), { code: 'ETIMEOUT' });
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  socket.send(Buffer.from('no DNS'), server.port, '127.0.0.1');
  server.set('sn.test', ['10.0.0.4']);
  t.same(await resolver.resolve4('sn.test'), ['10.0.0.4'], 'what is no query is passed over');
});

t.test('whatever bytes come, a query is parsed or refused', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const message = Buffer.from(bytes);
      const question = parseQuery(message);
      return question === undefined || answerTo(message, question, ['10.0.0.1', '::1']).length >= question.end;
    }),
  );
});

t.test('a relay', async (t) => {
  const echo = createServer((socket) => socket.pipe(socket).on('error', () => socket.destroy())).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  t.teardown(() => echo.close());
  const target = { host: '127.0.0.1', port: (echo.address() as AddressInfo).port };
  const relay = await TcpRelay.start('127.0.0.1', target, 20);
  t.teardown(() => relay.close());
  const open = async () => {
    const socket = connect(Number(new URL(relay.url).port), '127.0.0.1').setEncoding('utf8');
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write('hello');
    return socket;
  };
  const passed = await open();
  t.same(await once(passed, 'data'), ['hello']);
  const broken = once(passed, 'close');
  relay.become('half-open');
  await broken;
  const unheard = await open();
  const answered = once(unheard, 'data');
  relay.become('slow');
  await t.rejects(Promise.race([answered, once(unheard, 'close').then(() => Promise.reject(new Error('nothing')))]));
  const slow = await open();
  t.same(await once(slow, 'data'), ['hello']);
  slow.destroy();
  relay.become('not-hawker');
  const web = await fetch(relay.url);
  t.equal(web.status, 200);
  t.match(await web.text(), 'It works');
  relay.become('pass');
  const cut = relay.cutNext('back');
  const half = await open();
  t.same(await once(half, 'data'), ['hell'], 'all but the last byte');
  await Promise.all([cut, once(half, 'close')]);
  t.same(await once(await open(), 'data'), ['hello'], 'once');
  const { url } = relay;
  await relay.down();
  await t.rejects(fetch(url), 'nobody listens');
  await relay.up();
  t.equal(relay.url, url);
  const again = await open();
  t.same(await once(again, 'data'), ['hello']);
  again.destroy();
});

t.test('firewall rules', async (t) => {
  const rule = ruleOf({ how: 'DROP', way: 'INPUT', peer: '10.0.0.1', peerPort: 6789 });
  t.equal(rule.join(' '), 'INPUT --in-interface eth0 --protocol tcp --source 10.0.0.1 --sport 6789 --jump DROP');
  const other = ruleOf({ how: 'REJECT', way: 'OUTPUT', peer: '10.0.0.1', ownPort: 1, peerPort: 2 });
  t.equal(
    other.join(' '),
    'OUTPUT --out-interface eth0 --protocol tcp --destination 10.0.0.1 --sport 1 --dport 2 --jump REJECT',
  );
});

t.test('options', async (t) => {
  t.match(parseOptions([]), { only: [], jobs: 4, freezeMs: 30_000, heartbeat: '5s', help: false });
  t.match(parseOptions(['clock', '--jobs', '2', '--freeze', '1s']), { only: ['clock'], jobs: 2, freezeMs: 1000 });
  t.throws(() => parseOptions(['nothing-like-it']), /no cause/);
  t.throws(() => parseOptions(['--jobs', '0']), /from 1/);
  t.throws(() => parseOptions(['--freeze', 'long']), /with a unit/);
});

t.test('docs/faults.md has every cause', async (t) => {
  const text = await readFile('docs/faults.md', 'utf8');
  for (const { title } of CAUSES) t.ok(text.includes(`| ${title} `), `${title}: run npm run faults`);
  for (const name of EIGHT) t.match(text, `: ${CAUSES.find((cause) => cause.name === name)!.title}\n`);
});

t.test('the page', async (t) => {
  const outcome: Outcome = {
    cause: { name: 'x', title: 'A | B' },
    peers: 'stale: `nothing` was heard',
    doctor: { exitCode: 1, failed: ['SUPERNODE_TCP'] },
    proxyLog: ['SUPERNODE_SILENT', 'it does not start'],
    supernodeLog: [],
    wholeMs: 1234,
    cured: true,
    faults: [],
  };
  const eight = {
    peers: 'ID HOST\n',
    nodes: [{ host: 'n1', cause: outcome.cause, doctor: undefined, faults: [] }],
  };
  const text = page([outcome], eight, { date: '2026-01-01', machine: 'm', heartbeat: '5s', freeze: '30s' });
  t.match(text, '| A \\| B | ');
  t.match(text, '`SUPERNODE_SILENT`, it does not start | - | whole after 1.2 s |');
  t.match(text, '### n1: A | B');
  const printed =
    'ok       a: fine\nFAILED   b\n         seen     x\nskipped  c: not here\n\n3 checks: 1 ok, 1 failed, 1 skipped\n';
  t.equal(failedPart(printed), 'FAILED   b\n         seen     x\n3 checks: 1 ok, 1 failed, 1 skipped');
  t.match(outcomeText({ ...outcome, faults: ['this'] }), 'NOT RIGHT  this');
});
