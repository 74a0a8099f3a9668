import t from 'tap';
import { CLOSE } from '../../../src/p2p/protocol/socket.ts';
import { Endings } from '../../../src/p2p/supernode/endings.ts';
import { Roster } from '../../../src/p2p/supernode/roster.ts';
import { helloOf, registration, SessionRig, turn } from './session-rig.ts';

function rig() {
  const sessions = new SessionRig();
  const roster = new Roster({ heartbeatMs: 1000, random: Math.random });
  roster.apply({ kind: 'register', connection: 1, from: 'x', registration: registration('peer-a-00') }, 0);
  const denied: string[] = [];
  const news = { denied: (from: string, code: string) => void denied.push(`${from} ${code}`) };
  const endings = new Endings({ sessions: sessions.sessions, roster, tell: sessions.tell, news });
  return { rig: sessions, endings, denied };
}

t.test('a peer is refused: it hears why, the roster who it was and that it is gone', async (t) => {
  const { rig: sessions, endings, denied } = rig();
  const { session, far } = sessions.open('peer-a-00');
  endings.refuse(session, 'IMPOSSIBLE', 'that cannot be');
  t.match(await far.take(), [{ t: 'error', code: 'IMPOSSIBLE', message: /^that cannot be \(/ }]);
  t.equal(far.closedWith, `${CLOSE.policy} IMPOSSIBLE`);
  t.equal(sessions.sessions.size, 0);
  t.match(sessions.rosterEvents, [
    {
      kind: 'refused',
      from: '10.0.0.1',
      who: { host: 'host-of-peer-a-00' },
      code: 'IMPOSSIBLE',
      message: 'that cannot be',
    },
    { kind: 'closed', connection: 1, goodbye: false, reason: 'its session was ended: IMPOSSIBLE, that cannot be' },
  ]);
  t.same(denied, [], 'it is a member');
  endings.refuse(session, 'IMPOSSIBLE', 'again');
  t.equal(sessions.rosterEvents.length, 2, 'once');
});

t.test('a stranger is refused: what it calls itself is told, and the audit hears of it', async (t) => {
  const { rig: sessions, endings, denied } = rig();
  const { session, far } = sessions.connect();
  session.hello = helloOf(session.nonce, { peer: 'peer-b-00', host: 'elsewhere' });
  endings.refuse(session, 'NOT_A_MEMBER', 'no');
  t.match(await far.take(), [{ t: 'reject', code: 'NOT_A_MEMBER' }]);
  t.match(sessions.rosterEvents[0], { kind: 'refused', who: { peer: 'peer-b-00', host: 'elsewhere' } });
  endings.turnedAway('10.0.0.77', 'FULL', 'no room');
  t.match(sessions.rosterEvents[2], { kind: 'refused', from: '10.0.0.77', who: undefined, code: 'FULL' });
  t.same(denied, ['10.0.0.1 NOT_A_MEMBER', '10.0.0.77 FULL']);
});

t.test('one that is too slow is a refusal and a loss, too', async (t) => {
  const { rig: sessions, endings, denied } = rig();
  endings.tooSlow(sessions.open('peer-a-00').session);
  t.match(sessions.rosterEvents, [
    { kind: 'refused', who: { peer: 'peer-a-00' }, code: 'TOO_SLOW' },
    { kind: 'closed', connection: 1, goodbye: false },
  ]);
  t.same(denied, []);
});

t.test('once the supernode ends nobody leaves, but who comes still hears why not', async (t) => {
  const { rig: sessions, endings } = rig();
  endings.stop();
  endings.closed(sessions.open('peer-a-00').session, true, 'it stopped');
  t.same(sessions.rosterEvents, []);
  const { session, far } = sessions.connect();
  endings.refuse(session, 'SHUTTING_DOWN', 'it shuts down');
  t.match(await far.take(), [{ t: 'reject', code: 'SHUTTING_DOWN' }]);
  t.match(sessions.rosterEvents, [{ kind: 'refused', code: 'SHUTTING_DOWN' }]);
  await turn();
  t.equal(sessions.rosterEvents.length, 1);
});
