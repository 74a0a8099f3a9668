import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { MiB } from '../../../src/base/units.ts';
import { BufferPool } from '../../../src/http/buffer-pool.ts';
import { PeerPiece } from '../../../src/p2p/peer/peer-piece.ts';

const ignore = () => undefined;

t.test('gathers a piece of several buffers, and gives its memory back', async (t) => {
  const pool = new BufferPool(4 * MiB);
  const bytes = randomBytes(2 * MiB + 5);
  const piece = new PeerPiece(pool, bytes.length, 10 * MiB, ignore);
  piece.head({ total: 10 * MiB, ranges: true });
  for (let at = 0; at < bytes.length; at += 70_000) t.ok(piece.write(bytes.subarray(at, at + 70_000)));
  await piece.drained();
  t.ok(piece.isWhole);
  t.ok(Buffer.concat(piece.parts()).equals(bytes));
  t.equal(piece.crc32, crc32(bytes));
  t.equal(pool.available, 2);
  piece.release();
  t.equal(pool.available, 4);
});

t.test('a blob of another size is refused; where nobody knows it, the peer says it', async (t) => {
  const pool = new BufferPool(MiB);
  t.throws(() => new PeerPiece(pool, 10, 10, ignore).head({ total: 11, ranges: true }), /11 bytes instead of 10/);
  const learnt: number[] = [];
  const piece = new PeerPiece(pool, MiB, undefined, (size) => learnt.push(size));
  piece.head({ total: 3, ranges: true });
  piece.write(Buffer.from('abcd'));
  t.same(learnt, [3]);
  t.ok(piece.isWhole);
  t.equal(Buffer.concat(piece.parts()).toString(), 'abc');
});

t.test('what is read into its room is not copied', async (t) => {
  const pool = new BufferPool(4 * MiB);
  const bytes = randomBytes(MiB + 100);
  const piece = new PeerPiece(pool, bytes.length, 10 * MiB, ignore);
  for (let at = 0; at < bytes.length;) {
    const room = piece.room()!;
    const count = bytes.copy(room, 0, at, at + 300_000);
    const before = room.subarray(0, count);
    piece.write(before);
    at += count;
    t.ok(piece.parts().some((part) => part.buffer === before.buffer));
  }
  t.equal(piece.room(), undefined, 'it has no room for more than its length');
  t.equal(piece.crc32, crc32(bytes));
  piece.release();
  t.equal(pool.available, 4);
});
