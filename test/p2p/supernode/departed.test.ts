import t from 'tap';
import { Departed, LEFT_KEPT_MS, MAX_LEFT } from '../../../src/p2p/supernode/departed.ts';
import { Member } from '../../../src/p2p/supernode/member.ts';
import { registration } from './session-rig.ts';

const left = (peer: string, since: number) =>
  new Member({ connection: 1, from: 'x', registration: registration(peer) }, since);
const names = (members: Iterable<Member>) => Array.from(members, (member) => member.registration.peer);

t.test('they are shown for a time, the longest ago goes first', async (t) => {
  const departed = new Departed();
  const back = left('b', 1);
  for (const member of [left('a', 0), back, left('c', 2)]) departed.add(member);
  t.same(names(departed.expired(LEFT_KEPT_MS - 1)), []);
  departed.delete(back);
  t.same(names(departed.expired(LEFT_KEPT_MS + 1)), ['a'], 'who has come back is none of them');
  t.same(names(departed.expired(LEFT_KEPT_MS + 2)), ['c']);
  t.same(names(departed.expired(Number.POSITIVE_INFINITY)), []);
});

t.test('and so many at most', async (t) => {
  const departed = new Departed();
  for (let n = 0; n < MAX_LEFT + 2; n += 1) departed.add(left(`p${n}`, n));
  t.same(names(departed.expired(MAX_LEFT)), ['p0', 'p1']);
});
