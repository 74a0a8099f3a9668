import t from 'tap';
import { Heartbeats } from '../../../src/p2p/supernode/heartbeats.ts';
import { Introductions, TELL_PEERS_MS } from '../../../src/p2p/supernode/introductions.ts';
import { Roster } from '../../../src/p2p/supernode/roster.ts';
import { Traffic } from '../../../src/p2p/supernode/traffic.ts';
import { registration, SessionRig } from './session-rig.ts';

t.test('a heartbeat is answered with its number and the time; its bytes are counted for its process', async (t) => {
  const rig = new SessionRig();
  const roster = new Roster({ heartbeatMs: 1000, random: () => 0 });
  for (const [connection, peer] of ['peer-0', 'peer-1'].entries()) {
    const about = registration(peer);
    roster.apply({ kind: 'register', connection, from: 'x', registration: about }, 0);
    roster.apply({ kind: 'tested', ...about, result: { address: about.addresses[0]! } }, 0);
  }
  const traffic = new Traffic();
  const clock = { now: () => 1_767_225_600_000 };
  const introductions = new Introductions(roster);
  const heartbeats = new Heartbeats({ roster, sessions: rig.sessions, traffic, introductions, clock });
  const { session, far } = rig.open('peer-1');
  session.toldPeersAt = 1000;
  heartbeats.answer(session, { t: 'beat', n: 7, time: 0, bytes: [1, 2, 3, 4] }, 2000);
  t.same(await far.take(), [{ t: 'beat', n: 7, time: clock.now() }]);
  t.same(traffic.of('peer-1-1'), [1, 2, 3, 4]);
  heartbeats.answer(session, { t: 'beat', n: 8, time: 0 }, 1000 + TELL_PEERS_MS);
  t.match(await far.take(), [{ t: 'beat', n: 8, peers: [{ id: 'peer-0' }] }]);
  const stranger = rig.open('peer-none');
  stranger.session.toldPeersAt = 2000;
  heartbeats.answer(stranger.session, { t: 'beat', n: 1, time: 0, bytes: [9, 9, 9, 9] }, 2000);
  t.match(await stranger.far.take(), [{ t: 'beat', n: 1 }], 'one that the roster does not know any more');
  t.equal(traffic.view(0).store, 1);
});
