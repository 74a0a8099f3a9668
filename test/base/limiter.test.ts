import fc from 'fast-check';
import t from 'tap';
import { Limiter, MAX_GRANT_BYTES } from '../../src/base/limiter.ts';
import { MiB } from '../../src/base/units.ts';
import { ManualClock } from '../support/manual-clock.ts';

t.test('without a limit everything passes at once', async (t) => {
  const clock = new ManualClock();
  const limiter = new Limiter({ bytesPerSecond: undefined, clock });
  t.ok(limiter.isUnlimited);
  t.equal(limiter.tryTake(10 * MiB), 10 * MiB);
  t.equal(await limiter.take(10 * MiB), 10 * MiB);
  t.equal(clock.waiting, 0);
});

t.test('a grant is at most 64 KiB, whatever is asked', async (t) => {
  const limiter = new Limiter({ bytesPerSecond: 1e9, clock: new ManualClock() });
  t.notOk(limiter.isUnlimited);
  t.equal(limiter.tryTake(MiB), MAX_GRANT_BYTES);
  t.equal(await limiter.take(MiB), MAX_GRANT_BYTES);
  t.equal(await limiter.take(10), 10);
});

t.test('who comes later does not overtake who waits', async (t) => {
  const clock = new ManualClock();
  const limiter = new Limiter({ bytesPerSecond: 1000, clock });
  const order: string[] = [];
  t.equal(limiter.tryTake(50), 50, 'the bucket holds 50 ms');
  void limiter.take(50).then(() => order.push('first'));
  void limiter.take(1).then(() => order.push('second'));
  await clock.advance(10);
  t.equal(limiter.tryTake(1), 0, 'there are 10 bytes, but two wait');
  void limiter.take(1).then(() => order.push('third'));
  t.same(order, []);
  await clock.advance(100);
  t.same(order, ['first', 'second', 'third']);
  t.equal(clock.waiting, 0, 'no timer is left');
});

t.test('sharers take turns', async (t) => {
  const clock = new ManualClock();
  const limiter = new Limiter({ bytesPerSecond: MiB, clock });
  const got = [0, 0, 0];
  const stop = new AbortController();
  const sharers = got.map(async (_, index) => {
    for (;;) got[index]! += await limiter.take(MiB, stop.signal);
  });
  await clock.advance(3000);
  const [least, most] = [Math.min(...got), Math.max(...got)];
  t.ok(most - least <= MAX_GRANT_BYTES, got.join());
  stop.abort();
  await Promise.allSettled(sharers);
  t.equal(clock.waiting, 0);
});

t.test('who gives up makes room for the next', async (t) => {
  const clock = new ManualClock();
  const limiter = new Limiter({ bytesPerSecond: 1000, clock });
  limiter.tryTake(50);
  const leaving = new AbortController();
  const reason = new Error('enough');
  const first = limiter.take(50, leaving.signal);
  const second = limiter.take(5);
  await clock.advance(10);
  leaving.abort(reason);
  await t.rejects(first, reason);
  t.equal(await second, 5, 'at once: its bytes are there');
  await t.rejects(limiter.take(1, leaving.signal), reason);
  t.equal(clock.waiting, 0);
});

t.test('property: never above the rate, never below it while somebody waits, in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 20_000_000 }),
      fc.array(fc.record({ at: fc.nat(500), bytes: fc.integer({ min: 1, max: 200_000 }) }), {
        minLength: 1,
        maxLength: 20,
      }),
      async (bytesPerSecond, asks) => {
        const clock = new ManualClock();
        const limiter = new Limiter({ bytesPerSecond, clock });
        const bucket = Math.max(1, bytesPerSecond / 20);
        const grants: { ask: number; bytes: number; at: number }[] = [];
        let [granted, asked] = [0, 0];
        asks.sort((a, b) => a.at - b.at);
        for (const [ask, { at, bytes }] of asks.entries()) {
          await clock.advance(Math.max(0, at - clock.monotonic()));
          asked += 1;
          void limiter.take(bytes).then((count) => {
            granted += 1;
            grants.push({ ask, bytes: count, at: clock.monotonic() });
            if (count < 1 || count > Math.min(bytes, MAX_GRANT_BYTES)) throw new Error(`${count} of ${bytes}`);
          });
          await clock.advance(0);
        }
        // Whatever is asked for, at most a bucketful each has to come.
        await clock.advance((asked * bucket * 1000) / bytesPerSecond + asked + 1);
        if (granted !== asked || clock.waiting > 0) throw new Error('somebody waits for ever');
        grants.forEach((grant, index) => {
          if (grant.ask !== index) throw new Error('out of order');
        });
        for (let from = 0; from < grants.length; from += 1) {
          let sum = 0;
          for (let to = from; to < grants.length; to += 1) {
            sum += grants[to]!.bytes;
            const ms = grants[to]!.at - grants[from]!.at;
            if (sum > bucket + (ms * bytesPerSecond) / 1000 + 1e-3) throw new Error(`${sum} bytes in ${ms} ms`);
          }
        }
      },
    ),
    { numRuns: 100 },
  );
});

t.test('the rate changes for those too who wait already', async (t) => {
  const clock = new ManualClock();
  const limiter = new Limiter({ bytesPerSecond: 1000, clock });
  const got: number[] = [];
  limiter.tryTake(50);
  for (let n = 0; n < 3; n += 1) void limiter.take(MAX_GRANT_BYTES).then((bytes) => got.push(bytes));
  limiter.setRate(2 * MiB);
  await clock.advance(40);
  t.equal(got.length, 1, 'at the new rate');
  t.equal(got[0], MAX_GRANT_BYTES, 'and in grants of its size');
  limiter.setRate(undefined);
  await clock.advance(0);
  t.same(
    got,
    Array.from({ length: 3 }, () => MAX_GRANT_BYTES),
    'without a limit nobody waits',
  );
  t.ok(limiter.isUnlimited);
  t.equal(clock.waiting, 0);
  limiter.setRate(1000);
  t.notOk(limiter.isUnlimited);
  t.ok(limiter.tryTake(MiB) <= 50, 'no more than the bucket of that rate');
});
