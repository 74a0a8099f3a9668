import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import type { ProcessPort } from '../../src/cli/process-port.ts';
import { runCommand as run } from '../support/cli.ts';

const SINCE = '2026-01-02T03:04:05.678Z';
const PEER = {
  id: 'aaaaaaaa',
  host: 'n1',
  addresses: ['10.0.0.5:1', '[fd00::5]:1'],
  state: 'ready',
  reason: '',
  zone: '',
  version: '1.0.0',
  since: SINCE,
  blobs: 3,
};
const REJECTED = { address: '10.0.0.9:4', code: 'NOT_A_MEMBER', message: 'wrong secret', at: SINCE, count: 2 };
const SWARM = { peers: 2, blobs: 1, wishes: 2, transfers: 1, leases: 0 };
const SUPERNODE = {
  role: 'supernode',
  version: '1.0.0',
  protocol: '1.0',
  since: SINCE,
  peers: { ready: 2, left: 0 },
  swarm: SWARM,
};
const PROXY = {
  version: '1.0.0',
  peer: 'aaaaaaaa',
  supernodes: [
    {
      url: 'http://s:1',
      state: 'failed',
      code: 'NOT_A_MEMBER',
      message: 'wrong secret',
      since: SINCE,
      todo: 'mend it',
    },
    { url: 'http://s:2', state: 'connected', code: '', message: '', since: SINCE, clockSkewMs: -4000, todo: '' },
  ],
  store: { bytes: 1024, quota: 2 * 1024 ** 3 },
  downloads: [
    { digest: `sha256:${'a'.repeat(64)}`, size: 4096, inOrder: 1024, readers: 1 },
    { digest: `sha256:${'b'.repeat(64)}`, size: null, inOrder: 10, readers: 0 },
  ],
};

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
  const far = {
    ...PEER,
    id: 'bbbbbbbbbbbbbbbbbbbb',
    addresses: ['10.0.0.5:1'],
    state: 'unreachable',
    reason: '10.0.0.5:1: ECONNREFUSED',
    zone: 'z',
  };
  const answer = { peers: [PEER, far], rejected: [REJECTED], more: 1 };
  const { url, status, out, err } = await peers(t, answer);
  t.same([status, err], [0, '']);
  t.equal(
    out,
    [
      `2 peers at ${url}: 1 ready, 1 unreachable.`,
      '',
      'ID        HOST  ADDRESS        STATE        ZONE  VERSION  SINCE                 BLOBS  REASON',
      'aaaaaaaa  n1    10.0.0.5:1 +1  ready        -     1.0.0    2026-01-02 03:04:05Z      3  -',
      'bbbbbbbb  n1    10.0.0.5:1     unreachable  z     1.0.0    2026-01-02 03:04:05Z      3  10.0.0.5:1: ECONNREFUSED',
      '',
      'Rejected registrations:',
      'ADDRESS     CODE          LAST                  TIMES  MESSAGE',
      '10.0.0.9:4  NOT_A_MEMBER  2026-01-02 03:04:05Z      2  wrong secret',
      '',
    ].join('\n'),
  );
  t.same(JSON.parse((await peers(t, answer, ['--json'])).out), answer, 'as the API gives it');
  const plain = await peers(t, { peers: [PEER], rejected: [] });
  t.match(plain.out, /ID +HOST +ADDRESS +STATE +VERSION +SINCE +BLOBS\n/, 'no column without anything in it');
});

t.test('peers: what differs between them is shown', async (t) => {
  const mixed = [
    { ...PEER, protocol: '1.0' },
    { ...PEER, id: 'bbbbbbbb', version: '1.1.0', protocol: '1.1', clockSkewMs: 3_600_000 },
    { ...PEER, id: 'cccccccc', version: '0.9.0', protocol: '0.9', state: 'left' },
  ];
  const { out } = await peers(t, { peers: mixed, rejected: [{ ...REJECTED, host: 'n9' }] });
  t.match(out, /^2 peers at \S+: 2 ready, 1 left\.$/m, 'the count is what is connected');
  t.match(out, /bbbbbbbb .* 1\.1\.0 +1\.1 +\+60 min/);
  t.match(out, /aaaaaaaa .* 1\.0\.0 +1\.0 +- /);
  t.match(out, /^Versions differ: 1 1\.0\.0, 1 1\.1\.0\.$/m);
  t.match(out, /10\.0\.0\.9:4 +n9 +NOT_A_MEMBER/);
});

t.test('no peers: why', async (t) => {
  t.match((await peers(t, { peers: [], rejected: [] })).out, /^No peers at \S+: nobody has registered/);
  const rejected = [REJECTED, { ...REJECTED, code: 'BAD_ADDRESS', count: 1 }];
  const turnedAway = (await peers(t, { peers: [], rejected })).out;
  t.match(turnedAway, /^No peers at \S+: 3 registrations rejected \(2 NOT_A_MEMBER, 1 BAD_ADDRESS\)/);
  t.match(turnedAway, /wrong secret/);
  const gone = { ...PEER, state: 'left', reason: 'its connection was closed' };
  t.match((await peers(t, { peers: [gone], rejected: [REJECTED] })).out, /^No peers at \S+: 1 has left, 2 registr/);
  const down = await run(['peers', '--supernodes', 'http://127.0.0.1:1']);
  t.same([down.status, down.out], [1, '']);
  t.match(down.err, /^hawker: SERVICE_UNREACHABLE: the supernode does not answer at http:\/\/127\.0\.0\.1:1: .*\n$/);
  t.match((await run(['peers', '--supernodes', ''])).err, /^hawker: NO_SUPERNODE_NAMED: /);
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

/** A supernode that answers `blobs` and `peers`; what `hawker blobs` prints of it. */
async function blobs(t: Test, answer: object, hosts: string[], argv: string[] = [], more: Partial<ProcessPort> = {}) {
  const members = hosts.map((host) => ({ ...PEER, id: `id-of-${host}`.padEnd(20, '0'), host }));
  const peers = { peers: members, rejected: [] };
  const url = `http://${await serve(t, { '/api/v1/blobs': answer, '/api/v1/peers': peers })}`;
  return { url, ...(await run(['blobs', '--supernodes', url, ...argv], more)) };
}

const ID = { n1: 'id-of-n1000000000000', n2: 'id-of-n2000000000000', n3: 'id-of-n3000000000000' };
const DIGEST = `sha256:${'a'.repeat(64)}`;

t.test('blobs: who holds each, who fetches it and how far; those that are fetched first', async (t) => {
  const held = { digest: DIGEST, size: 2048, holders: [ID.n1, ID.n2], downloading: [] };
  const fetched = { ...held, size: 4096, holders: [], downloading: [ID.n3, ID.n1], pieces: 8, downloaded: [1, 6] };
  const answer = { blobs: [held, fetched, { ...held, size: null, holders: [] }] };
  const { url, status, out } = await blobs(t, answer, ['n1', 'n2', 'n3']);
  t.equal(status, 0);
  t.equal(
    out,
    [
      `3 blobs at ${url}.`,
      '',
      `DIGEST${' '.repeat(65)}   SIZE  HOLDERS  DOWNLOADING`,
      `${DIGEST}  4 KiB  -        n3 12%, n1 75%`,
      `${DIGEST}  2 KiB  n1, n2   -`,
      `${DIGEST}      ?  -        -`,
      '',
    ].join('\n'),
  );
  t.same(JSON.parse((await blobs(t, answer, [], ['--json'])).out), answer);
  t.match((await blobs(t, { blobs: [] }, ['n1'])).out, /^No blobs at .*hawker peers/);
});

t.test('blobs: short on a terminal; many are counted, who is not known goes by its id', async (t) => {
  const four = ['11111111aa', '22222222bb', '33333333cc', '44444444dd'];
  const some = { digest: DIGEST, size: 2048, holders: four, downloading: four, pieces: 8, downloaded: [0, 0, 0, 8] };
  const few = { ...some, holders: four.slice(0, 1), downloading: [] };
  const older = { digest: DIGEST, size: 2048, holders: [], downloading: four };
  const { out } = await blobs(t, { blobs: [few, some, older] }, ['n1', 'n1'], [], { isTerminal: true });
  t.same(out.split('\n').slice(3), [
    'sha256:aaaaaaaaaaaa  2 KiB  4 peers   4 peers, 25% on average',
    'sha256:aaaaaaaaaaaa  2 KiB  -         4 peers',
    'sha256:aaaaaaaaaaaa  2 KiB  11111111  -',
    '',
  ]);
});

t.test('status: what a node is short of, on one line', async (t) => {
  const path = '/api/v1/status';
  const [disk, memory] = ['nothing can be written', 'Hawker takes 90 MiB of 100 MiB'].map((message, index) => ({
    what: index === 0 ? 'disk' : 'memory',
    used: 1,
    limit: 1,
    message,
    todo: 'x',
  }));
  const look = async (level: string) => {
    const pressure = { level, reasons: [disk, memory], since: '2026-01-02T03:04:05.000Z' };
    const [api, supernode] = await Promise.all([
      serve(t, { [path]: { ...PROXY, pressure } }),
      serve(t, { [path]: SUPERNODE }),
    ]);
    return (await run(['status', '--api-listen', api, '--supernodes', `http://${supernode}`])).out;
  };
  const both = 'since 2026-01-02 03:04:05Z: nothing can be written; Hawker takes 90 MiB of 100 MiB';
  t.ok((await look('pass-through')).includes(`  short      streams new blobs through ${both}\n`));
  t.ok((await look('uploads')).includes(`  short      gives less to other nodes ${both}\n`));
  t.notMatch(await look('none'), /short/);
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
      '    sha256:aaaaaaaaaaaa  1 KiB of 4 KiB, 25%, 1 reader',
      '    sha256:bbbbbbbbbbbb  10 B, nobody reads it',
      '  supernode  http://s:1 failed since 2026-01-02 03:04:05Z: NOT_A_MEMBER: wrong secret',
      '    to do    mend it',
      '  supernode  http://s:2 connected since 2026-01-02 03:04:05Z, 4 s ahead of this clock',
      `supernode  http://${supernode}, version 1.0.0, protocol 1.0, up since 2026-01-02 03:04:05Z`,
      '  peers      2 ready',
      '  swarm      1 blob; under way: 2 downloads, 1 piece between peers, 0 reads from origins',
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
  const idle = { ...SWARM, wishes: 0, transfers: 0 };
  const empty = `http://${await serve(t, { [path]: { ...SUPERNODE, peers: {}, swarm: idle } })}`;
  const other = await run(['status', '--api-listen', '127.0.0.1:1', '--supernodes', empty]);
  t.equal(other.status, 1);
  t.match(other.out, /^proxy      no answer[^]*  peers      none[^]*under way: nothing\n/);
  t.match(other.err, /the proxy does not answer at http:\/\/127\.0\.0\.1:1: .*api\.listen/);
});
