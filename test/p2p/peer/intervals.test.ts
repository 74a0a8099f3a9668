import fc from 'fast-check';
import t from 'tap';
import { Intervals } from '../../../src/p2p/peer/intervals.ts';

t.test('intervals agree with a set of single positions, whatever is added in whatever order', async (t) => {
  const span = fc.tuple(fc.nat(60), fc.nat(12)).map(([start, length]) => ({ start, end: start + length }));
  fc.assert(
    fc.property(fc.array(span, { maxLength: 30 }), (spans) => {
      const intervals = new Intervals();
      const model = new Set<number>();
      for (const { start, end } of spans) {
        intervals.add(start, end);
        for (let i = start; i < end; i += 1) model.add(i);
      }
      for (let position = 0; position < 80; position += 1) {
        let end = position;
        while (model.has(end)) end += 1;
        if (intervals.endFrom(position) !== end) return false;
        if (intervals.covers(position, position + 3) !== end >= position + 3) return false;
      }
      return true;
    }),
  );
  t.ok(new Intervals().covers(5, 5), 'nothing is covered by nothing');
});
