import { request } from 'node:http';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { AuditEvent } from '../../../src/base/audit.ts';
import { digestOf } from '../../../src/base/digest.ts';
import { createLogger } from '../../../src/base/log.ts';
import { Metrics } from '../../../src/base/metrics.ts';
import { MiB } from '../../../src/base/units.ts';
import { networkCandidates } from '../../../src/p2p/peer/supernode-dial.ts';
import { visitSupernode } from '../../../src/p2p/peer/visit.ts';
import { HELLO_TIMEOUT_MS, MAX_MESSAGE_BYTES } from '../../../src/p2p/protocol/limits.ts';
import { LEASE_SILENT_MS } from '../../../src/p2p/supernode/limits.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import type { FromSupernode, Message } from '../../../src/p2p/protocol/messages.ts';
import { packCrcs, packPieces } from '../../../src/p2p/protocol/packed.ts';
import { CLOSE } from '../../../src/p2p/protocol/socket.ts';
import type { SwarmEvent } from '../../../src/p2p/supernode/events.ts';
import {
  FAULTS_MS,
  MAX_FAULTS,
  MAX_UNPROVED_BYTES,
  type Supernode,
  type SupernodeOptions,
} from '../../../src/p2p/supernode/supernode.ts';
import { Swarm, type SwarmOptions } from '../../../src/p2p/supernode/swarm.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { Client, type HelloFields } from '../../support/session-client.ts';
import {
  askFrom,
  makeSession,
  makeSupernode,
  Notes,
  SECRET,
  serve,
  until,
  type Phonebook,
} from '../../support/swarm-rig.ts';

const digest = digestOf('a blob');
const membership = new Membership(SECRET);

interface Rig {
  readonly supernode: Supernode;
  readonly clock: ManualClock;
  readonly url: string;
  readonly metrics: Metrics;
  readonly book: Phonebook;
}

async function rig(t: Test, options: Partial<SupernodeOptions> = {}): Promise<Rig> {
  const clock = new ManualClock();
  const metrics = new Metrics();
  const book: Phonebook = new Map();
  const supernode = makeSupernode(clock, { metrics, ask: askFrom(book, membership), ...options });
  const { url } = await serve(t, supernode, { metrics });
  return { supernode, clock, url, metrics, book };
}

t.test('a session: challenge, hello, welcome with the supernode’s own proof; then the peer is known', async (t) => {
  const { supernode, clock, url, book } = await rig(t);
  book.set('10.0.0.9:65002', { peer: 'peer-a-00', instance: 'instance-1' });
  const client = new Client(t, url);
  const epoch = await client.hello({ addresses: ['10.0.0.9:65002'], time: clock.now() + 1234, zone: 'z' });
  const welcome = await client.next('welcome');
  t.equal(welcome.epoch, epoch);
  t.match(welcome.proof, /^[\w-]{43}$/);
  await until('it is ready', () => supernode.peers().peers[0]?.state === 'ready');
  t.match(supernode.peers().peers, [
    {
      id: 'peer-a-00',
      instance: 'instance-1',
      host: 'node',
      addresses: ['10.0.0.9:65002'],
      zone: 'z',
      version: '1.2.3',
      protocol: '1.0',
      state: 'ready',
      reason: '',
      since: '2026-01-01T00:00:00.000Z',
      lastHeartbeat: '2026-01-01T00:00:00.000Z',
      blobs: 0,
      from: '127.0.0.1',
      clockSkewMs: 1234,
    },
  ]);
  client.say({ t: 'beat', n: 7, time: 0 });
  t.match(await client.next('beat'), { n: 7, time: clock.now() });
  client.say({ t: 'bye' });
  client.ws.close();
  await until('it has left', () => supernode.peers().peers[0]?.reason === 'it stopped');
});

t.test('registrations that are refused: code, reason, remembered and counted', async (t) => {
  const { supernode, url, metrics, clock } = await rig(t);
  const refuse = async (fields: HelloFields, code: string, prove = membership) => {
    const client = new Client(t, url);
    await client.hello(fields, prove);
    return client.refused(t, 'reject', code);
  };
  t.match(await refuse({ protocol: '2.0' }, 'PROTOCOL_VERSION'), /upgrade the supernode/);
  t.match(await refuse({ protocol: '0.9', addresses: 'of another form' }, 'PROTOCOL_VERSION'), /upgrade the proxy/);
  t.match(await refuse({}, 'NOT_A_MEMBER', new Membership('x'.repeat(32))), /cluster.secretFile/);
  t.match(await refuse({ addresses: ['0.0.0.0:1'] }, 'BAD_ADDRESS'), /0\.0\.0\.0:1 is no address/);
  t.match(await refuse({ peer: 'no' }, 'MESSAGE_INVALID'), /hello\/peer/);
  const early = new Client(t, url);
  await early.next('challenge');
  early.say({ t: 'beat', n: 1, time: 0 });
  await early.refused(t, 'reject', 'MESSAGE_ORDER');
  const mute = new Client(t, url);
  await mute.next('challenge');
  await clock.advance(HELLO_TIMEOUT_MS + 300);
  await mute.refused(t, 'reject', 'HELLO_TIMEOUT');
  t.match(supernode.peers().peers, []);
  t.same(
    supernode.peers().rejected.map(({ code, address, count }) => [code, address, count]),
    [
      ['HELLO_TIMEOUT', '127.0.0.1', 1],
      ['MESSAGE_ORDER', '127.0.0.1', 1],
      ['MESSAGE_INVALID', '127.0.0.1', 1],
      ['BAD_ADDRESS', '127.0.0.1', 1],
      ['NOT_A_MEMBER', '127.0.0.1', 1],
      ['PROTOCOL_VERSION', '127.0.0.1', 1],
      ['PROTOCOL_VERSION', '127.0.0.1', 1],
    ],
  );
  t.match(
    supernode.peers().rejected.map(({ host, peer }) => `${host} ${peer}`),
    [' ', ' ', ' ', 'node peer-a-00', 'node peer-a-00', ' ', 'node peer-a-00'],
    'who it says that it is, where that could be read',
  );
  const text = await metrics.registry.metrics();
  t.match(text, 'hawker_registration_failures_total{code="PROTOCOL_VERSION"} 2');
  t.match(text, 'hawker_peers{state="rejected"} 7');
});

t.test('what breaks the protocol ends the session and changes nothing', async (t) => {
  const { supernode, url } = await rig(t);
  const want = { t: 'want', w: 1, digest, size: 2 * MiB, held: '', awaited: [[0, 2]], origin: 'x' };
  const cases: [string, (epoch: string) => unknown[]][] = [
    ['MESSAGE_INVALID', () => ['garbage']],
    ['MESSAGE_INVALID', () => [{ t: 'r', p: [[1, 'x', 0, 0, 0]] }]],
    [
      'MESSAGE_ORDER',
      () => [
        {
          t: 'hello',
          protocol: '1.0',
          version: '1',
          peer: 'peer-a-00',
          instance: 'instance-1',
          host: '',
          addresses: [],
          zone: '',
          nonce: 'n'.repeat(22),
          proof: 'p'.repeat(43),
          time: 0,
        },
      ],
    ],
    ['OLD_EPOCH', () => [{ t: 'announce', epoch: 'epoch-of-old', blobs: [[digest, 1, '']] }]],
    ['OLD_EPOCH', () => [{ ...want, epoch: 'epoch-of-old' }]],
    ['IMPOSSIBLE', () => [{ t: 'r', p: [[5, 0, 0, 0, 0]] }]],
    ['IMPOSSIBLE', () => [{ t: 'r', d: [5] }]],
    ['IMPOSSIBLE', () => [{ t: 'r', x: [[5, 0]] }]],
    ['IMPOSSIBLE', () => [{ t: 'r', y: [[5, 0, 0]] }]],
    ['MESSAGE_INVALID', () => [{ t: 'r', q: [[1, 1, 0, 0, 'no digest']] }]],
    ['IMPOSSIBLE', () => [{ t: 'awaiting', w: 5, awaited: [] }]],
    ['IMPOSSIBLE', (epoch) => [{ ...want, epoch, held: packPieces([2], 3) }]],
    ['IMPOSSIBLE', (epoch) => [{ ...want, epoch, size: Number.MAX_SAFE_INTEGER }]],
    [
      'IMPOSSIBLE',
      (epoch) => [
        { ...want, epoch },
        { ...want, epoch },
      ],
    ],
    [
      'IMPOSSIBLE',
      (epoch) => [
        { ...want, epoch },
        { t: 'r', p: [[1, 7, 0, 1, 0]] },
      ],
    ],
    [
      'IMPOSSIBLE',
      (epoch) => [
        {
          t: 'announce',
          epoch,
          blobs: [
            [digestOf('x'), 1, ''],
            [digest, 3 * MiB, packCrcs([1])],
          ],
        },
      ],
    ],
    ['IMPOSSIBLE', (epoch) => [{ t: 'announce', epoch, parts: [[digest, MiB, packPieces([1], 2), '']] }]],
    [
      'IMPOSSIBLE',
      (epoch) => Array.from({ length: 129 }, (_, w) => ({ ...want, epoch, w, digest: digestOf(String(w)) })),
    ],
  ];
  for (const [code, messages] of cases) {
    const client = new Client(t, url);
    const epoch = await client.open();
    for (const message of messages(epoch)) client.say(message);
    await client.refused(t, 'error', code);
    t.same([...supernode.blobs()], [], code);
  }
  const large = new Client(t, url);
  await large.open();
  large.say(`"${'x'.repeat(MAX_MESSAGE_BYTES)}"`);
  await until('it is closed', () => large.closedWith === 1009);
  await until('it has left', () => supernode.peers().peers[0]?.state === 'left');
  const binary = new Client(t, url);
  await binary.open();
  binary.ws.send(Buffer.from('{"t":"bye"}'));
  await binary.refused(t, 'error', 'MESSAGE_INVALID');
});

t.test('who holds what, and who fetches: one reads the origin, the other gets it from there', async (t) => {
  const { supernode, url, book } = await rig(t);
  book.set('a:1', { peer: 'peer-a-00', instance: 'instance-1' });
  book.set('b:1', { peer: 'peer-b-00', instance: 'instance-1' });
  const a = new Client(t, url);
  const epoch = await a.open({ addresses: ['a:1'] });
  const b = new Client(t, url);
  await b.open({ peer: 'peer-b-00', addresses: ['b:1'] });
  await until('both are ready', () => supernode.peers().peers.every(({ state }) => state === 'ready'));
  const want = { t: 'want', epoch, w: 1, digest, size: MiB, held: '', awaited: [[0, 0]], origin: 'x' };
  a.say(want);
  const { l } = await a.next('a');
  const lease = l![0]![1];
  t.same(l, [[1, lease, 0, 1]]);
  b.say({ ...want, w: 9 });
  t.same(await b.next('a'), { t: 'a', w: [9] });
  t.match([...supernode.blobs()], [{ digest, size: MiB, holders: [], downloading: ['peer-a-00', 'peer-b-00'] }]);
  a.say({ t: 'r', g: [[1, lease]], p: [[1, 0, 0, 12, 77]], e: [[1, lease, '', 0, 0]] });
  const { p, f } = await b.next('a');
  t.match(p, [[Number, 'peer-a-00', 'instance-1', ['a:1']]]);
  t.same(f, [[9, 0, p![0]![0], 77]], 'with the check sum that the reader of the origin gave');
  b.say({ t: 'r', p: [[9, 0, p![0]![0], 3, 77]] });
  b.say({ t: 'leave', w: 9 });
  b.say({ t: 'r', p: [[9, 0, 0, 3, 77]] });
  b.say({ t: 'announce', epoch, blobs: [[digest, MiB, packCrcs([77])]] });
  await until('b is known to hold it', () => [...supernode.blobs()][0]!.holders.includes('peer-b-00'));
  t.equal(supernode.peers().peers.find(({ id }) => id === 'peer-b-00')!.blobs, 1);
  b.say({ t: 'announce', epoch, gone: [digest] });
  await until('b has lost it', () => ![...supernode.blobs()][0]!.holders.includes('peer-b-00'));
  a.ws.terminate();
  await until('a has left', () => supernode.peers().peers[0]!.state === 'left');
  t.same([...supernode.blobs()], [], 'and what it held with it');
});

t.test('an origin read of an earlier session goes on, parts are announced, failures are told', async (t) => {
  const { supernode, url, book } = await rig(t);
  book.set('a:1', { peer: 'peer-a-00', instance: 'instance-1' });
  const a = new Client(t, url);
  const epoch = await a.open({ addresses: ['a:1'] });
  await until('it is ready', () => supernode.peers().peers[0]!.state === 'ready');
  const size = 8 * MiB;
  a.say({
    t: 'want',
    epoch,
    w: 1,
    digest,
    size,
    held: packPieces([0], 8),
    awaited: [[0, 8]],
    origin: 'x',
    reading: [[2 ** 52 + 1, 1, 7]],
  });
  a.say({ t: 'beat', n: 1, time: 0 });
  await a.next('beat');
  t.same(a.got, [], 'nothing else is to be read');
  const b = new Client(t, url);
  await b.open({ peer: 'peer-b-00' });
  b.say({ t: 'want', epoch, w: 1, digest, size, held: '', awaited: [[0, 1]] });
  const { p, f } = await b.next('a');
  t.same(f, [[1, 0, p![0]![0], -1]], 'the part that a holds');
  b.say({ t: 'r', f: [[1, 0, p![0]![0], 3]] });
  t.match(await b.next('a'), { w: [1] }, 'gone: nobody else has it');
  const c = new Client(t, url);
  await c.open({ peer: 'peer-c-00' });
  const other = digestOf('other');
  c.say({ t: 'announce', epoch, parts: [[other, 3 * MiB, packPieces([0, 2], 3), packCrcs([5, 6])]] });
  c.say({ t: 'want', epoch, w: 1, digest: other, held: '', awaited: [[1, 1]] });
  t.same((await c.next('a')).n, [[1, 0, '']], 'it can read no origin, and nobody else has it');
});

t.test('the last word on reachability have two peers', async (t) => {
  const { supernode, clock, url, book } = await rig(t);
  for (const name of ['b', 'c']) {
    book.set(`${name}:1`, { peer: `peer-${name}-00`, instance: 'instance-1' });
    const client = new Client(t, url);
    await client.open({ peer: `peer-${name}-00`, addresses: [`${name}:1`] });
    client.ws.on('message', (data: Buffer) => {
      const dial = JSON.parse(data.toString()) as Message<FromSupernode, 'dial'>;
      if (dial.t !== 'dial') return;
      const proof = membership.whoamiProof({ nonce: dial.nonce, peer: dial.peer, instance: dial.instance });
      const good = dial.peer === 'peer-a-00' && name === 'c';
      client.say({
        t: 'dialed',
        n: dial.n,
        ...(good ? { address: dial.addresses[0], proof } : { error: 'not from here' }),
      });
    });
  }
  await until('they are ready', () => supernode.peers().peers.every(({ state }) => state === 'ready'));
  await new Client(t, url).open({ addresses: ['hidden:1'] });
  await until(
    'one of them reaches it',
    () => supernode.peers().peers.find(({ id }) => id === 'peer-a-00')?.state === 'ready',
  );
  await new Client(t, url).open({ peer: 'peer-d-00', addresses: ['lost:1'] });
  const lost = () => supernode.peers().peers.find(({ id }) => id === 'peer-d-00')!;
  await until('it is known to be unreachable', () => {
    // One of the two may be asked that does not answer: it has some seconds.
    void clock.advance(1000);
    return /other peers/.test(lost().reason);
  });
  t.match(lost(), { state: 'unreachable', reason: 'lost:1: connect ECONNREFUSED; nor could 2 other peers' });
});

t.test('a visitor learns whether it could register and be reached, and is no peer', async (t) => {
  const { supernode, clock, url, book } = await rig(t);
  book.set('a:1', { peer: 'visitor-00', instance: 'instance-1' });
  const [candidate] = await networkCandidates(clock)(url);
  const self = { peer: 'visitor-00', instance: 'instance-1', version: '1', host: 'node', zone: '' };
  const visit = async (addresses: string[], secret = membership) =>
    visitSupernode(candidate!, { self: () => ({ ...self, addresses }), membership: secret, clock });
  t.match(await visit(['a:1']), {
    version: '1.2.3',
    protocol: '1.0',
    warning: undefined,
    clockSkewMs: 0,
    dialBack: { address: 'a:1' },
  });
  t.match((await visit(['b:1', 'c:1'])).dialBack, { error: /^b:1: connect ECONNREFUSED; c:1: / });
  t.match((await visit([])).dialBack, { error: 'it advertises no address' });
  t.same(supernode.peers().peers, []);
  t.equal(supernode.status().sessions, 0);
  await t.rejects(visit(['a:1'], new Membership('x'.repeat(32))), { code: 'NOT_A_MEMBER' });
  await t.rejects(visit(['0.0.0.0:1']), { code: 'BAD_ADDRESS' });
  t.match(supernode.peers().rejected, [{ code: 'BAD_ADDRESS' }, { code: 'NOT_A_MEMBER' }]);
});

t.test('a visitor that is not answered goes, and one that says more than hello', async (t) => {
  const never = new Promise<never>(() => undefined);
  const { supernode, clock, url } = await rig(t, { ask: async () => never });
  const client = new Client(t, url);
  await client.hello({ visit: true, addresses: ['a:1'] });
  await client.next('welcome');
  await clock.advance(25_000);
  await until('its session is ended', () => client.closedWith !== undefined);
  const talker = new Client(t, url);
  await talker.hello({ visit: true, addresses: ['a:1'] });
  await talker.next('welcome');
  talker.say({ t: 'beat', n: 1, time: 0 });
  await talker.refused(t, 'reject', 'MESSAGE_ORDER');
  t.equal(supernode.status().sessions, 0);
});

t.test('a proxy can have its own port tried', async (t) => {
  const { supernode, clock, url, book } = await rig(t);
  const session = makeSession({ clock, urls: [url], peer: 'peer-a-00', addresses: ['a:1'] });
  await t.rejects(session.dialBack(), { code: 'NO_SESSION', message: new RegExp(url) });
  session.start(new Notes());
  t.teardown(() => session.close());
  const state = () => supernode.peers().peers[0]?.state;
  await until('it is tested', () => /ECONNREFUSED/.test(supernode.peers().peers[0]?.reason ?? ''));
  await until('it has its welcome', () => session.link !== undefined);
  t.match(await session.dialBack(), { error: /^a:1: connect ECONNREFUSED/ });
  book.set('a:1', { peer: 'peer-a-00', instance: 'instance-1' });
  const [one, two] = await Promise.all([session.dialBack(), session.dialBack()]);
  t.same(one, { address: 'a:1' });
  t.match(two, { error: /under way already/ });
  t.equal(state(), 'ready', 'what was found is so from then on');
  const asked = session.dialBack();
  supernode.close();
  await t.rejects(asked, { code: 'SHUTTING_DOWN' });
});

t.test('while peers are missing it is said again every five minutes', async (t) => {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLogger({ level: 'warn', format: 'json', destination });
  const { clock, url, supernode } = await rig(t, { log, heartbeatMs: 3_600_000 });
  const summaries = () => lines.filter((line) => line.includes('"PEERS_MISSING"'));
  await clock.advance(300_000);
  t.equal(summaries().length, 0, 'nobody is');
  await new Client(t, url).open({ addresses: ['a:1'] });
  await until('it is tested', () => /ECONNREFUSED/.test(supernode.peers().peers[0]?.reason ?? ''));
  await clock.advance(300_000);
  t.match(summaries(), [/hawker doctor.*0 peers are ready; node is unreachable \(a:1: connect ECONNREFUSED\)/]);
});

t.test('another peer, or another life of this one, at the address is no proof', async (t) => {
  const { supernode, url, book } = await rig(t);
  book.set('x:1', { peer: 'peer-z-00', instance: 'instance-1' });
  book.set('y:1', { peer: 'peer-b-00', instance: 'instance-0' });
  await new Client(t, url).open({ addresses: ['x:1'] });
  await new Client(t, url).open({ peer: 'peer-b-00', addresses: ['y:1'] });
  const reasons = () => supernode.peers().peers.map(({ reason }) => reason);
  await until('both are tested', () => !reasons().some((reason) => /being tested/.test(reason)));
  t.match(reasons(), [/another peer answers there, peer-z-00/, /another instance of this peer/]);
  const forged = await rig(t, {
    ask: async () => ({ peer: 'peer-a-00', instance: 'instance-1', proof: 'p'.repeat(43) }),
  });
  await new Client(t, forged.url).open({ addresses: ['x:1'] });
  await until('it is tested', () => /cannot prove/.test(forged.supernode.peers().peers[0]!.reason));
});

t.test(
  'same id: a newer session of one instance takes over; of another it is refused while the first answers',
  async (t) => {
    const { supernode, url } = await rig(t);
    const first = new Client(t, url);
    const epoch = await first.open();
    first.say({ t: 'announce', epoch, blobs: [[digest, 1, '']] });
    await until('it is announced', () => supernode.peers().peers[0]!.blobs === 1);
    const second = new Client(t, url);
    await second.open();
    await first.refused(t, 'error', 'REPLACED');
    t.match(supernode.peers().peers, [{ state: 'unreachable', blobs: 1 }]);
    t.equal([...supernode.blobs()].length, 1, 'what it was doing goes on');
    second.ws.on('message', (data: Buffer) => {
      if ((JSON.parse(data.toString()) as FromSupernode).t === 'ping') second.say({ t: 'beat', n: 1, time: 0 });
    });
    const copy = new Client(t, url);
    await copy.hello({ instance: 'instance-2' });
    t.match(await copy.refused(t, 'reject', 'DUPLICATE_ID'), /in use by instance instance-1 on node/);
    t.equal(second.closedWith, undefined);
  },
);

t.test('a peer that falls silent is stale, and its work is given to others', async (t) => {
  const { supernode, url, clock } = await rig(t, { heartbeatMs: 1000 });
  const client = new Client(t, url);
  const epoch = await client.open();
  client.say({ t: 'announce', epoch, blobs: [[digest, 1, '']] });
  await until('it is announced', () => [...supernode.blobs()].length === 1);
  await clock.advance(3500);
  t.match(supernode.peers().peers, [{ state: 'stale' }]);
  t.same([...supernode.blobs()], []);
  client.say({ t: 'beat', n: 1, time: 0 });
  await client.refused(t, 'error', 'STALE');
});

t.test('HTTP: the API, its Host check, and what is no session', async (t) => {
  const { url, supernode, metrics } = await rig(t);
  const get = (path: string, headers: Record<string, string> = {}) =>
    new Promise<{ status: number; body: string }>((resolve, reject) => {
      const asking = request(`${url}${path}`, { headers, agent: false }, (response) => {
        let body = '';
        response.on('data', (chunk) => (body += String(chunk)));
        response.on('end', () => resolve({ status: response.statusCode!, body }));
      });
      asking.on('error', reject).end();
    });
  t.match(JSON.parse((await get('/api/v1/peers')).body), { peers: [], rejected: [] });
  t.match(JSON.parse((await get('/api/v1/blobs')).body), { blobs: [] });
  t.match(JSON.parse((await get('/api/v1/status')).body), {
    role: 'supernode',
    protocol: '1.0',
    epoch: supernode.epoch,
    peers: { ready: 0 },
  });
  t.match(await get('/livez'), { status: 200 });
  t.match(await get('/readyz'), { status: 200 });
  t.match((await get('/metrics')).body, 'hawker_peers{state="ready"} 0');
  for (const path of ['/api/v1/peers', '/api/v1/blobs', '/api/v1/status', '/metrics']) {
    t.match(await get(path, { host: 'evil.example' }), { status: 403 }, path);
  }
  t.match(await get('/api/v1/session'), { status: 404 }, 'without an upgrade');
  const status = async (options: { headers?: Record<string, string>; path?: string }) => {
    const client = new Client(t, url, options);
    return new Promise<number>((resolve) => {
      client.ws.on('unexpected-response', (_request, response) => resolve(response.statusCode!));
    });
  };
  t.equal(await status({ path: '/api/v1/else' }), 404);
  t.equal(await status({ headers: { origin: 'http://127.0.0.1' } }), 403, 'a page in a browser');
  t.equal(await status({ headers: { host: 'evil.example:6789' } }), 403, 'a name that somebody has made to point here');
  t.same(
    supernode.peers().rejected.map(({ code, address }) => [code, address]),
    [
      ['HOST_REFUSED', '127.0.0.1'],
      ['BROWSER_REFUSED', '127.0.0.1'],
    ],
  );
  t.match(await metrics.registry.metrics(), 'hawker_registration_failures_total{code="HOST_REFUSED"} 1');
});

t.test('what a newer session does not wish for again is over', async (t) => {
  const { supernode, url } = await rig(t);
  const other = digestOf('other');
  const first = new Client(t, url);
  const epoch = await first.open();
  const want = { t: 'want', epoch, size: MiB, held: '', awaited: [[0, 0]], origin: 'x' };
  first.say({ ...want, w: 1, digest });
  first.say({ ...want, w: 2, digest: other });
  await until('both are wanted', () => [...supernode.blobs()].length === 2);
  const second = new Client(t, url);
  await second.open();
  second.say({ ...want, w: 1, digest: other });
  second.say({ t: 'beat', n: 1, time: 0 });
  await second.next('beat');
  t.match([...supernode.blobs()], [{ digest: other }]);
});

t.test('an inventory that is told again is counted once', async (t) => {
  const { supernode, url } = await rig(t);
  const announce = { t: 'announce', blobs: [[digest, 1, '']] };
  for (let session = 0; session < 3; session += 1) {
    const client = new Client(t, url);
    const epoch = await client.open();
    client.say({ ...announce, epoch });
    client.say({ ...announce, epoch });
    client.say({ t: 'beat', n: 1, time: 0 });
    await client.next('beat');
  }
  t.equal(supernode.peers().peers[0]!.blobs, 1);
});

t.test('lies about what is others’ change nothing', async (t) => {
  const { supernode, url, book, metrics } = await rig(t);
  book.set('a:1', { peer: 'peer-a-00', instance: 'instance-1' });
  const a = new Client(t, url);
  const epoch = await a.open({ addresses: ['a:1'] });
  await until('it is ready', () => supernode.peers().peers[0]!.state === 'ready');
  const size = 300 * MiB;
  const want = { t: 'want', epoch, w: 1, digest, size, held: '', awaited: [[0, 0]], origin: 'x' };
  a.say(want);
  const lease = (await a.next('a')).l![0]![1];
  const liar = new Client(t, url);
  await liar.open({ peer: 'peer-b-00' });
  liar.say({ ...want, origin: undefined });
  const state = () =>
    JSON.stringify([supernode.status(), [...supernode.blobs()]]).replaceAll(/"rejected":\d+/g, 'rejected');
  liar.say({ t: 'beat', n: 1, time: 0 });
  await liar.next('beat');
  const before = state();
  liar.say({
    t: 'r',
    g: [[1, lease]],
    e: [[1, lease, 'ORIGIN_CUT', 1, 0]],
    f: [
      [1, 0, 1, 4],
      [1, 1, 77, 0],
    ],
  });
  liar.say({ t: 'dialed', n: 1, address: 'a:1', proof: 'p'.repeat(43) });
  liar.say({ t: 'announce', epoch, blobs: [[digest, MiB, '']], gone: [digestOf('never seen')] });
  liar.say({ t: 'beat', n: 2, time: 0 });
  await liar.next('beat');
  t.equal(state(), before);
  t.match(await metrics.registry.metrics(), 'hawker_swarm_rejected_total{code="SIZE_CONFLICT"} 1');
  t.equal(liar.closedWith, undefined, 'of two who contradict each other either may be right');
  a.say({ t: 'r', e: [[1, lease, '', 0, 0]] });
  t.match((await a.next('a')).l, [[1, Number, 0, Number]], 'its lease was its own to the end');
});

t.test('a flood ends the session of who sends it, and nobody else’s', async (t) => {
  const { supernode, url, metrics } = await rig(t);
  const honest = new Client(t, url);
  await honest.open();
  const client = new Client(t, url);
  const epoch = await client.open({ peer: 'peer-b-00' });
  client.say({ t: 'want', epoch, w: 1, digest, size: MiB, held: '', awaited: [] });
  const reports = JSON.stringify({ t: 'r', n: Array.from({ length: 1024 }, () => 1) });
  for (let n = 0; n < 400; n += 1) client.say(reports);
  await client.refused(t, 'error', 'FLOOD');
  t.match(supernode.peers().rejected, [{ code: 'FLOOD', count: 1 }]);
  t.match(await metrics.registry.metrics(), 'hawker_registration_failures_total{code="FLOOD"} 1');
  honest.say({ t: 'beat', n: 1, time: 0 });
  await honest.next('beat');
});

/** A swarm that throws at its next event of a kind. */
class BrokenSwarm extends Swarm {
  static breaksAt: string | undefined;

  override apply(event: SwarmEvent, now: number) {
    if (event.kind !== BrokenSwarm.breaksAt) return super.apply(event, now);
    BrokenSwarm.breaksAt = undefined;
    throw new Error('a rule that does not hold');
  }
}

t.test('a fault in its own code: all sessions end, and begin anew under another epoch', async (t) => {
  const lines: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  const givenUp: Error[] = [];
  const onGivingUp = (error: Error) => void givenUp.push(error);
  const started: SwarmOptions[] = [];
  const makeSwarm = (options: SwarmOptions) => {
    started.push(options);
    return new BrokenSwarm(options);
  };
  const { supernode, url, clock, metrics } = await rig(t, { log, makeSwarm, onGivingUp });
  const fail = async (kind: string) => {
    const [a, b] = [new Client(t, url), new Client(t, url)];
    const epoch = await a.open();
    await b.open({ peer: 'peer-b-00' });
    a.say({ t: 'announce', epoch, blobs: [[digest, 1, '']] });
    await until('it is announced', () => [...supernode.blobs()].length === 1);
    BrokenSwarm.breaksAt = kind;
    if (kind === 'gone') b.ws.close();
    else b.say({ t: 'announce', epoch, blobs: [[digest, 1, '']] });
    await a.refused(t, 'error', 'SUPERNODE_FAULT');
    await until('the other one, too', () => b.closedWith !== undefined);
    t.equal(a.closedWith, 1012);
    t.same([...supernode.blobs()], []);
    return epoch;
  };
  const first = await fail('have');
  t.not(supernode.epoch, first);
  t.match(supernode.peers(), { peers: [] });
  t.match(
    lines.filter(({ code }) => code === 'SUPERNODE_FAULT'),
    [{ level: 50, stack: /a rule that does not hold\n +at / }],
  );
  t.match(await metrics.registry.metrics(), 'hawker_supernode_faults_total 1');
  await clock.advance(FAULTS_MS - 1);
  for (let n = 0; n < MAX_FAULTS - 1; n += 1) await fail(n === 0 ? 'gone' : 'have');
  await clock.advance(1);
  t.not(await fail('have'), first, 'the first one was a minute ago');
  t.ok(supernode.hasRoom);
  await fail('have');
  t.match(givenUp, [{ code: 'SUPERNODE_FAULT', message: /4 faults within 60 s/, cause: Error }]);
  t.notOk(supernode.hasRoom);
  const numbers = started.map(({ firstLease }) => firstLease!);
  t.same(
    numbers,
    numbers.toSorted((a, b) => a - b),
    'leases are numbered upwards from life to life',
  );
  t.same(
    started.map(({ settleMs }) => settleMs),
    [0, undefined, undefined, undefined, undefined, undefined],
    'after a fault peers come back',
  );
});

t.test('a fault on a timer, and one with nobody to tell', async (t) => {
  class BrokenClockwork extends Swarm {
    override tick(): never {
      throw new Error('out of time');
    }
  }
  let lives = 0;
  const makeSwarm = (options: SwarmOptions) => {
    lives += 1;
    return lives === 1 ? new BrokenClockwork(options) : new Swarm(options);
  };
  const { supernode, clock, url } = await rig(t, { makeSwarm });
  const { epoch } = supernode;
  await clock.advance(300);
  t.not(supernode.epoch, epoch);
  await new Client(t, url).open();
  t.throws(
    () => {
      const broken = makeSupernode(new ManualClock(), { makeSwarm: (options) => new BrokenSwarm(options) });
      for (let n = 0; n <= MAX_FAULTS; n += 1) {
        broken.accept(
          {
            backlog: 0,
            send: () => undefined,
            close: () => undefined,
            terminate: () => undefined,
            listen: () => {
              throw new Error('no socket at all');
            },
          },
          'x',
        );
      }
    },
    { code: 'SUPERNODE_FAULT' },
    'where nobody is to be told, the process ends',
  );
});

t.test(
  'a supernode that was stopped for a while blames nobody; a peer that was killed is told from one that stopped',
  async (t) => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const log = createLogger({ level: 'warn', format: 'json', destination });
    const { supernode, clock, url } = await rig(t, { log, heartbeatMs: 1000 });
    const client = new Client(t, url);
    await client.open();
    clock.stall(30_000);
    await clock.advance(300);
    t.match(lines, [/"code":"SUPERNODE_PAUSED","ms":\d{5},/]);
    t.equal(supernode.peers().peers[0]!.state, 'unreachable');
    client.ws.terminate();
    await until('it is known to be gone', () => supernode.peers().peers[0]!.state === 'left');
    t.match(supernode.peers().peers[0]!.reason, /without a word: its process was killed/);
  },
);

t.test(
  'a supernode that was stopped for a while takes no read for silent before it has heard what was said meanwhile',
  async (t) => {
    const { clock, url } = await rig(t);
    const a = new Client(t, url);
    const epoch = await a.open();
    a.say({ t: 'want', epoch, w: 1, digest, size: 40 * MiB, held: '', awaited: [[0, 40]], origin: 'x' });
    const { l } = await a.next('a');
    clock.stall(3 * LEASE_SILENT_MS);
    await clock.advance(300);
    a.say({ t: 'r', g: [[1, l![0]![1]]] });
    a.say({ t: 'beat', n: 1, time: 0 });
    await a.next('beat');
    t.same(
      a.got.filter((message) => message.t === 'a' && 'c' in message),
      [],
      'it is not cut',
    );
    await clock.advance(LEASE_SILENT_MS + 300);
    t.match(await a.next('a'), { c: [[1, l![0]![1], 0]] }, 'a truly silent one is');
  },
);

t.test('closing says so to everyone', async (t) => {
  const { supernode, url } = await rig(t);
  const client = new Client(t, url);
  await client.open();
  supernode.close();
  supernode.close();
  t.match(await client.next('error'), { code: 'SHUTTING_DOWN' });
  await until('it is closed', () => client.closedWith === 1001);
  const late = new Client(t, url);
  t.equal(
    await new Promise((resolve) =>
      late.ws.on('unexpected-response', (_request, response) => resolve(response.statusCode)),
    ),
    503,
  );
});

const NEW = 'the secret that comes, which is long enough too';

t.test('a rotation of the join secret: who has which is known, and who has the retired one only is out', async (t) => {
  const own = new Membership(SECRET);
  const lines: { code: string; msg: string }[] = [];
  const destination = { write: (text: string) => void lines.push(JSON.parse(text) as { code: string; msg: string }) };
  const log = createLogger({ level: 'info', format: 'json', destination });
  const { supernode, url, clock } = await rig(t, { membership: own, log });
  const next = { secret: NEW, role: 'next' } as const;
  const [oldOnly, both, ahead] = [new Membership(SECRET), new Membership(SECRET, next), new Membership(NEW)];
  const join = async (peer: string, member: Membership): Promise<Client> => {
    const client = new Client(t, url);
    await client.hello({ peer }, member);
    await client.next('welcome');
    return client;
  };
  const secrets = () => supernode.peers().peers.map((peer) => [peer.id, peer.secrets.join('+')]);
  const old = await join('peer-old-00', oldOnly);
  const early = await join('peer-both-0', both);
  t.same(
    secrets(),
    [
      ['peer-old-00', 'current'],
      ['peer-both-0', 'current'],
    ],
    'what it cannot know it does not say',
  );
  t.equal(supernode.status().rotation, null);
  own.change({ first: SECRET, second: next });
  t.same(
    secrets(),
    [
      ['peer-old-00', 'current'],
      ['peer-both-0', 'current+next'],
    ],
    'what was shown before it was known counts',
  );
  t.match(supernode.status().rotation, { second: 'next', ready: 1, waiting: 1, waitingFor: ['node'] });
  t.match(lines.at(-1), { code: 'SECRET_ROTATION', msg: /1 of 2 sessions are of proxies that do not accept the next/ });
  const newer = await join('peer-new-00', ahead);
  t.same(secrets().at(-1), ['peer-new-00', 'next']);
  own.change({ first: NEW, second: { secret: SECRET, role: 'previous' } });
  t.match(supernode.status().rotation, { second: 'previous', ready: 1, waiting: 2 });
  early.say({ t: 'bye' });
  early.ws.close();
  old.say({ t: 'bye' });
  old.ws.close();
  await until('they have left', () => supernode.status().rotation?.waiting === 0);
  await clock.advance(2000);
  await until('and it is said', () => /no session uses the previous/.test(lines.at(-1)?.msg ?? ''));
  const late = await join('peer-late-0', oldOnly);
  own.change({ first: NEW });
  const message = await late.refused(t, 'error', 'SECRET_RETIRED');
  t.match(message, /not accepted any more .*SIGHUP/);
  t.equal(supernode.status().rotation, null);
  const again = new Client(t, url);
  await again.hello({ peer: 'peer-late-0' }, oldOnly);
  await again.refused(t, 'reject', 'NOT_A_MEMBER');
  newer.say({ t: 'beat', n: 1, time: 0 });
  await newer.next('beat');
  t.same(
    supernode.peers().rejected.map(({ code, peer }) => [code, peer]),
    [
      ['NOT_A_MEMBER', 'peer-late-0'],
      ['SECRET_RETIRED', 'peer-late-0'],
    ],
  );
});

t.test('I5: before its proof a session may say little; a member as much as the protocol allows', async (t) => {
  const { supernode, url } = await rig(t);
  const stranger = new Client(t, url);
  await stranger.next('challenge');
  stranger.say('x'.repeat(MAX_UNPROVED_BYTES + 1));
  await until('it is cut off', () => stranger.closedWith !== undefined);
  t.match(supernode.peers().rejected, [{ code: 'MESSAGE_INVALID', address: '127.0.0.1' }]);
  const slow = new Client(t, url);
  await slow.next('challenge');
  // A message that never ends is held in memory too.
  for (let n = 0; n <= MAX_UNPROVED_BYTES / 1024; n += 1) slow.ws.send('x'.repeat(1024), { fin: false });
  await until('it is cut off too', () => slow.closedWith !== undefined);
  t.equal(slow.closedWith, CLOSE.tooBig);
  const member = new Client(t, url);
  const epoch = await member.open();
  const gone = Array.from({ length: 1000 }, (_, n) => digestOf(`blob ${n}`));
  for (let n = 0; n < 3; n += 1) member.say({ t: 'announce', epoch, gone });
  member.say({ t: 'beat', n: 1, time: 0 });
  await member.next('beat');
});

t.test('who was refused is told to the audit log', async (t) => {
  const events: AuditEvent[] = [];
  const { url } = await rig(t, { audit: { record: (event) => void events.push(event) } });
  const stranger = new Client(t, url);
  await stranger.hello({}, new Membership('another secret, and quite as long as the right one'));
  await stranger.next('reject');
  const page = new Client(t, url, { headers: { origin: 'https://evil.example' } });
  await new Promise((resolve) => page.ws.on('unexpected-response', resolve));
  const member = new Client(t, url);
  await member.open();
  member.say('no message');
  await until('it is out', () => member.closedWith !== undefined);
  const about = { role: 'session', client: '127.0.0.1', decision: 'denied' };
  t.same(events, [
    { ...about, code: 'NOT_A_MEMBER' },
    { ...about, code: 'BROWSER_REFUSED' },
  ]);
});
