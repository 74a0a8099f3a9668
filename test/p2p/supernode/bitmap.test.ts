import fc from 'fast-check';
import t from 'tap';
import {
  bitmapOf,
  clearBit,
  eachBit,
  firstClear,
  hasBit,
  lowestBit,
  maskOf,
  setBit,
} from '../../../src/p2p/supernode/bitmap.ts';

t.test('a bitmap is a set of numbers', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(199), fc.boolean())), fc.nat(199), (changes, from) => {
      const bits = bitmapOf(200);
      const set = new Set<number>();
      for (const [index, on] of changes) {
        (on ? setBit : clearBit)(bits, index);
        set[on ? 'add' : 'delete'](index);
      }
      const found: number[] = [];
      eachBit(bits, (index) => found.push(index));
      let clear = from;
      while (clear < 200 && set.has(clear)) clear += 1;
      return (
        found.join() === [...set].sort((a, b) => a - b).join() &&
        Array.from({ length: 200 }, (_none, i) => hasBit(bits, i) === set.has(i)).every(Boolean) &&
        firstClear(bits, from, 200) === clear
      );
    }),
  );
  t.pass();
});

t.test('masks hold the bits of a word that lie in a range', async (t) => {
  fc.assert(
    fc.property(fc.nat(5), fc.nat(200), fc.nat(200), (word, from, end) => {
      const mask = maskOf(word, from, end);
      return Array.from({ length: 32 }, (_none, i) => word * 32 + i).every(
        (index) => ((mask >>> (index & 31)) & 1) === Number(index >= from && index < end),
      );
    }),
  );
  t.equal(lowestBit(0x8000_0000), 31);
  t.equal(lowestBit(6), 1);
});
