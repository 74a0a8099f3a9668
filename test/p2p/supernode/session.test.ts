import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { EPOCH, helloOf, SessionRig, turn } from './session-rig.ts';

const digest = digestOf('a blob');
const WANT = { t: 'want', epoch: EPOCH, w: 1, digest, size: 1, held: '', awaited: [] };

t.test('first a hello, once; what else is said before the welcome does not belong there', async (t) => {
  const rig = new SessionRig();
  const { session, far } = rig.connect();
  const hello = helloOf(session.nonce);
  far.say(hello);
  await turn();
  t.same(rig.heard, ['1 says hello']);
  t.same([session.phase, session.hello], ['asked', hello]);
  far.say({ t: 'beat', n: 1, time: 0 });
  await turn();
  t.match(rig.refused, [/^1 MESSAGE_ORDER: "beat"/]);
  session.open('peer-a-00');
  t.same([session.phase, session.peer, session.hello], ['open', 'peer-a-00', undefined]);
  far.say(hello);
  await turn();
  t.match(rig.refused[1], /^1 MESSAGE_ORDER: a second "hello"/);
});

t.test('each message goes where it belongs', async (t) => {
  const rig = new SessionRig();
  const { session, far } = rig.open('peer-a-00');
  far.say({ t: 'beat', n: 1, time: 0 });
  far.say({ t: 'dialed', n: 1 });
  far.say({ t: 'test', n: 1 });
  far.say({ t: 'preheating', id: 'order-01', state: 'running', blobs: 0, blobsHere: 0, bytes: 0, bytesHere: 0 });
  far.say(WANT);
  await turn();
  t.same(rig.refused, []);
  t.same(rig.heard, ['1 beats', '1 has dialed', '1 asks for a test', '1 preheats']);
  t.match(rig.swarmEvents, [{ kind: 'want', peer: 'peer-a-00', digest }]);
  t.equal(session.wishOf(digest), 1);
});

t.test('nonsense, what is meant for another supernode, what cannot be true and a flood are refused', async (t) => {
  const rig = new SessionRig();
  const say = async (...messages: unknown[]) => {
    const { session } = rig.open('peer-a-00');
    for (const message of messages) session.message(typeof message === 'string' ? message : JSON.stringify(message));
    return rig.refused.splice(0).at(-1);
  };
  t.match(await say('nonsense'), /MESSAGE_INVALID/);
  t.match(await say({ ...WANT, epoch: 'epoch-of-old' }), /OLD_EPOCH/);
  t.match(await say({ t: 'announce', epoch: 'epoch-of-old' }), /OLD_EPOCH/);
  t.match(await say({ t: 'r', d: [5] }), /IMPOSSIBLE: there was no wish 5/);
  t.same(rig.swarmEvents, []);
  const reports = JSON.stringify({ t: 'r', n: Array.from({ length: 1024 }, () => 1) });
  t.match(await say(WANT, ...Array.from({ length: 400 }, () => reports)), /FLOOD/);
  const { session } = rig.connect();
  session.message(JSON.stringify({ ...helloOf(session.nonce), protocol: '9.0', peer: 'of another form' }));
  t.match(rig.refused, [/PROTOCOL_VERSION/]);
});

t.test('nothing more is heard of a session that is over; a goodbye is told from a crash', async (t) => {
  const rig = new SessionRig();
  const [stopped, crashed] = [rig.open('peer-a-00'), rig.open('peer-b-00')];
  stopped.far.say({ t: 'bye' });
  await turn();
  stopped.far.socket.close(1000, '');
  crashed.far.socket.close(1000, '');
  await turn();
  t.same(rig.heard.splice(0), ['1 is closed, said goodbye', '2 is closed']);
  rig.sessions.drop(stopped.session);
  stopped.session.message(JSON.stringify({ t: 'test', n: 1 }));
  t.same(rig.heard, []);
});
