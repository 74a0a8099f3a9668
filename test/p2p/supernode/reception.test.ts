import t from 'tap';
import { HELLO_TIMEOUT_MS } from '../../../src/p2p/protocol/limits.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { CLOSE, socketPair } from '../../../src/p2p/protocol/socket.ts';
import { factsOf } from '../../../src/p2p/supernode/admission.ts';
import { Reception, VISIT_MS } from '../../../src/p2p/supernode/reception.ts';
import { SECRET } from '../../support/swarm-rig.ts';
import { EPOCH, FarEnd, helloOf, SessionRig } from './session-rig.ts';

function rig(membership = new Membership(SECRET)) {
  const sessions = new SessionRig();
  const state = { isFull: false };
  const visitors: number[] = [];
  const news: string[] = [];
  const reception = new Reception({
    epoch: EPOCH,
    version: '9.9.9',
    heartbeatMs: 5000,
    membership,
    clock: { now: () => 1234 },
    sessions: sessions.sessions,
    roster: state,
    introductions: { to: () => [{ id: 'peer-x-00', instance: 'i', addresses: ['x:1'], zone: '' }] },
    ports: { ofVisitor: ({ id }) => void visitors.push(id) },
    news: { versionsDiffer: ({ peer }, warning) => void news.push(`${peer}: ${warning}`) },
    tell: sessions.tell,
    refuse: sessions.refuse,
  });
  const connect = () => {
    const [near, far] = socketPair();
    return { session: reception.accept(near, '10.0.0.1', sessions.host), far: new FarEnd(far) };
  };
  return { reception, connect, visitors, news, state, rig: sessions };
}

t.test('it speaks first, and asks each connection for a proof of its own', async (t) => {
  const { connect, rig: sessions } = rig();
  const first = connect();
  const challenge = await first.far.next('challenge');
  t.match(challenge, { epoch: EPOCH, protocol: '1.0', version: '9.9.9', membership: true, time: 1234 });
  t.equal(challenge.nonce, first.session.nonce);
  const second = connect();
  t.not(second.session.nonce, first.session.nonce);
  t.not(second.session.id, first.session.id);
  t.equal(sessions.sessions.unregistered.size, 2);
  t.equal((await rig(new Membership(undefined)).connect().far.next('challenge')).membership, false);
});

t.test('a member is registered, then welcome with the supernode’s own proof', async (t) => {
  const { reception, connect, rig: sessions, news } = rig();
  const { session, far } = connect();
  await far.take();
  const hello = helloOf(session.nonce, { time: 234 });
  session.hello = hello;
  reception.hello(session, hello);
  t.match(sessions.rosterEvents, [
    {
      kind: 'register',
      connection: session.id,
      from: '10.0.0.1',
      registration: { peer: 'peer-a-00', clockSkewMs: -1000 },
    },
  ]);
  t.same(await far.take(), [], 'the roster has not said yes');
  t.equal(reception.welcome(session.id, true, 7000), true);
  t.equal(session.phase, 'open');
  t.equal(sessions.sessions.of('peer-a-00'), session);
  t.equal(sessions.sessions.unregistered.size, 0);
  const welcome = await far.next('welcome');
  t.match(welcome, { epoch: EPOCH, heartbeatMs: 5000, time: 1234, peers: [{ id: 'peer-x-00' }] });
  t.equal(welcome.proof, new Membership(SECRET).sessionProof('supernode', factsOf(hello, EPOCH, session.nonce)));
  t.notOk('warning' in welcome);
  t.same(news, []);
  t.equal(reception.welcome(session.id, true, 7000), false, 'once');
  t.equal(reception.welcome(99, true, 7000), false, 'nobody');
});

t.test('another minor version is welcome with a warning', async (t) => {
  const { reception, connect, news } = rig();
  const { session, far } = connect();
  await far.take();
  session.hello = helloOf(session.nonce, { protocol: '1.7' });
  reception.hello(session, session.hello);
  reception.welcome(session.id, true, 0);
  t.match((await far.next('welcome')).warning, /upgrade the supernode/);
  t.match(news, [/^peer-a-00: .*upgrade the supernode/]);
});

t.test('who is no member, or cannot be one, is refused and not registered', async (t) => {
  const { reception, connect, rig: sessions } = rig();
  const say = (fields: Parameters<typeof helloOf>[1], member?: Membership) => {
    const { session } = connect();
    reception.hello(session, helloOf(session.nonce, fields, member));
    return sessions.refused.pop();
  };
  t.match(say({}, new Membership('x'.repeat(32))), /NOT_A_MEMBER/);
  t.match(say({ protocol: '2.0' }), /PROTOCOL_VERSION/);
  t.match(say({ addresses: ['0.0.0.0:1'] }), /BAD_ADDRESS/);
  const { session } = connect();
  reception.hello(session, helloOf('another challenge'));
  t.match(sessions.refused.pop(), /NOT_A_MEMBER/, 'a proof that was overheard elsewhere');
  t.same(sessions.rosterEvents, []);
});

t.test('a session that takes another one’s place goes on with its wishes, a fresh one does not', async (t) => {
  const { reception, connect, rig: sessions } = rig();
  const enter = async (fresh: boolean) => {
    const { session, far } = connect();
    session.hello = helloOf(session.nonce);
    reception.hello(session, session.hello);
    reception.welcome(session.id, fresh, 0);
    await far.take();
    return { session, far };
  };
  const digest = `sha256:${'a'.repeat(64)}`;
  const wish = JSON.stringify({ t: 'want', epoch: EPOCH, w: 1, digest, size: 1, held: '', awaited: [] });
  const { session: first } = await enter(true);
  first.message(wish);
  t.match(sessions.swarmEvents.splice(0), [{ kind: 'want', digest }]);
  const beat = JSON.stringify({ t: 'beat', n: 1, time: 0 });
  const { session: second } = await enter(false);
  second.message(beat);
  t.match(sessions.swarmEvents.splice(0), [{ kind: 'leave', digest }], 'it did not make it again');
  second.message(wish);
  sessions.swarmEvents.length = 0;
  const { session: third } = await enter(true);
  third.message(beat);
  t.same(sessions.swarmEvents, []);
});

t.test('a visitor is told that it could come, and is tested; not where there is no room', async (t) => {
  const { reception, connect, visitors, state, rig: sessions } = rig();
  const { session, far } = connect();
  await far.take();
  reception.hello(session, helloOf(session.nonce, { visit: true }));
  t.match(await far.next('welcome'), { peers: [] });
  t.equal(session.phase, 'visiting');
  t.same(visitors, [session.id]);
  t.same(sessions.rosterEvents, [], 'it is none of the peers');
  state.isFull = true;
  const late = connect().session;
  reception.hello(late, helloOf(late.nonce, { visit: true }));
  t.match(sessions.refused, [/FULL/]);
  t.same(visitors, [session.id]);
});

t.test('who says nothing, and a visitor whose test does not end, has its time; who has said hello waits', async (t) => {
  const { reception, connect, rig: sessions } = rig();
  const mute = connect();
  const visitor = connect();
  reception.hello(visitor.session, helloOf(visitor.session.nonce, { visit: true }));
  const asked = connect();
  asked.session.phase = 'asked';
  const start = sessions.now;
  sessions.now += 1;
  const later = connect();
  reception.endLate(start + HELLO_TIMEOUT_MS - 1);
  t.same(sessions.refused, []);
  reception.endLate(start + HELLO_TIMEOUT_MS);
  t.match(sessions.refused, [new RegExp(`^${mute.session.id} HELLO_TIMEOUT`)]);
  sessions.sessions.drop(mute.session);
  reception.endLate(start + VISIT_MS - 1);
  await visitor.far.take();
  t.equal(visitor.far.closedWith, undefined);
  reception.endLate(start + VISIT_MS);
  t.match(await visitor.far.take(), [{ t: 'reject', code: 'TOO_SLOW' }]);
  t.equal(visitor.far.closedWith, `${CLOSE.again} TOO_SLOW`);
  t.equal(asked.session.phase, 'asked');
  t.match(sessions.refused.at(-1), new RegExp(`^${later.session.id} HELLO_TIMEOUT`));
});
