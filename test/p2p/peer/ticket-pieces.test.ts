import fc from 'fast-check';
import t from 'tap';
import { MiB } from '../../../src/base/units.ts';
import { TicketPieces } from '../../../src/p2p/peer/ticket-pieces.ts';
import { MAX_PIECES } from '../../../src/p2p/protocol/limits.ts';

t.test('what is missing agrees with sets, whatever comes, is thrown away and is awaited', async (t) => {
  const COUNT = 20;
  const runs = fc.array(fc.record({ first: fc.nat(25), count: fc.integer({ min: 1, max: 30 }) }), { maxLength: 3 });
  const step = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), piece: fc.nat(COUNT - 1) }),
    fc.record({ kind: fc.constant('remove' as const), piece: fc.nat(COUNT - 1) }),
    fc.record({ kind: fc.constant('await' as const), runs }),
  );
  fc.assert(
    fc.property(fc.array(fc.nat(COUNT - 1)), fc.array(step, { maxLength: 40 }), (held, steps) => {
      const pieces = new TicketPieces({ held, pieceCount: COUNT, size: COUNT * MiB });
      const model = new Set(held);
      let awaited: { first: number; count: number }[] = [];
      for (const step of steps) {
        if (step.kind === 'add') pieces.add(step.piece, step.piece);
        else if (step.kind === 'remove') pieces.remove(step.piece);
        else pieces.awaiting((awaited = step.runs));
        if (step.kind === 'add') model.add(step.piece);
        else if (step.kind === 'remove') model.delete(step.piece);
        const wanted = awaited.flatMap(({ first, count }) => Array.from({ length: count }, (_, n) => first + n));
        const missing = wanted.filter((piece) => piece < COUNT && !model.has(piece));
        t.same([...pieces.missing()], missing);
        t.equal(pieces.areMissing, missing.length > 0);
        t.same(new Set(pieces.held), model);
      }
    }),
  );
});

t.test('while the size is not known, there is always more that is missing', (t) => {
  const pieces = new TicketPieces({ held: [0], pieceCount: undefined });
  t.notOk(pieces.areMissing, 'nothing is awaited');
  pieces.awaiting([{ first: 0, count: Number.POSITIVE_INFINITY }]);
  t.ok(pieces.areMissing);
  const first: number[] = [];
  for (const piece of pieces.missing()) {
    first.push(piece);
    if (first.length === 3) break;
  }
  t.same(first, [1, 2, 3]);
  pieces.sized(1, MiB);
  t.notOk(pieces.areMissing);
  t.match(pieces, { count: 1, size: MiB });
  t.end();
});

t.test('what is told with its check sum: pieces that are here, in their order', (t) => {
  const crcs = new Map([
    [3, 33],
    [5, 55],
  ]);
  const pieces = new TicketPieces({ held: [3, 4], crcs, pieceCount: 10, size: 10 * MiB });
  pieces.add(1, 11);
  t.same(pieces.checked(), [
    [1, 11],
    [3, 33],
  ]);
  pieces.remove(3);
  pieces.add(1, 12);
  t.same(pieces.checked(), [[1, 12]]);
  pieces.remove(1);
  pieces.remove(4);
  pieces.add(4, 44);
  t.same(pieces.checked(), [[4, 44]]);
  t.end();
});

t.test('several proxies need the size, and not too many pieces', (t) => {
  const canBe = (pieceCount: number | undefined, size?: number) =>
    new TicketPieces({ held: [], pieceCount, size }).canBeCoordinated;
  t.ok(canBe(undefined), 'it will be known in time');
  t.ok(canBe(MAX_PIECES, 1));
  t.notOk(canBe(MAX_PIECES + 1, 1));
  t.notOk(canBe(3));
  const late = new TicketPieces({ held: [], pieceCount: undefined });
  late.sized(3, undefined);
  t.notOk(late.canBeCoordinated);
  late.sized(3, 3 * MiB);
  t.ok(late.canBeCoordinated);
  t.end();
});
