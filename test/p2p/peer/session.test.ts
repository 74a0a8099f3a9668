import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocketServer } from 'ws';
import type { Clock } from '../../../src/base/clock.ts';
import { digestOf } from '../../../src/base/digest.ts';
import { createLogger, type Logger } from '../../../src/base/log.ts';
import { Metrics } from '../../../src/base/metrics.ts';
import { HELLO_STEP_MS } from '../../../src/p2p/peer/session-link.ts';
import { networkCandidates, RESOLVE_TIMEOUT_MS } from '../../../src/p2p/peer/supernode-dial.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { ScriptedSupernode, turns } from '../../support/scripted-supernode.ts';
import {
  askFrom,
  makeSession,
  makeSupernode,
  Notes,
  pairedCandidates,
  SECRET,
  serve,
  until,
  type Phonebook,
  type ProxyOptions,
} from '../../support/swarm-rig.ts';

interface Line {
  readonly code: string;
  readonly msg: string;
  readonly todo?: string;
}

function captured(): { log: Logger; lines: Line[] } {
  const lines: Line[] = [];
  const destination = { write: (text: string) => void lines.push(JSON.parse(text) as Line) };
  return { log: createLogger({ level: 'info', format: 'json', destination }), lines };
}

async function listen(t: Test, server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function start(t: Test, options: ProxyOptions) {
  const session = makeSession(options);
  const notes = new Notes();
  session.start(notes);
  t.teardown(() => session.close());
  return { session, notes };
}

/** Lets the clock run until something is so. */
async function running(clock: ManualClock, what: string, condition: () => boolean): Promise<void> {
  for (let n = 0; !condition(); n += 1) {
    if (n > 8000) throw new Error(`it did not come to this: ${what}`);
    await clock.advance(10);
    if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

t.test('registers, announces everything, beats, tells changes, and says goodbye', async (t) => {
  const clock = new ManualClock();
  const supernode = makeSupernode(clock, { heartbeatMs: 1000 });
  const blobs = [{ digest: digestOf('x'), size: 3 }];
  const metrics = new Metrics();
  const { session, notes } = start(t, {
    clock,
    urls: ['http://here'],
    candidates: pairedCandidates(() => supernode),
    inventory: { shelves: [{ list: () => blobs }] },
    metrics,
  });
  await until('it is announced', () => [...supernode.blobs()].length === 1);
  t.equal(notes.opens, 1);
  t.match(session.status(), [{ url: 'http://here', state: 'connected', code: '', message: '' }]);
  t.match(await metrics.registry.metrics(), 'hawker_supernode_connected{url="http://here"} 1');
  t.equal(session.supernodeTime(), clock.now());
  blobs.push({ digest: digestOf('y'), size: 4 });
  for (let second = 0; second < 10; second += 1)
    await running(clock, 'a second', () => true).then(() => clock.advance(1000));
  t.match(supernode.peers().peers, [{ id: 'peer-a-00', state: 'unreachable', blobs: 2 }], 'it was never stale');
  session.close();
  await until('it has left', () => supernode.peers().peers[0]!.reason === 'it stopped');
});

t.test(
  'it says where it is reached by the address that its session has here, and again when that has changed',
  async (t) => {
    const clock = new ManualClock();
    const supernode = makeSupernode(clock, { heartbeatMs: 1000 });
    const { url } = await serve(t, supernode);
    let port = 1;
    const { session, notes } = start(t, { clock, urls: [url], addresses: (local) => [`${local}:${port}`] });
    const listed = () => supernode.peers().peers.map(({ addresses }) => addresses);
    await until('it has registered', () => notes.opens === 1);
    t.same(listed(), [['127.0.0.1:1']]);
    t.equal(session.link?.localAddress, '127.0.0.1');
    t.same(session.link?.addresses, ['127.0.0.1:1']);
    const { epoch } = session.link!;
    port = 2;
    await running(clock, 'it has registered again', () => notes.opens === 2);
    t.same(listed(), [['127.0.0.1:2']]);
    t.equal(notes.losses, 1, 'the sessions follow each other');
    t.match(session.status(), [{ state: 'connected' }]);
    t.equal(session.link?.epoch, epoch);
    await clock.advance(5000);
    t.equal(notes.opens, 2, 'once');
    const near = start(t, {
      clock,
      urls: ['http://here'],
      peer: 'peer-b-00',
      candidates: pairedCandidates(() => supernode),
      addresses: (local) => (local === undefined ? [] : ['wrong:1']),
    });
    await until('the one in this process is here', () => near.notes.opens === 1);
    t.match(supernode.peers().peers[1], { id: 'peer-b-00', addresses: [], reason: 'it advertises no address' });
  },
);

t.test('no supernode yet: it is looked for, one line says why, and it registers once it is there', async (t) => {
  const clock = new ManualClock();
  const { log, lines } = captured();
  const placeholder = createServer();
  const url = await listen(t, placeholder);
  const { port } = placeholder.address() as AddressInfo;
  await new Promise((resolve) => placeholder.close(resolve));
  const { session, notes } = start(t, { clock, urls: [url], log });
  await running(clock, 'the first failure is told', () => lines.length > 0);
  for (let n = 0; n < 20; n += 1) {
    await clock.advance(5000);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  t.match(lines, [{ code: 'SUPERNODE_UNREACHABLE', msg: /127\.0\.0\.1:\d+.*ECONNREFUSED/, todo: /supernode.listen/ }]);
  t.equal(lines.length, 1, 'never one a try');
  t.match(session.status(), [{ state: 'failed', code: 'SUPERNODE_UNREACHABLE' }]);
  await clock.advance(5 * 60_000);
  await running(clock, 'a summary', () => lines.length === 2);
  t.match(lines[1], { code: 'NO_SUPERNODE' });
  const supernode = makeSupernode(clock);
  const server = await serve(t, supernode, { port });
  await running(clock, 'it has registered', () => notes.opens === 1);
  t.match(lines[2], { code: 'SUPERNODE_CONNECTED' });
  await server.close();
  await until('the loss is noticed at once', () => notes.losses === 1);
  await until('and told', () => lines.length === 4);
  t.match(lines[3], { code: 'SHUTTING_DOWN' });
  const again = makeSupernode(clock);
  await serve(t, again, { port });
  await running(clock, 'it has registered again', () => notes.opens === 2);
  await until('the roster has it', () => again.peers().peers.length === 1);
});

t.test('each way in which something is not a supernode has its code', async (t) => {
  const reason = async (options: Omit<ProxyOptions, 'clock'> & { clock?: Clock }, advanceMs = 0) => {
    const clock = new ManualClock();
    const { session } = start(t, { clock, ...options });
    let passed = 0;
    await running(clock, 'it has failed', () => {
      if (passed < advanceMs) void clock.advance(50).then(() => (passed += 50));
      return session.status()[0]!.code !== '';
    });
    session.close();
    return session.status()[0]!;
  };
  const web = await listen(
    t,
    createHttpServer((_request, response) => response.end('hello')),
  );
  t.match(await reason({ urls: [web] }), { code: 'SUPERNODE_NOT_HAWKER', message: /HTTP status 200/ });
  const ssh = await listen(
    t,
    createServer((socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n')),
  );
  t.match(await reason({ urls: [ssh] }), { code: 'SUPERNODE_NOT_HAWKER' });
  const mute = createHttpServer();
  const open = new WebSocketServer({ noServer: true });
  mute.on('upgrade', (request, socket, head) => open.handleUpgrade(request, socket, head, () => undefined));
  t.match(await reason({ urls: [await listen(t, mute)] }, HELLO_STEP_MS), {
    code: 'SUPERNODE_SILENT',
    step: 'challenge',
    message: /first message/,
  });
  const speak = async (...texts: string[]) => {
    const server = createHttpServer();
    server.on('upgrade', (request, socket, head) => {
      open.handleUpgrade(request, socket, head, (ws) => {
        for (const text of texts) ws.send(text);
      });
    });
    return reason({ urls: [await listen(t, server)] });
  };
  t.match(await speak('{"type":"chat"}'), { code: 'SUPERNODE_NOT_HAWKER', message: /type is not known/ });
  t.match(await speak('{"t":"ping"}'), { code: 'SUPERNODE_NOT_HAWKER', message: /begins with/ });
  t.match(await speak('{"t":"challenge","protocol":"7.0","odd":1}'), {
    code: 'PROTOCOL_VERSION',
    message: /upgrade the proxy/,
  });
  const challenge = {
    t: 'challenge',
    nonce: 'n'.repeat(22),
    epoch: 'epoch-01',
    protocol: '1.0',
    version: '1',
    membership: true,
    time: 0,
  };
  t.match(await speak(JSON.stringify({ ...challenge, protocol: '0.3' })), {
    code: 'PROTOCOL_VERSION',
    message: /upgrade the supernode/,
  });
  const welcome = { t: 'welcome', epoch: 'epoch-01', heartbeatMs: 1000, proof: 'p'.repeat(43), time: 0, peers: [] };
  t.match(await speak(JSON.stringify(challenge), JSON.stringify(welcome)), { code: 'SUPERNODE_NOT_TRUSTED' });

  const supernode = makeSupernode(new ManualClock());
  const candidates = pairedCandidates(() => supernode);
  t.match(await reason({ urls: ['http://x'], candidates, membership: new Membership('y'.repeat(32)) }), {
    code: 'NOT_A_MEMBER',
    message: /does not have the join secret/,
  });
  t.match(await reason({ urls: ['http://x'], candidates, membership: new Membership(undefined) }), {
    code: 'NOT_A_MEMBER',
    message: /this proxy has none/,
  });
  t.match(await reason({ urls: ['http://x'], candidates, addresses: ['0.0.0.0:1'] }), { code: 'BAD_ADDRESS' });

  const names = new ManualClock();
  const lost = networkCandidates(names, async () => {
    throw new Error('ENOTFOUND');
  });
  t.match(await reason({ urls: ['http://nowhere.example:6789'], candidates: lost }), {
    code: 'SUPERNODE_UNRESOLVED',
    message: /nowhere\.example.*ENOTFOUND/,
  });
  const hanging = networkCandidates(names, () => new Promise(() => undefined));
  const asked = hanging('http://slow.example');
  asked.catch(() => undefined);
  await names.advance(RESOLVE_TIMEOUT_MS);
  await t.rejects(asked, { code: 'SUPERNODE_UNRESOLVED', message: /no answer within/ });
  await t.rejects(networkCandidates(names, async () => [])('http://empty.example'), { message: /empty/ });
});

t.test('a name is resolved anew at each try, to all its addresses', async (t) => {
  const clock = new ManualClock();
  const supernode = makeSupernode(clock);
  const { port } = await serve(t, supernode);
  const answers = [['127.0.0.9'], ['127.0.0.9', '127.0.0.1']];
  const asked: string[] = [];
  const candidates = networkCandidates(clock, async (host) => {
    asked.push(host);
    return answers[Math.min(asked.length, 2) - 1]!;
  });
  const { notes } = start(t, { clock, urls: [`http://localhost:${port}`], candidates });
  await running(clock, 'it has registered', () => notes.opens === 1);
  t.same(asked, ['localhost', 'localhost']);
  const [ipv6] = await networkCandidates(clock)('http://[::1]:7');
  t.equal(ipv6!.address, '[::1]:7');
});

t.test('a list: the first that is up, and back to it when it comes back', async (t) => {
  const clock = new ManualClock();
  const supernodes = new Map([['http://second', makeSupernode(clock)]]);
  const candidates = (url: string) => {
    const supernode = supernodes.get(url);
    if (!supernode) return Promise.reject(new Error(`${url} is down`));
    return pairedCandidates(() => supernode)(url);
  };
  const { session, notes } = start(t, { clock, urls: ['http://first', 'http://second', 'http://third'], candidates });
  await running(clock, 'it is with the second', () => notes.opens === 1);
  await until('it is shown', () => session.status()[1]!.state === 'connected');
  t.match(session.status(), [
    { state: 'failed', message: /first is down/ },
    { state: 'connected' },
    { state: 'standby' },
  ]);
  const first = makeSupernode(clock);
  supernodes.set('http://first', first);
  await running(clock, 'it is with the first', () => notes.opens === 2);
  await until('it is shown', () => session.status()[0]!.state === 'connected');
  t.equal(first.peers().peers.length, 1);
});

t.test('a supernode that falls silent is left', async (t) => {
  const clock = new ManualClock();
  const frozen = makeSupernode(new ManualClock(), { heartbeatMs: 1000 });
  let mute = false;
  const candidates = async () =>
    (await pairedCandidates(() => frozen)('x')).map((found) => ({
      address: found.address,
      open: async () => {
        const socket = await found.open();
        const send = socket.send.bind(socket);
        socket.send = (text) => (mute ? undefined : send(text));
        return socket;
      },
    }));
  const { session, notes } = start(t, { clock, urls: ['http://x'], candidates });
  await until('it is open', () => notes.opens === 1);
  mute = true;
  await running(clock, 'it is left', () => notes.losses === 1);
  await until('it is said', () => session.status()[0]!.state === 'failed' || notes.opens === 2);
});

t.test('knows others for when every supernode is gone, and dials for the supernode', async (t) => {
  const clock = new ManualClock();
  const membership = new Membership(SECRET);
  const book: Phonebook = new Map();
  let supernode = makeSupernode(clock, { ask: askFrom(book, membership), heartbeatMs: 60_000 });
  const candidates = pairedCandidates(() => supernode);
  const hidden: Phonebook = new Map([['b:1', { peer: 'peer-b-00', instance: 'instance-1' }]]);
  book.set('a:1', { peer: 'peer-a-00', instance: 'instance-1' });
  const a = start(t, { clock, urls: ['http://x'], candidates, addresses: ['a:1'], ask: askFrom(hidden, membership) });
  await until('a is ready', () => supernode.peers().peers[0]?.state === 'ready');
  const b = start(t, { clock, urls: ['http://x'], candidates, peer: 'peer-b-00', addresses: ['b:1'] });
  await until('b is reached from a', () => supernode.peers().peers[1]?.state === 'ready');
  t.match(b.session.knownPeers(), [{ id: 'peer-a-00', addresses: ['a:1'] }]);
  start(t, {
    clock,
    urls: ['http://x'],
    candidates,
    peer: 'peer-c-00',
    addresses: ['c:1'],
    ask: askFrom(hidden, membership),
  });
  await until('nobody reaches c', () => /nor could/.test(supernode.peers().peers[2]?.reason ?? ''));
  await clock.advance(60_000);
  await until('a has heard of b', () => a.session.knownPeers().some(({ id }) => id === 'peer-b-00'));
  supernode.close();
  await until('it is gone', () => a.notes.losses === 1);
  t.equal(a.session.knownPeers().length, 1, 'and the others stay known');
  supernode = makeSupernode(clock);
  await running(clock, 'a is back', () => a.notes.opens === 2);
  t.match(a.session.knownPeers(), [{ id: 'peer-b-00' }], 'also to one that is the first to come back');
});

t.test('a pause of 30 s heals within seconds, and is told', async (t) => {
  const clock = new ManualClock();
  const theirs = new ManualClock();
  const { log, lines } = captured();
  const supernode = makeSupernode(theirs, { heartbeatMs: 5000 });
  const { url } = await serve(t, supernode);
  const { session, notes } = start(t, { clock, urls: [url], log, random: () => 0.999 });
  await until('it is open', () => notes.opens === 1);
  // The supernode runs on meanwhile.
  await theirs.advance(30_000);
  clock.stall(30_000);
  let passed = 0;
  await running(clock, 'it is registered again', () => {
    passed += 10;
    return notes.opens === 2 && supernode.peers().peers[0]?.state === 'unreachable';
  });
  t.ok(passed <= 1500, `${passed} ms`);
  t.match(lines[1], { code: 'PROXY_PAUSED', ms: 25_000 });
  t.match(session.status(), [{ state: 'connected' }]);
});

t.test('the clock of the supernode is followed, whoever sets which clock', async (t) => {
  const clock = new ManualClock();
  const theirs = new ManualClock(clock.now() - 40_000);
  const { log, lines } = captured();
  const supernode = makeSupernode(theirs, { heartbeatMs: 5000 });
  const { session, notes } = start(t, {
    clock,
    urls: ['http://x'],
    candidates: pairedCandidates(() => supernode),
    log,
  });
  await until('it is open', () => notes.opens === 1);
  t.match(session.status(), [{ clockSkewMs: 40_000 }]);
  t.match(lines, [
    { code: 'SUPERNODE_CONNECTED' },
    { code: 'CLOCK_SKEW', clockSkewMs: 40_000, msg: /TLS certificates/ },
  ]);
  t.equal(session.supernodeTime(), theirs.now());
  theirs.set(40_000);
  await clock.advance(5000);
  await until('a beat has told', () => session.status()[0]!.clockSkewMs! < 20_000);
  t.equal(session.supernodeTime(), theirs.now());
  t.match(lines[2], { code: 'CLOCK_IN_STEP' });
});

t.test('an inventory that cannot be read ends neither the session nor the process', async (t) => {
  const clock = new ManualClock();
  const { log, lines } = captured();
  const supernode = makeSupernode(clock);
  let isBroken = true;
  const list = () => {
    if (isBroken) throw new Error('a bad disk');
    return [{ digest: digestOf('x'), size: 3 }];
  };
  const { session, notes } = start(t, {
    clock,
    urls: ['http://x'],
    candidates: pairedCandidates(() => supernode),
    inventory: { shelves: [{ list }] },
    log,
  });
  await until('it is open', () => notes.opens === 1);
  for (let n = 0; n < 5; n += 1) await clock.advance(5000);
  t.match(lines[1], { code: 'INVENTORY_UNTOLD', msg: /bad disk/ });
  t.equal(lines.length, 2, 'told once');
  isBroken = false;
  await clock.advance(5000);
  await until('all of it is announced', () => [...supernode.blobs()].length === 1);
  session.close();
  supernode.close();
  await clock.advance(10_000);
  t.equal(clock.waiting, 0, 'no timer is left');
});

t.test('an old session says nothing any more once there is a new one', async (t) => {
  const clock = new ManualClock();
  const heard: string[] = [];
  const supernodes = { first: new ScriptedSupernode('epoch-01'), again: new ScriptedSupernode('epoch-02') };
  const open = [supernodes.first, supernodes.again];
  const candidates = async () => [{ address: 'x:1', open: async () => open.shift()!.near }];
  const session = makeSession({ clock, urls: ['http://x'], candidates, random: () => 0.5 });
  session.start({
    opened: ({ epoch }) => void heard.push(`opened ${epoch}`),
    lost: () => void heard.push('lost'),
    heard: () => undefined,
    assigned: () => void heard.push('assigned'),
  });
  t.teardown(() => session.close());
  await turns();
  supernodes.first.challenge();
  await turns();
  supernodes.first.welcome();
  await turns();
  await clock.advance(8000);
  await turns();
  t.equal(open.length, 0, 'it is in doubt: another way is looked for');
  supernodes.again.challenge();
  await turns();
  supernodes.again.welcome();
  supernodes.first.say({ t: 'a' });
  await turns();
  supernodes.first.say({ t: 'a' });
  await turns();
  t.same(
    heard.filter((what) => what !== 'assigned'),
    ['opened epoch-01', 'lost', 'opened epoch-02'],
  );
  t.notOk(heard.slice(heard.indexOf('lost')).includes('assigned'));
  t.ok(supernodes.first.isClosed);
});

const NEW = 'the secret that comes, which is long enough too';
const BOTH = { first: SECRET, second: { secret: NEW, role: 'next' } } as const;
const SWITCHED = { first: NEW, second: { secret: SECRET, role: 'previous' } } as const;

t.test('when the secrets change the session is opened anew before the old one is given up', async (t) => {
  const clock = new ManualClock();
  const theirs = new Membership(SECRET);
  const supernode = makeSupernode(clock, { membership: theirs });
  const own = new Membership(SECRET);
  const { notes } = start(t, {
    clock,
    urls: ['http://here'],
    candidates: pairedCandidates(() => supernode),
    membership: own,
  });
  await until('it is there', () => notes.opens === 1);
  const secrets = () => supernode.peers().peers.map((peer) => peer.secrets.join('+'));
  theirs.change(BOTH);
  own.change(BOTH);
  await running(clock, 'it is renewed', () => notes.opens === 2);
  t.same(secrets(), ['current+next']);
  own.change(SWITCHED);
  await running(clock, 'and again', () => notes.opens === 3);
  t.same(secrets(), ['next+current']);
  theirs.change(SWITCHED);
  t.same(secrets(), ['current+previous']);
  theirs.change({ first: NEW });
  own.change({ first: NEW });
  await running(clock, 'and once more', () => notes.opens === 4);
  t.same(secrets(), ['current']);
  t.match(supernode.peers(), { peers: [{ id: 'peer-a-00' }], rejected: [] });
  t.equal(supernode.peers().rejected.length, 0, 'nobody was refused');
  t.equal(supernode.status().sessions, 1, 'and no session is left over');
});

t.test(
  'a supernode that does not have the new secret yet: the session goes on, said once, and is renewed when it can be',
  async (t) => {
    const clock = new ManualClock();
    const theirs = new Membership(SECRET);
    const supernode = makeSupernode(clock, { membership: theirs });
    const own = new Membership(SECRET);
    const { log, lines } = captured();
    const candidates = pairedCandidates(() => supernode);
    const { notes, session } = start(t, { clock, urls: ['http://here'], candidates, membership: own, log });
    await until('it is there', () => notes.opens === 1);
    own.change(SWITCHED);
    const said = () => lines.filter(({ code }) => code === 'SESSION_NOT_RENEWED');
    await running(clock, 'it is said', () => said().length > 0);
    for (let n = 0; n < 5; n += 1) await clock.advance(6000);
    t.match(said(), [{ todo: /docs.rotation.md/ }]);
    t.equal(said().length, 1);
    t.match(session.status(), [{ state: 'connected' }]);
    t.equal(notes.losses, 0);
    theirs.change(BOTH);
    await running(clock, 'it is renewed', () => notes.opens === 2);
  },
);

t.test('a supernode that has proved itself with a secret that counts no more is left', async (t) => {
  const clock = new ManualClock();
  const theirs = new Membership(SECRET);
  const supernode = makeSupernode(clock, { membership: theirs });
  const own = new Membership(SECRET);
  const { log, lines } = captured();
  const candidates = pairedCandidates(() => supernode);
  const { notes, session } = start(t, { clock, urls: ['http://here'], candidates, membership: own, log });
  await until('it is there', () => notes.opens === 1);
  own.change({ first: NEW });
  await until('it is left', () => notes.losses === 1);
  t.match(lines.at(-1), { msg: /a join secret that is not accepted any more/ });
  await running(clock, 'it is refused', () => session.status()[0]!.code === 'NOT_A_MEMBER');
  theirs.change({ first: NEW });
  await running(clock, 'it is let in', () => notes.opens === 2);
});
