import t from 'tap';
import { MAX_KNOWN_PEERS } from '../../../src/p2p/protocol/limits.ts';
import { Introductions, TELL_PEERS_MS } from '../../../src/p2p/supernode/introductions.ts';
import { Roster } from '../../../src/p2p/supernode/roster.ts';
import { registration, SessionRig } from './session-rig.ts';

/** Peers a, b, … of which every second one is in zone y. */
function rosterOf(count: number): Roster {
  const roster = new Roster({ heartbeatMs: 1000, random: () => 0 });
  for (let n = 0; n < count; n += 1) {
    const about = registration(`peer-${n}`, { zone: n % 2 === 0 ? 'z' : 'y' });
    roster.apply({ kind: 'register', connection: n, from: 'x', registration: about }, 0);
    roster.apply({ kind: 'tested', ...about, result: { address: about.addresses[0]! } }, 0);
  }
  return roster;
}

t.test('a proxy is told some others, those of its zone first, never itself', async (t) => {
  const introductions = new Introductions(rosterOf(3 * MAX_KNOWN_PEERS));
  const { session } = new SessionRig().open('peer-1');
  const known = introductions.to(session, 5000);
  t.equal(session.toldPeersAt, 5000);
  t.equal(known.length, MAX_KNOWN_PEERS);
  t.ok(known.every(({ zone, id }) => zone === 'y' && id !== 'peer-1'));
  t.match(known[0], { instance: /^peer-\d+-1$/, addresses: [/^peer-\d+:65002$/] });
  t.same(new Introductions(rosterOf(0)).to(session, 0), []);
});

t.test('anew only when the last time is long ago, then counted from now', async (t) => {
  const introductions = new Introductions(rosterOf(2));
  const { session } = new SessionRig().open('peer-1');
  introductions.to(session, 0);
  t.equal(introductions.anewTo(session, TELL_PEERS_MS - 1), undefined);
  t.match(introductions.anewTo(session, TELL_PEERS_MS), [{ id: 'peer-0' }]);
  t.equal(introductions.anewTo(session, 2 * TELL_PEERS_MS - 1), undefined);
});
