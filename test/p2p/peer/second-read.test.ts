import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { Pieces } from '../../../src/base/pieces.ts';
import { SecondRead, type Reading } from '../../../src/p2p/peer/second-read.ts';

/** Bytes in memory, some pieces of which are there. */
class Here {
  readonly file: Buffer;
  readonly pieces: Pieces;
  readonly whole: Map<number, number>;
  readonly lost: number[] = [];
  mayReplace = true;

  constructor(file: Buffer, pieceSize: number, here: readonly number[]) {
    this.file = file;
    this.pieces = new Pieces(file.length, pieceSize);
    this.whole = new Map(here.map((piece) => [piece, 0]));
  }

  hasPiece(piece: number): boolean {
    return this.whole.has(piece);
  }
  async read(buffer: Uint8Array, position: number): Promise<number> {
    // A short read is no end.
    const part = this.file.subarray(position, position + Math.min(buffer.length, 3));
    buffer.set(part);
    return part.length;
  }
  async lose(piece: number): Promise<boolean> {
    if (!this.mayReplace) return false;
    this.lost.push(piece);
    return this.whole.delete(piece);
  }
  async patch(bytes: Buffer, position: number): Promise<void> {
    this.file.set(bytes, position);
  }
  restore(piece: number, crc: number): void {
    this.whole.set(piece, crc);
  }
}

const scenario = fc.record({
  bytes: fc.uint8Array({ minLength: 1, maxLength: 200 }),
  wrong: fc.array(fc.nat(199)),
  missing: fc.array(fc.nat(6)),
  cuts: fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
});

t.test('what is read again replaces what differs, and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async ({ bytes, wrong, missing, cuts }) => {
      const right = Buffer.from(bytes);
      const file = Buffer.from(bytes);
      for (const at of wrong) if (at < file.length) file[at]! ^= 1;
      const count = Math.ceil(right.length / 32);
      const here = Array.from({ length: count }, (_, piece) => piece).filter((piece) => !missing.includes(piece));
      const differing = here.filter(
        (p) => !file.subarray(p * 32, p * 32 + 32).equals(right.subarray(p * 32, p * 32 + 32)),
      );
      const target = new Here(file, 32, here);
      const told: Reading[] = [];
      const read = new SecondRead(target, (reading) => told.push(reading));
      const stores: Promise<void>[] = [];
      for (let at = 0, i = 0; at < right.length; i += 1) {
        const end = Math.min(right.length, at + cuts[i % cuts.length]!);
        // Without waiting: writes of one read overlap.
        stores.push(read.store(right.subarray(at, end), at));
        at = end;
      }
      await Promise.all(stores);
      const expected = Array.from({ length: count }, (_, piece) => {
        const part = right.subarray(piece * 32, piece * 32 + 32);
        return { piece, crc32: crc32(part), sha256: createHash('sha256').update(part).digest('base64url') };
      });
      return (
        JSON.stringify(told) === JSON.stringify(expected) &&
        file.equals(right) &&
        target.whole.size === count &&
        JSON.stringify(target.lost) === JSON.stringify(differing) &&
        [...read.broken].length === 0
      );
    }),
  );
});

t.test(
  'a read that ends within a piece leaves it missing; what may not be replaced any more is only read',
  async (t) => {
    const file = Buffer.alloc(64, 1);
    const target = new Here(file, 32, [0, 1]);
    const read = new SecondRead(target, () => undefined);
    await read.store(Buffer.alloc(40, 2), 0);
    t.same([...read.broken], [1]);
    t.notOk(target.hasPiece(1));
    const late = new Here(Buffer.alloc(32, 1), 32, [0]);
    late.mayReplace = false;
    const told: Reading[] = [];
    await new SecondRead(late, (reading) => told.push(reading)).store(Buffer.alloc(32, 2), 0);
    t.match(told, [{ piece: 0, crc32: crc32(Buffer.alloc(32, 2)) }]);
    t.ok(late.file.equals(Buffer.alloc(32, 1)));
  },
);
