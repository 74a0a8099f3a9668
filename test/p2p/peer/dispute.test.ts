import fc from 'fast-check';
import t from 'tap';
import { MiB } from '../../../src/base/units.ts';
import { DisputeRig, TestBlob, type Outcome, type TestProxy } from '../../support/dispute-rig.ts';
import { until } from '../../support/swarm-rig.ts';

async function badPieces({ metrics }: TestProxy): Promise<number> {
  const { values } = await metrics.badPieces.get();
  return values.find(({ labels }) => labels.reason === 'dispute')?.value ?? 0;
}

/** It is the whole, or was cut off. */
function isHonest({ bytes, error }: Outcome, blob: TestBlob): boolean {
  return error !== undefined || bytes.equals(blob.bytes);
}

t.test(
  'a first reader with wrong bytes: the others end right, with one copy more, and it alone is blamed',
  async (t) => {
    const rig = new DisputeRig();
    t.teardown(() => rig.end());
    await rig.proveRanges();
    const blob = new TestBlob(8);
    const wrong = await rig.join(blob.wrongIn([0, 1, 2, 3, 4, 5, 6, 7]));
    const others = [await rig.join(blob.bytes), await rig.join(blob.bytes)];
    wrong.origin.holdAt = MiB;
    const pulls = [wrong.pull(blob)];
    await until('it reads', () => wrong.origin.given >= MiB);
    pulls.push(...others.map((other) => other.pull(blob)));
    await until('others read too', () => others.every(({ origin }) => origin.reads.length > 0));
    wrong.origin.release();
    const [ofWrong, ...outcomes] = await Promise.all(pulls);
    t.match(ofWrong!.error, { code: 'BLOB_DIGEST_MISMATCH' }, 'whose own origin gives wrong bytes has nothing to give');
    for (const { error } of outcomes) t.match(error, { code: 'BLOB_PIECE_WRONG' }, 'they have had the first piece');
    await until('the others have it all the same', () => others.every((other) => other.hasStored(blob)));
    t.same(rig.blamed, [wrong.peer]);
    for (const other of others) t.ok((await badPieces(other)) > 0);
    for (const piece of Array.from({ length: blob.pieces }, (_, i) => i)) {
      t.ok(others[0]!.reads(8)[piece]! + others[1]!.reads(8)[piece]! <= 2, `piece ${piece} came at most twice`);
    }
  },
);

t.test('who has not had wrong bytes is served to the end, who has is cut off', async (t) => {
  const rig = new DisputeRig();
  t.teardown(() => rig.end());
  await rig.proveRanges();
  const blob = new TestBlob(8);
  const [first, second] = [await rig.join(blob.bytes), await rig.join(blob.bytes)];
  const wrong = await rig.join(blob.wrongIn([4, 5, 6, 7]));
  first.origin.holdAt = MiB + 10;
  second.origin.holdAt = 0;
  const isDisputed = () => rig.decisions.some(({ kind }) => kind === 'second-reading');
  const slow = first.pull(blob, 2 * MiB, () => until('it is disputed', isDisputed));
  await until('it reads', () => first.origin.given > MiB);
  // The first has its four pieces, so has the wrong one.
  const pulls = [wrong.pull(blob), second.pull(blob)];
  await until('the wrong one reads', () => wrong.origin.given > 0);
  first.origin.release();
  second.origin.release();
  const fast = first.pull(blob);
  const { bytes, error } = await slow;
  t.equal(error, undefined);
  t.ok(bytes.equals(blob.bytes), 'on the same response');
  t.ok(isHonest(await fast, blob));
  for (const outcome of await Promise.all(pulls)) t.ok(isHonest(outcome, blob));
  t.same(rig.blamed, [wrong.peer]);
});

t.test('what a proxy has read itself it does not give up for another’s word', async (t) => {
  const rig = new DisputeRig();
  t.teardown(() => rig.end());
  await rig.proveRanges();
  const blob = new TestBlob(8);
  const all = Array.from({ length: blob.pieces }, (_, piece) => piece);
  const [wrong, right] = [await rig.join(blob.wrongIn(all)), await rig.join(blob.bytes)];
  wrong.origin.holdAt = MiB;
  const ofWrong = wrong.pull(blob);
  await until('it reads', () => wrong.origin.given >= MiB);
  const pull = right.pull(blob);
  await until('the other reads too', () => right.origin.reads.length > 0);
  wrong.origin.release();
  await Promise.all([pull, ofWrong]);
  await until('it is here', () => right.hasStored(blob));
  const reads = right.reads(blob.pieces);
  t.ok(Math.max(...reads) <= 2);
  t.equal(
    right.fetched,
    reads.filter((count) => count === 1).length,
    'nothing was fetched in the place of what it had',
  );
  t.same(rig.blamed, [], 'of two, nobody can say who is wrong');
});

t.test('without a supernode, what others gave is read again from the own origin', async (t) => {
  const rig = new DisputeRig();
  t.teardown(() => rig.end());
  await rig.proveRanges();
  const blob = new TestBlob(4);
  const wrong = await rig.join(blob.wrongIn([1, 2]));
  const other = await rig.join(blob.bytes);
  wrong.origin.holdAt = 3 * MiB;
  const ofWrong = wrong.pull(blob);
  await until('it reads', () => wrong.origin.given >= 3 * MiB);
  other.origin.holdAt = 3 * MiB + 10;
  const pull = other.pull(blob, 0, () => new Promise((resolve) => setImmediate(resolve)));
  await until('three pieces are fetched', () => other.fetched >= 3 && other.origin.given > 0);
  rig.stopSupernode();
  rig.tickMs = 100;
  other.origin.release();
  wrong.origin.release();
  await Promise.all([pull, ofWrong]);
  await until('it is here', () => other.hasStored(blob));
  t.equal(await badPieces(other), 2);
  t.same(rig.blamed, []);
});

t.test('with one reader that is wrong, in whatever it reads', async (t) => {
  const scenario = fc.record({
    pieces: fc.integer({ min: 1, max: 6 }),
    honest: fc.integer({ min: 2, max: 3 }),
    /** Which proxy is the wrong one, and in which pieces. */
    place: fc.nat(3),
    wrongIn: fc.array(fc.nat(5), { minLength: 1, maxLength: 20 }),
    /** How far the first one reads before others come. */
    alone: fc.nat(5),
  });
  let disputes = 0;
  await fc.assert(
    fc.asyncProperty(scenario, async ({ pieces, honest, place, wrongIn, alone }) => {
      const rig = new DisputeRig();
      try {
        await rig.proveRanges();
        const blob = new TestBlob(pieces);
        const bad = blob.wrongIn(new Set(wrongIn.filter((piece) => piece < pieces)));
        const all: TestProxy[] = [];
        for (let n = 0; n <= honest; n += 1) all.push(await rig.join(n === place % (honest + 1) ? bad : blob.bytes));
        const wrong = all[place % (honest + 1)]!;
        const others = all.filter((one) => one !== wrong);
        const [first, ...rest] = all;
        first!.origin.holdAt = Math.min(alone, pieces - 1) * MiB + 1;
        const pulls = [first!.pull(blob)];
        await until('it reads', () => first!.origin.given >= first!.origin.holdAt!);
        pulls.push(...rest.map((one) => one.pull(blob)));
        await until('others have asked', () => rest.every((one) => one.downloads.list().length > 0));
        first!.origin.release();
        const outcomes = await Promise.all(pulls);
        if (!outcomes.every((outcome) => isHonest(outcome, blob))) throw new Error('wrong bytes went out as the whole');
        await until('all others have it', () => others.every((one) => one.hasStored(blob)));
        if (rig.blamed.some((peer) => peer !== wrong.peer)) throw new Error(`${rig.blamed.join()} were blamed`);
        const lost = await Promise.all(others.map((one) => badPieces(one)));
        if (lost.some((count) => count > 0)) disputes += 1;
        // For a blob of one piece a proxy may have gone alone: it waits for a moment only.
        const isKnown = pieces > 1 && lost.filter((count) => count > 0).length > 1;
        if (isKnown && rig.blamed.length === 0) throw new Error('nobody was blamed');
        for (let piece = 0; piece < pieces; piece += 1) {
          const reads = others.map((one) => one.reads(pieces)[piece]!);
          const sum = reads.reduce((a, b) => a + b, 0);
          if (sum > 2) throw new Error(`piece ${piece} was read ${reads.join('+')} times`);
        }
      } finally {
        await rig.end();
      }
    }),
    { numRuns: 5, examples: [[{ pieces: 5, honest: 2, place: 0, wrongIn: [0, 1, 2, 3, 4], alone: 0 }]] },
  );
  t.ok(disputes > 0, `${disputes} of the runs were disputed`);
});
