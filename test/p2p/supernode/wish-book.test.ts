import fc from 'fast-check';
import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { MAX_WISHES } from '../../../src/p2p/protocol/limits.ts';
import { WishBook } from '../../../src/p2p/supernode/wish-book.ts';
import { checked } from '../../support/checked.ts';

const [a, b, c] = ['a', 'b', 'c'].map((name) => digestOf(name)) as [
  ReturnType<typeof digestOf>,
  ReturnType<typeof digestOf>,
  ReturnType<typeof digestOf>,
];

const IMPOSSIBLE = { name: 'Impossible' };

t.test('a number stands for a digest, until it is left or the digest gets another number', async (t) => {
  const book = new WishBook();
  t.equal(book.numberOf(a), undefined);
  book.make(3, a);
  t.equal(book.digestOf(3), a);
  t.equal(book.numberOf(a), 3);
  t.equal(book.digestOf(1), undefined, 'one that was passed over');
  book.make(4, a);
  t.equal(book.digestOf(3), undefined);
  t.equal(book.numberOf(a), 4);
  t.equal(book.leave(3), undefined, 'that was on its way');
  t.equal(book.leave(4), a);
  t.equal(book.numberOf(a), undefined);
  t.equal(book.leave(4), undefined);
});

t.test('numbers go up; of one that was not given nothing can be said; there are not too many', async (t) => {
  const book = new WishBook();
  t.throws(() => book.check(0), IMPOSSIBLE);
  book.make(5, a);
  for (const w of [5, 4]) t.throws(() => book.make(w, b), { message: `wish ${w} was made before` });
  t.throws(() => book.digestOf(6), { message: 'there was no wish 6' });
  t.throws(() => book.leave(6), IMPOSSIBLE);
  for (let n = 1; n < MAX_WISHES; n += 1) book.make(5 + n, digestOf(String(n)));
  t.throws(() => book.make(1000, b), { message: `more than ${MAX_WISHES} wishes` });
  book.make(1000, a);
  t.equal(book.numberOf(a), 1000, 'one that is made anew is none more');
});

t.test('what a session before wished for, and is not wished for again, is inherited once, also over two', async (t) => {
  const first = new WishBook();
  first.make(0, a);
  first.make(1, b);
  first.leave(1);
  const second = new WishBook();
  second.inherit(first);
  second.make(0, c);
  const third = new WishBook();
  third.inherit(second);
  third.make(0, a);
  t.same([...third.takeInherited()], [c]);
  t.same([...third.takeInherited()], []);
  t.same([...second.takeInherited()], [a], 'the one between has not said');
});

t.test('whatever is made and left: both directions agree', async (t) => {
  const act = fc.record({ leave: fc.boolean(), step: fc.integer({ min: 1, max: 3 }), name: fc.constantFrom(a, b, c) });
  checked(
    t,
    100,
    fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
      const book = new WishBook();
      const made: number[] = [];
      let last = -1;
      for (const { leave, step, name } of acts) {
        const number = book.numberOf(name);
        if (leave && number !== undefined) book.leave(number);
        else if (!leave) {
          last += step;
          book.make(last, name);
          made.push(last);
        }
        for (const digest of [a, b, c]) {
          const known = book.numberOf(digest);
          if (known !== undefined && book.digestOf(known) !== digest) return false;
          if (made.filter((w) => book.digestOf(w) === digest).length !== (known === undefined ? 0 : 1)) return false;
        }
      }
      return true;
    }),
  );
});
