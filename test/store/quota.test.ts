import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { digestOf, type Digest } from '../../src/base/digest.ts';
import { BlobEntry, chargeFor, Quota, type Hold } from '../../src/store/quota.ts';

const BLOCK = 4096;

function rig(blocks: number) {
  const evicted: (Digest | 'idle')[] = [];
  const told: number[] = [];
  const quota = new Quota({
    quotaBytes: blocks * BLOCK,
    onEvict: ({ digest }) => evicted.push(digest),
    onEvictIdle: () => evicted.push('idle'),
    onChange: (bytes) => told.push(bytes),
  });
  return { quota, evicted, told };
}

function entryOf(seed: string, blocks: number): BlobEntry {
  return new BlobEntry(digestOf(seed), blocks * BLOCK, 0);
}

t.test('a file is charged whole blocks, and one at least', async (t) => {
  t.same([0, 1, 4096, 4097, 8192].map(chargeFor), [4096, 4096, 4096, 8192, 8192]);
});

t.test('room is made by as few as needed, or not at all', async (t) => {
  const { quota, evicted } = rig(10);
  const [a, b, c] = [entryOf('a', 3), entryOf('b', 3), entryOf('c', 3)];
  for (const entry of [a, b, c]) t.ok(quota.load(entry));
  t.notOk(quota.load(entryOf('too large', 11)));
  quota.use(a);
  quota.release(a);
  t.equal(quota.hold(11 * BLOCK), undefined);
  t.same(evicted, []);
  const hold = quota.hold(3 * BLOCK)!;
  t.same(evicted, [b.digest]);
  t.ok(quota.widen(hold, 2 * BLOCK), 'wide enough already');
  t.notOk(quota.widen(hold, 11 * BLOCK));
  t.ok(quota.widen(hold, 5 * BLOCK));
  t.same(evicted, [b.digest, c.digest]);
  quota.use(a);
  t.notOk(quota.widen(hold, 8 * BLOCK));
  t.equal(quota.bytes, 3 * BLOCK, 'nothing is written under the hold yet');
  t.equal(quota.outstandingBytes, 5 * BLOCK);
  quota.wrote(hold, 2 * BLOCK);
  quota.wrote(hold, 9 * BLOCK);
  t.equal(quota.bytes, 8 * BLOCK, 'never beyond the hold');
  quota.free(hold);
  t.throws(() => quota.free(hold), /ended/);
  t.equal(quota.bytes, 3 * BLOCK);
});

/** Everything that can be done, in any order: the books hold. */
t.test('the quota is never exceeded, what is in use never evicted, and every change told', async () => {
  const operation = fc.record({
    do: fc.constantFrom(
      'load',
      'use',
      'release',
      'drop',
      'idle',
      'resume',
      'hold',
      'widen',
      'wrote',
      'settle',
      'free',
      'evict',
    ),
    which: fc.nat({ max: 5 }),
    blocks: fc.integer({ min: 1, max: 9 }),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const inUse = new Map<BlobEntry, number>();
      const holds: { hold: Hold; which: number }[] = [];
      let told = 0;
      const quota = new Quota({
        quotaBytes: 20 * BLOCK,
        onEvict: (entry) => assert.ok(!inUse.has(entry), 'what is in use stays'),
        onEvictIdle: () => undefined,
        onChange: (bytes) => {
          told = bytes;
        },
      });
      for (const { do: what, which, blocks } of operations) {
        const digest = digestOf(`${which}`);
        const entry = quota.find(digest);
        const held = holds[which % Math.max(1, holds.length)];
        if (what === 'load' && !entry && quota.evictableBytes + quota.outstandingBytes + quota.bytes < 11 * BLOCK) {
          quota.load(new BlobEntry(digest, blocks * BLOCK, 0));
        } else if (what === 'use' && entry) {
          quota.use(entry);
          inUse.set(entry, (inUse.get(entry) ?? 0) + 1);
        } else if (what === 'release') {
          const [used, users] = [...inUse][which] ?? [];
          if (!used || users === undefined) continue;
          if (users === 1) inUse.delete(used);
          else inUse.set(used, users - 1);
          quota.release(used);
          if (users === 1 && !used.dropped) assert.equal(quota.find(used.digest), used);
        } else if (what === 'drop' && entry) {
          quota.drop(entry);
          quota.drop(entry);
          assert.equal(quota.find(digest), undefined);
        } else if (what === 'hold') {
          const hold = quota.hold(blocks * BLOCK);
          if (hold) holds.push({ hold, which });
          else assert.ok(quota.bytes + quota.outstandingBytes + blocks * BLOCK - quota.evictableBytes > 20 * BLOCK);
        } else if (what === 'idle' && quota.takeIdle(digest) === undefined && held) {
          holds.splice(holds.indexOf(held), 1);
          quota.free(held.hold);
          quota.addIdle(digest, held.hold.writtenBytes);
        } else if (what === 'resume') quota.takeIdle(digest);
        else if (what === 'evict') quota.evict(blocks * BLOCK);
        else if (!held) continue;
        else if (what === 'widen') quota.widen(held.hold, blocks * BLOCK);
        else if (what === 'wrote') quota.wrote(held.hold, blocks * BLOCK);
        else if (what === 'settle' || what === 'free') {
          holds.splice(holds.indexOf(held), 1);
          if (what === 'free') quota.free(held.hold);
          else {
            const settled = new BlobEntry(digest, held.hold.reservedBytes, 0);
            quota.settle(held.hold, settled);
            inUse.set(settled, 1);
          }
        }
        assert.ok(quota.bytes + quota.outstandingBytes <= 20 * BLOCK, `the quota, after ${what}`);
        const blobs = [...quota.entries()].reduce((sum, { size }) => sum + chargeFor(size), 0);
        assert.ok(blobs <= quota.bytes);
        for (const used of inUse.keys()) assert.ok(used.dropped || quota.find(used.digest) === used);
      }
      for (const { hold } of holds) quota.free(hold);
      for (const [used, users] of inUse) {
        inUse.delete(used);
        for (let i = 0; i < users; i += 1) quota.release(used);
      }
      quota.evict(Infinity);
      assert.equal(quota.bytes, 0, 'nothing is left over');
      assert.equal(told, 0);
    }),
    { numRuns: 400 },
  );
});

t.test(
  'a smaller quota holds at once for what nobody uses, and for the rest when it is not in use any more',
  async (t) => {
    const { quota, evicted } = rig(10);
    const [a, b, c] = [entryOf('a', 3), entryOf('b', 3), entryOf('c', 3)];
    for (const entry of [a, b, c]) quota.load(entry);
    quota.use(c);
    quota.use(a);
    quota.setQuota(4 * BLOCK);
    t.same(evicted, [b.digest], 'all that may go, although that is not enough');
    t.equal(quota.bytes, 6 * BLOCK);
    t.equal(quota.hold(BLOCK), undefined);
    quota.release(a);
    t.same(evicted, [b.digest, a.digest]);
    quota.release(c);
    t.equal(quota.bytes, 3 * BLOCK);
    t.notOk(quota.load(entryOf('too large', 5)));
    quota.setQuota(20 * BLOCK);
    t.ok(quota.hold(17 * BLOCK), 'a larger one is there to be used');
    t.equal(quota.quotaBytes, 20 * BLOCK);
  },
);
