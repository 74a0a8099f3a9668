import t from 'tap';
import { candidatesAmong, choose, type PreheatCandidate } from '../../../src/p2p/supernode/preheat-choice.ts';
import { Roster } from '../../../src/p2p/supernode/roster.ts';
import { registration } from './session-rig.ts';

const candidate = (n: number, isReady = true): PreheatCandidate => {
  return { peer: `peer-${n}`, instance: 'i', host: 'h', zone: n % 2 === 0 ? 'even' : 'odd', isReady };
};
const CANDIDATES = Array.from({ length: 8 }, (_, n) => candidate(n));
const names = (chosen: readonly PreheatCandidate[]) => chosen.map(({ peer }) => peer);

t.test('peers that are here and are heard may be chosen, whether or not they can be reached', async (t) => {
  const roster = new Roster({ heartbeatMs: 1000, random: Math.random });
  for (const [n, peer] of ['ready', 'unreachable', 'left', 'stale'].entries()) {
    const about = registration(peer);
    roster.apply({ kind: 'register', connection: n, from: 'x', registration: about }, 0);
    if (peer !== 'unreachable') roster.apply({ kind: 'tested', ...about, result: { address: 'x:1' } }, 0);
  }
  roster.apply({ kind: 'closed', connection: 2, goodbye: true, reason: '' }, 0);
  for (const connection of [0, 1]) roster.apply({ kind: 'heard', connection }, 3001);
  roster.tick(3001);
  t.match(candidatesAmong(roster.members()), [
    { peer: 'ready', instance: 'ready-1', host: 'host-of-ready', zone: 'z', isReady: true },
    { peer: 'unreachable', isReady: false },
  ]);
  t.equal(candidatesAmong(roster.members()).length, 2);
});

t.test('of the zone, so many, for one image always the same ones whatever their order', async (t) => {
  const image = 'a/b:c';
  t.same(names(choose({ image, zone: 'odd', peers: undefined }, CANDIDATES)).sort(), [
    'peer-1',
    'peer-3',
    'peer-5',
    'peer-7',
  ]);
  const three = names(choose({ image, zone: undefined, peers: 3 }, CANDIDATES));
  t.equal(three.length, 3);
  t.same(names(choose({ image, zone: undefined, peers: 3 }, [...CANDIDATES].reverse())), three);
  const others = Array.from({ length: 5 }, (_, n) =>
    names(choose({ image: `x${n}`, zone: undefined, peers: 3 }, CANDIDATES)).join(),
  );
  t.ok(new Set(others).size > 1, 'images are spread');
});

t.test('those that others can fetch from come first', async (t) => {
  const mixed = [candidate(0, false), candidate(1, false), candidate(2), candidate(3, false)];
  t.equal(names(choose({ image: 'x', zone: undefined, peers: undefined }, mixed))[0], 'peer-2');
});

t.test('nobody, or too few', async (t) => {
  t.throws(() => choose({ image: 'x', zone: undefined, peers: undefined }, []), { code: 'PREHEAT_NO_PEERS' });
  t.throws(() => choose({ image: 'x', zone: 'nowhere', peers: 1 }, CANDIDATES), { code: 'PREHEAT_NO_PEERS' });
  t.throws(() => choose({ image: 'x', zone: 'odd', peers: 5 }, CANDIDATES), { code: 'PREHEAT_TOO_FEW_PEERS' });
});
