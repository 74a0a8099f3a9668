import fc from 'fast-check';
import t from 'tap';
import { Bag } from '../../../src/p2p/supernode/bag.ts';

t.test('a bag is a set whose members take turns', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(20), fc.boolean())), (changes) => {
      const bag = new Bag<number>();
      const set = new Set<number>();
      for (const [item, on] of changes) {
        bag[on ? 'add' : 'delete'](item);
        set[on ? 'add' : 'delete'](item);
      }
      const turns = Array.from({ length: 2 * set.size }, () => bag.next());
      return (
        bag.size === set.size &&
        [...bag.values()].every((item, i) => set.has(item) && bag.has(item) && bag.at(i) === item) &&
        [...set].every((item) => turns.filter((one) => one === item).length === 2)
      );
    }),
  );
  t.equal(new Bag().next(), undefined);
});
