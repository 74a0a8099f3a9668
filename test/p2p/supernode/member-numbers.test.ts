import t from 'tap';
import { MAX_NUMBERS, MemberNumbers } from '../../../src/p2p/supernode/member-numbers.ts';
import { Member } from '../../../src/p2p/supernode/member.ts';
import { registration } from './session-rig.ts';

const member = (peer: string) => new Member({ connection: 1, from: 'x', registration: registration(peer) }, 0);

t.test('each number is given once; who moves is known by those before it, up to a bound', async (t) => {
  const numbers = new MemberNumbers();
  const a = member('a');
  const b = member('b');
  numbers.give(a);
  numbers.give(b);
  const first = a.number;
  t.not(b.number, first);
  numbers.give(a);
  t.equal(numbers.find(first), a);
  t.equal(numbers.find(a.number), a);
  for (let n = 2; n < MAX_NUMBERS; n += 1) numbers.give(a);
  t.equal(numbers.find(first), a);
  numbers.give(a);
  t.equal(numbers.find(first), undefined, 'not for ever');
  t.equal(a.numbers.length, MAX_NUMBERS);
  const last = a.number;
  numbers.retire(a);
  for (let n = 0; n <= last; n += 1) t.equal(numbers.find(n), n === b.number ? b : undefined);
  numbers.give(b);
  t.ok(b.number > last, 'nor is one given again');
});
