import fc from 'fast-check';
import t from 'tap';
import { Intervals } from '../../../src/p2p/peer/intervals.ts';

t.test('intervals agree with a set of single positions, whatever is added and removed in whatever order', async (t) => {
  const span = fc
    .tuple(fc.nat(60), fc.nat(12), fc.integer({ min: 0, max: 2 }))
    .map(([start, length, kind]) => ({ start, end: start + length, isAdded: kind > 0 }));
  fc.assert(
    fc.property(fc.array(span, { maxLength: 30 }), (spans) => {
      const intervals = new Intervals();
      const model = new Set<number>();
      for (const { start, end, isAdded } of spans) {
        if (isAdded) intervals.add(start, end);
        else intervals.remove(start, end);
        for (let i = start; i < end; i += 1) model[isAdded ? 'add' : 'delete'](i);
      }
      for (let position = 0; position < 80; position += 1) {
        let end = position;
        while (model.has(end)) end += 1;
        if (intervals.endFrom(position) !== end) return false;
        const touched = [0, 1, 2].some((more) => model.has(position + more));
        if (intervals.overlaps(position, position + 3) !== touched) return false;
        if (intervals.covers(position, position + 3) !== end >= position + 3) return false;
      }
      return true;
    }),
  );
  t.ok(new Intervals().covers(5, 5), 'nothing is covered by nothing');
});
