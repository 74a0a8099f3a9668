import fc from 'fast-check';
import t from 'tap';
import { packCrcs, packPieces, unpackCrcs, unpackPieces } from '../../../src/p2p/protocol/packed.ts';

t.test('a set of pieces comes back as it was', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), fc.array(fc.nat(499)), (count, some) => {
      const pieces = [...new Set(some.filter((piece) => piece < count))].sort((a, b) => a - b);
      const back = unpackPieces(packPieces(some, count), count);
      if (JSON.stringify(back) !== JSON.stringify(pieces)) throw new Error(JSON.stringify({ pieces, back }));
    }),
  );
});

t.test('pieces that a blob does not have make the set void, whatever the text', async (t) => {
  t.equal(unpackPieces(packPieces([9], 10), 9), undefined);
  t.same(unpackPieces('', 0), []);
  fc.assert(
    fc.property(fc.string(), fc.nat(100), (text, count) => {
      const pieces = unpackPieces(text, count);
      if (pieces?.some((piece) => piece >= count)) throw new Error('a piece too far');
    }),
  );
});

t.test('check sums come back, one a piece or not at all', async (t) => {
  const crcs = [0, 1, 0xffff_ffff, 0x8000_0000];
  t.same([...unpackCrcs(packCrcs(crcs), 4)!], crcs);
  t.equal(unpackCrcs(packCrcs(crcs), 3), undefined);
  t.equal(unpackCrcs('!!', 1), undefined);
});
