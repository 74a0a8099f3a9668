import fc from 'fast-check';
import t from 'tap';
import { crc32 } from 'node:zlib';
import { Pieces } from '../../../src/base/pieces.ts';
import { PieceCrcs, PieceStretches } from '../../../src/p2p/peer/piece-crcs.ts';

function feeder(pieces: Pieces) {
  const [stretches, crcs] = [new PieceStretches(pieces), new PieceCrcs()];
  return (bytes: Uint8Array, position: number) => crcs.add(bytes, stretches.take(bytes.length, position));
}

t.test('a piece’s CRC is the same however its bytes are cut', async () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 200 }),
      fc.array(fc.integer({ min: 1, max: 40 })),
      (bytes, cuts) => {
        const pieces = new Pieces(bytes.length, 32);
        const feed = feeder(pieces);
        const seen = new Map<number, number>();
        let at = 0;
        for (let i = 0; at < bytes.length; i += 1) {
          const count = Math.min(cuts[i % Math.max(1, cuts.length)] ?? 7, bytes.length - at);
          for (const { piece, crc32 } of feed(bytes.subarray(at, at + count), at)) seen.set(piece, crc32);
          at += count;
        }
        for (let piece = 0; piece < pieces.count; piece += 1) {
          if (seen.get(piece) !== crc32(bytes.subarray(pieces.start(piece), pieces.end(piece)))) return false;
        }
        return seen.size === pieces.count;
      },
    ),
  );
});

t.test('a piece with a gap is left out, and counted when it comes whole', async (t) => {
  const bytes = Buffer.from('abcdefgh');
  const feed = feeder(new Pieces(8, 4));
  t.same(feed(bytes.subarray(1, 6), 1), [], 'its first byte is missing');
  t.same(feed(bytes.subarray(7), 7), [], 'a byte in the middle is missing');
  t.same(feed(bytes.subarray(0, 4), 0), [{ piece: 0, crc32: crc32(bytes.subarray(0, 4)) }]);
  t.same(feed(bytes.subarray(4), 4), [{ piece: 1, crc32: crc32(bytes.subarray(4)) }]);
});

t.test('of a piece whose beginning it has not seen there is no CRC', async (t) => {
  const bytes = Buffer.from('abcd');
  const stretches = new PieceStretches(new Pieces(8, 8));
  stretches.take(4, 0);
  t.same(new PieceCrcs().add(bytes, stretches.take(4, 4)), []);
});
