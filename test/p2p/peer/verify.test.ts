import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { Dispute, PieceLedger } from '../../../src/p2p/peer/verify.ts';

t.test('a piece is checked where its CRC is known, else taken on trust', (t) => {
  const ledger = new PieceLedger();
  t.ok(ledger.learn(0, 100));
  t.equal(ledger.receive(0, 101, 'liar'), 'bad');
  t.equal(ledger.sourceOf(0), undefined, 'thrown away');
  t.equal(ledger.receive(0, 100, 'a'), 'checked');
  t.equal(ledger.receive(1, 200, 'b'), 'trusted');
  ledger.readFromOrigin(2, 300, 'docker.io/library/app');
  t.equal(ledger.sourceOf(0), 'a');
  t.equal(ledger.sourceOf(1), 'b');
  t.equal(ledger.sourceOf(2), 'docker.io/library/app');
  t.equal(ledger.sourceOf(3), undefined);
  t.end();
});

t.test('a CRC that is told later checks what is here', (t) => {
  const ledger = new PieceLedger();
  ledger.receive(0, 100, 'a');
  ledger.receive(1, 200, 'b');
  t.equal(ledger.learn(0, 100), true);
  t.equal(ledger.learn(1, 201), false, 'fetch it again');
  t.equal(ledger.sourceOf(1), undefined);
  t.equal(ledger.receive(1, 201, 'c'), 'checked');
  t.equal(ledger.learn(1, 999), true, 'the first word stays');
  t.equal(ledger.receive(1, 999, 'd'), 'bad');
  t.strictSame(
    ledger.suspects().map(({ piece, from, checked }) => [piece, from, checked]),
    [
      [0, 'a', true],
      [1, 'c', true],
    ],
  );
  t.end();
});

t.test('suspects: first what nothing vouches for', (t) => {
  const ledger = new PieceLedger();
  ledger.learn(1, 11);
  ledger.learn(3, 13);
  for (const piece of [3, 2, 1, 0]) ledger.receive(piece, 10 + piece, `p${piece}`);
  ledger.learn(4, 14);
  ledger.readFromOrigin(4, 999, 'origin');
  ledger.readFromOrigin(5, 15, 'origin');
  t.strictSame(
    ledger.suspects().map(({ piece, checked }) => [piece, checked]),
    [
      [0, false],
      [2, false],
      [4, false],
      [5, false],
      [1, true],
      [3, true],
    ],
  );
  t.end();
});

t.test('a dispute names what differs and who gave it', (t) => {
  const ledger = new PieceLedger();
  ledger.learn(1, 11);
  for (const piece of [0, 1, 2]) ledger.receive(piece, 10 + piece, `p${piece}`);
  const dispute = new Dispute(ledger.suspects());
  t.strictSame(dispute.open, [0, 2, 1]);
  t.equal(dispute.outcome, 'open');
  t.equal(dispute.settle(0, { sha256: 'x', by: 'p0' }, 'y'), undefined, 'its giver is no witness for it');
  t.equal(dispute.settle(7, { sha256: 'x', by: 'p0' }, 'y'), undefined, 'not ours');
  t.strictSame(dispute.open, [0, 2, 1]);
  t.equal(dispute.settle(0, { sha256: 'x', by: 'p9' }, 'x'), undefined);
  t.strictSame(dispute.settle(1, { sha256: 'x', by: 'p9' }, 'y'), { piece: 1, from: 'p1', checked: true });
  t.equal(dispute.settle(1, { sha256: 'z', by: 'p9' }, 'y'), undefined, 'settled already');
  t.equal(dispute.outcome, 'open');
  dispute.settle(2, { sha256: 'x', by: 'p9' }, 'x');
  t.equal(dispute.outcome, 'fetch-again');
  t.strictSame(dispute.lost, [{ piece: 1, from: 'p1', checked: true }]);
  t.end();
});

t.test('when all second readings agree, the origin gives wrong bytes', (t) => {
  const ledger = new PieceLedger();
  ledger.receive(0, 1, 'a');
  const dispute = new Dispute(ledger.suspects());
  dispute.settle(0, { sha256: 'x', by: 'b' }, 'x');
  t.equal(dispute.outcome, 'origin-is-wrong');
  t.strictSame(dispute.lost, []);
  t.end();
});

t.test(
  'property: spoilt pieces are found by CRC at once where it is known right, by dispute otherwise, and no others',
  (t) => {
    const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    const piece = fc.record({
      byte: fc.nat(255),
      /** What the receiver gets. */
      spoilt: fc.boolean(),
      /** What it is told before, or after, or never; a wrong first reader tells the CRC of the spoilt bytes. */
      told: fc.constantFrom('before', 'after', 'never', 'wrong'),
    });
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 20 }), (pieces) => {
        const ledger = new PieceLedger();
        const here = new Map<number, Buffer>();
        const right = pieces.map(({ byte }) => Buffer.alloc(4, byte));
        const found = new Set<number>();
        const undetected = new Set<number>();
        for (const [index, { spoilt, told }] of pieces.entries()) {
          const given = spoilt ? Buffer.from(right[index]!).fill(right[index]![0]! ^ 1, 0, 1) : right[index]!;
          if (told === 'before') ledger.learn(index, crc32(right[index]!));
          if (told === 'wrong') ledger.learn(index, crc32(given));
          const verdict = ledger.receive(index, crc32(given), `p${index}`);
          if (verdict !== 'bad') here.set(index, given);
          const late = told === 'after' && !ledger.learn(index, crc32(right[index]!));
          if (verdict === 'bad' || late) {
            found.add(index);
            here.delete(index);
          } else if (spoilt) undetected.add(index);
        }
        for (const index of found) if (!pieces[index]!.spoilt) throw new Error(`piece ${index} was good`);
        const dispute = new Dispute(ledger.suspects());
        if (dispute.open.length !== here.size) throw new Error('all that is here is in doubt, and nothing else');
        for (const index of dispute.open) {
          dispute.settle(index, { sha256: sha(right[index]!), by: 'witness' }, sha(here.get(index)!));
        }
        t.strictSame(new Set(dispute.lost.map((lost) => lost.piece)), undetected);
        for (const lost of dispute.lost) if (lost.from !== `p${lost.piece}`) throw new Error('the wrong one is blamed');
      }),
      { numRuns: 200 },
    );
    t.end();
  },
);
