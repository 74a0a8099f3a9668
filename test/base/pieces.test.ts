import fc from 'fast-check';
import t from 'tap';
import { pieceSizeOf, Pieces } from '../../src/base/pieces.ts';
import { GiB, MiB } from '../../src/base/units.ts';

t.test('the piece size depends on the blob alone', (t) => {
  const sizes: [blob: number, piece: number][] = [
    [0, MiB],
    [1, MiB],
    [256 * MiB, MiB],
    [256 * MiB + 1, 2 * MiB],
    [512 * MiB, 2 * MiB],
    [512 * MiB + 1, 4 * MiB],
    [50 * GiB, 4 * MiB],
  ];
  for (const [blob, piece] of sizes) t.equal(pieceSizeOf(blob), piece, String(blob));
  t.equal(new Pieces(600 * MiB).pieceSize, 4 * MiB);
  t.equal(new Pieces(0).count, 0);
  t.end();
});

t.test('pieces cover a blob without gap or overlap', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 700 }), (blobSize, pieceSize) => {
      const pieces = new Pieces(blobSize, pieceSize);
      let at = 0;
      for (let i = 0; i < pieces.count; i += 1) {
        if (pieces.start(i) !== at || pieces.at(at) !== i || pieces.at(pieces.end(i) - 1) !== i) return false;
        if (i < pieces.count - 1 && pieces.end(i) - at !== pieceSize) return false;
        at = pieces.end(i);
      }
      return at === blobSize;
    }),
  );
  t.end();
});
