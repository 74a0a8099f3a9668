import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { CLOSE, socketPair } from '../../../src/p2p/protocol/socket.ts';
import { Assignments } from '../../../src/p2p/supernode/assignments.ts';
import { Session } from '../../../src/p2p/supernode/session.ts';
import { FarEnd, SessionRig } from './session-rig.ts';

t.test('a peer is spoken to in its open session, if it has one', async (t) => {
  const rig = new SessionRig();
  const { far } = rig.open('peer-a-00');
  t.equal(rig.sessions.sendTo('peer-a-00', { t: 'ping' }), true);
  t.same(await far.take(), [{ t: 'ping' }]);
  rig.connect().session.peer = 'peer-b-00';
  t.equal(rig.sessions.sendTo('peer-b-00', { t: 'ping' }), false, 'it is not open');
});

t.test('a newer session of a peer stays its session when the older one ends', async (t) => {
  const rig = new SessionRig();
  const older = rig.open('peer-a-00');
  const newer = rig.open('peer-a-00');
  rig.sessions.end(older.session, 'REPLACED', 'a newer one', CLOSE.again);
  t.match(await older.far.take(), [{ t: 'error', code: 'REPLACED' }]);
  t.equal(rig.sessions.of('peer-a-00'), newer.session);
  t.equal(rig.sessions.size, 1);
  rig.sessions.drop(newer.session);
  t.equal(rig.sessions.of('peer-a-00'), undefined);
});

t.test('what is assigned in one turn leaves as one message, and not once the session is over', async (t) => {
  const rig = new SessionRig();
  const [first, second] = [rig.open('peer-a-00'), rig.open('peer-b-00')];
  for (const { session } of [first, second]) {
    session.assignments = new Assignments();
    for (const wish of [1, 2]) {
      session.assignments.add({ kind: 'wait', peer: session.peer, digest: digestOf('x') }, wish, undefined);
      rig.sessions.assigned(session);
    }
  }
  rig.sessions.drop(second.session);
  rig.sessions.flush();
  t.same(await first.far.take(), [{ t: 'a', w: [1, 2] }]);
  t.same(await second.far.take(), []);
  rig.sessions.flush();
  t.same(await first.far.take(), [], 'once');
});

t.test('who does not take what it is sent is cut off', async (t) => {
  const rig = new SessionRig();
  const [near, farSocket] = socketPair();
  const far = new FarEnd(farSocket);
  let backlog = 8 * 1024 * 1024;
  const socket = {
    get backlog() {
      return backlog;
    },
    send: (text: string) => near.send(text),
    close: (code: number, reason: string) => near.close(code, reason),
    terminate: () => near.terminate(),
    listen: () => undefined,
  };
  const session = new Session(rig.host, { id: 1, from: '10.0.0.1', socket, nonce: '', now: 0 });
  rig.sessions.add(session);
  rig.sessions.send(session, { t: 'ping' });
  t.same(rig.heard, []);
  backlog += 1;
  rig.sessions.send(session, { t: 'ping' });
  t.same(rig.heard, ['1 is too slow']);
  t.equal(session.phase, 'over');
  rig.sessions.send(session, { t: 'ping' });
  t.same(await far.take(), [{ t: 'ping' }, { t: 'ping' }]);
  t.equal(far.closedWith, `${CLOSE.abnormal} `);
});
