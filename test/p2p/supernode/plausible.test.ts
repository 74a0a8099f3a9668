import t from 'tap';
import { MiB } from '../../../src/base/units.ts';
import { MAX_PIECES } from '../../../src/p2p/protocol/limits.ts';
import { packCrcs, packPieces } from '../../../src/p2p/protocol/packed.ts';
import { countOf, crcsOf, piecesOf, runOf } from '../../../src/p2p/supernode/plausible.ts';

const IMPOSSIBLE = { name: 'Impossible' };

t.test('sizes, sets of pieces and lists of check sums are taken where they can be true', async (t) => {
  t.equal(countOf(3 * MiB), 3);
  t.same(piecesOf(packPieces([0, 2], 3), 3), [0, 2]);
  t.same([...crcsOf(packCrcs([7, 8]), 2)], [7, 8]);
  t.throws(() => countOf(Number.MAX_SAFE_INTEGER), IMPOSSIBLE);
  t.throws(() => countOf((MAX_PIECES + 1) * 4 * MiB), { message: /has too many pieces$/ });
  t.throws(() => piecesOf(packPieces([2], 3), 2), IMPOSSIBLE);
  t.throws(() => crcsOf(packCrcs([7]), 2), IMPOSSIBLE);
});

t.test('a run of 0 has no end', async (t) => {
  t.same(runOf([4, 2]), { first: 4, count: 2 });
  t.same(runOf([4, 0]), { first: 4, count: Number.POSITIVE_INFINITY });
});
