import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { runCli } from '../../src/cli/cli.ts';
import type { ProcessPort } from '../../src/cli/process-port.ts';

const SINCE = '2026-01-02T03:04:05.678Z';
const PEER = {
  id: 'aaaaaaaa',
  host: 'n1',
  state: 'ready',
  reason: '',
  zone: '',
  version: '1.0.0',
  since: SINCE,
  blobs: 3,
};
const REJECTED = { address: '10.0.0.9:4', code: 'NOT_A_MEMBER', message: 'wrong secret', at: SINCE, count: 2 };
const SUPERNODE = { role: 'supernode', version: '1.0.0', protocol: '1.0', since: SINCE, peers: { ready: 2, left: 0 } };
const PROXY = {
  version: '1.0.0',
  peer: 'aaaaaaaa',
  supernodes: [
    { url: 'http://s:1', state: 'failed', code: 'NOT_A_MEMBER', message: 'wrong secret', since: SINCE },
    { url: 'http://s:2', state: 'connected', code: '', message: '', since: SINCE },
  ],
  store: { bytes: 1024, quota: 2 * 1024 ** 3 },
  downloads: [{}, {}],
};

async function run(argv: string[], more: Partial<ProcessPort> = {}) {
  const result = { status: -1, out: '', err: '' };
  result.status = await runCli({
    argv,
    environment: {},
    account: { root: false, home: '/home/me' },
    directory: '/',
    isTerminal: false,
    print: (text) => void (result.out += text),
    complain: (text) => void (result.err += text),
    onSignal: () => {},
    onCrash: () => {},
    terminalGone: () => false,
    exit: () => {},
    ...more,
  });
  return result;
}

/** Answers each path with its JSON. */
async function serve(t: Test, answers: Record<string, unknown>): Promise<string> {
  const server = createServer((request, response) => response.end(JSON.stringify(answers[request.url!])));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function peers(t: Test, answer: object, argv: string[] = [], more: Partial<ProcessPort> = {}) {
  const url = `http://${await serve(t, { '/api/v1/peers': answer })}`;
  return { url, ...(await run(['peers', '--supernodes', url, ...argv], more)) };
}

t.test('peers: who is here, in which state and why, and who was turned away', async (t) => {
  const far = { ...PEER, id: 'bbbbbbbb', state: 'unreachable', reason: '10.0.0.5:1: ECONNREFUSED', zone: 'z' };
  const answer = { peers: [PEER, far], rejected: [REJECTED], more: 1 };
  const { url, status, out, err } = await peers(t, answer);
  t.same([status, err], [0, '']);
  t.equal(
    out,
    [
      `2 peers at ${url}: 1 ready, 1 unreachable.`,
      '',
      'ID        HOST  STATE        ZONE  VERSION  SINCE                 BLOBS  REASON',
      'aaaaaaaa  n1    ready        -     1.0.0    2026-01-02 03:04:05Z      3  -',
      'bbbbbbbb  n1    unreachable  z     1.0.0    2026-01-02 03:04:05Z      3  10.0.0.5:1: ECONNREFUSED',
      '',
      'Rejected registrations:',
      'ADDRESS     CODE          LAST                  TIMES  MESSAGE',
      '10.0.0.9:4  NOT_A_MEMBER  2026-01-02 03:04:05Z      2  wrong secret',
      '',
    ].join('\n'),
  );
  t.same(JSON.parse((await peers(t, answer, ['--json'])).out), answer, 'as the API gives it');
});

t.test('no peers: why', async (t) => {
  t.match((await peers(t, { peers: [], rejected: [] })).out, /^No peers at \S+: nobody has registered/);
  const rejected = [REJECTED, { ...REJECTED, code: 'BAD_ADDRESS', count: 1 }];
  const turnedAway = (await peers(t, { peers: [], rejected })).out;
  t.match(turnedAway, /^No peers at \S+: 3 registrations rejected \(2 NOT_A_MEMBER, 1 BAD_ADDRESS\)/);
  t.match(turnedAway, /wrong secret/);
  const down = await run(['peers', '--supernodes', 'http://127.0.0.1:1']);
  t.same([down.status, down.out], [1, '']);
  t.match(down.err, /^hawker: SERVICE_UNREACHABLE: the supernode does not answer at http:\/\/127\.0\.0\.1:1: .*\n$/);
  t.match((await run(['peers', '--supernodes', ''])).err, /^hawker: NO_SUPERNODE: /);
});

t.test('colour is for terminals, and for those who want it', async (t) => {
  const answer = { peers: [PEER], rejected: [] };
  t.match((await peers(t, answer, [], { isTerminal: true })).out, '\u001B[32mready');
  t.notMatch((await peers(t, answer)).out, '\u001B');
  t.notMatch((await peers(t, answer, [], { isTerminal: true, environment: { NO_COLOR: '1' } })).out, '\u001B');
});

t.test('the commands ask what the file names, and need none of the files in it', async (t) => {
  const address = await serve(t, { '/api/v1/peers': { peers: [PEER], rejected: [] } });
  const yaml = `supernodes: ['http://${address}']\ncluster: {secretFile: /nope}`;
  const directory = t.testdir({ 'h.yaml': yaml });
  t.match(await run(['peers', '--config', 'h.yaml'], { directory }), { status: 0, out: /^1 peer at/ });
});

t.test('blobs: how many hold and fetch each', async (t) => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const answer = {
    blobs: [
      { digest, size: 2048, holders: ['a', 'b'], downloading: ['c'] },
      { digest, size: null, holders: [], downloading: [] },
    ],
  };
  const url = `http://${await serve(t, { '/api/v1/blobs': answer })}`;
  const { status, out } = await run(['blobs', '--supernodes', url]);
  t.equal(status, 0);
  t.match(out, `2 blobs at ${url}.`);
  t.match(out, new RegExp(`${digest} +2 KiB +2 +1\n${digest} +\\? +0 +0\n`));
  t.same(JSON.parse((await run(['blobs', '--supernodes', url, '--json'])).out), answer);
  const none = `http://${await serve(t, { '/api/v1/blobs': { blobs: [] } })}`;
  t.match((await run(['blobs', '--supernodes', none])).out, /^No blobs at .*hawker peers/);
});

t.test('status: the proxy and its supernode', async (t) => {
  const path = '/api/v1/status';
  const [api, supernode] = await Promise.all([serve(t, { [path]: PROXY }), serve(t, { [path]: SUPERNODE })]);
  const flags = ['--api-listen', api, '--supernodes', `http://${supernode}`];
  const { status, out, err } = await run(['status', ...flags]);
  t.same([status, err], [0, '']);
  t.equal(
    out,
    [
      `proxy      http://${api}, version 1.0.0, peer aaaaaaaa`,
      '  store      1 KiB of 2 GiB',
      '  downloads  2',
      '  supernode  http://s:1 failed since 2026-01-02 03:04:05Z: NOT_A_MEMBER: wrong secret',
      '  supernode  http://s:2 connected since 2026-01-02 03:04:05Z',
      `supernode  http://${supernode}, version 1.0.0, protocol 1.0, up since 2026-01-02 03:04:05Z`,
      '  peers      2 ready',
      '',
    ].join('\n'),
  );
  const json = JSON.parse((await run(['status', ...flags, '--json'])).out) as object;
  t.same(json, { proxy: PROXY, supernode: SUPERNODE, errors: [] });
});

t.test('status: what does not answer is said, and makes it fail', async (t) => {
  const path = '/api/v1/status';
  const alone = { version: '1', store: { bytes: 0, quota: 1 }, downloads: [] };
  const api = await serve(t, { [path]: alone });
  const flags = ['--api-listen', api, '--supernodes', 'http://127.0.0.1:1'];
  const half = await run(['status', ...flags]);
  t.equal(half.status, 1);
  t.match(half.out, /this node is alone\nsupernode  no answer \(SERVICE_UNREACHABLE\)\n$/);
  t.match(half.err, /^hawker: SERVICE_UNREACHABLE: the supernode .*\n$/);
  const json = await run(['status', ...flags, '--json']);
  t.equal(json.status, 1);
  t.match(JSON.parse(json.out), {
    proxy: alone,
    supernode: null,
    errors: [{ code: 'SERVICE_UNREACHABLE', todo: /start it/ }],
  });
  const empty = `http://${await serve(t, { [path]: { ...SUPERNODE, peers: {} } })}`;
  const other = await run(['status', '--api-listen', '127.0.0.1:1', '--supernodes', empty]);
  t.equal(other.status, 1);
  t.match(other.out, /^proxy      no answer[^]*  peers      none/);
  t.match(other.err, /the proxy does not answer at http:\/\/127\.0\.0\.1:1: .*api\.listen/);
});
