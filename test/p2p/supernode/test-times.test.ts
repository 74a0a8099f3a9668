import fc from 'fast-check';
import t from 'tap';
import { READY_TEST_MS, TEST_BOUND_MS, TestTimes, TROUBLE_TEST_MS } from '../../../src/p2p/supernode/test-times.ts';
import { checked } from '../../support/checked.ts';

const half = () => 0.5;
/** When it is due next, from `now` on; undefined: not within an hour. */
function dueAfter(times: TestTimes, now: number): number | undefined {
  if (!times.isDue(now + 3_600_000)) return undefined;
  let [low, high] = [now - 1, now + 3_600_000];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (times.isDue(middle)) high = middle;
    else low = middle;
  }
  return high - now;
}

t.test('one test at a time; one that does not end is forgotten', async (t) => {
  const times = new TestTimes();
  t.equal(dueAfter(times, 0), undefined, 'nothing by itself');
  t.equal(times.begin(0), true);
  t.equal(times.begin(TEST_BOUND_MS - 1), false);
  t.equal(dueAfter(times, 0), TEST_BOUND_MS);
  t.equal(times.begin(TEST_BOUND_MS), true);
});

t.test('a port that is closed is tried soon, then later and later, up to a bound', async (t) => {
  const times = new TestTimes();
  const waits = Array.from({ length: 8 }, () => {
    times.begin(0);
    times.failed(0, () => 1);
    return dueAfter(times, 0)!;
  });
  t.same(
    waits,
    [...waits].sort((a, b) => a - b),
  );
  t.ok(waits[0]! < waits[3]!);
  t.equal(waits[6], waits[7]);
  times.begin(0);
  times.passed(0, 1, half);
  times.begin(0);
  times.failed(0, () => 1);
  t.equal(dueAfter(times, 0), waits[0], 'once it was reached it counts anew');
});

t.test('one that is open is tried now and then, more rarely among many, and not all at once', async (t) => {
  const dueWith = (peers: number, random: number) => {
    const times = new TestTimes();
    times.begin(0);
    times.passed(0, peers, () => random);
    return dueAfter(times, 0)!;
  };
  t.equal(dueWith(1, 0.5), READY_TEST_MS);
  t.equal(dueWith(1, 0), READY_TEST_MS / 2);
  t.ok(dueWith(20_000, 0.5) > 10 * READY_TEST_MS);
});

t.test('on others’ trouble at once, or as soon as the last test is old enough', async (t) => {
  const times = new TestTimes();
  t.equal(times.trouble(0), true, 'it was never tested');
  times.begin(0);
  times.passed(0, 1, half);
  t.equal(times.trouble(1), false);
  t.equal(dueAfter(times, 1), TROUBLE_TEST_MS - 1);
  t.equal(times.trouble(TROUBLE_TEST_MS), true);
});

t.test('other addresses: what was under way says nothing of them; gone: nothing is due', async (t) => {
  const times = new TestTimes();
  times.begin(0);
  times.forget();
  t.equal(dueAfter(times, 0), undefined);
  t.equal(times.begin(1), true, 'the test of these does not wait for that');
  times.stop();
  t.equal(dueAfter(times, 1), undefined);
  t.equal(times.begin(2), false, 'what was begun goes on');
});

t.test('whatever happens: as long as it is not stopped, a test that was begun is followed by another', async (t) => {
  const act = fc.tuple(fc.constantFrom('begin', 'failed', 'passed', 'trouble'), fc.nat(40_000));
  checked(
    t,
    100,
    fc.property(fc.array(act, { minLength: 1, maxLength: 50 }), (acts) => {
      const times = new TestTimes();
      let now = 0;
      times.begin(now);
      for (const [what, ms] of acts) {
        now += ms;
        if (what === 'begin') times.begin(now);
        else if (what === 'trouble') times.trouble(now);
        else if (what === 'failed') times.failed(now, half);
        else times.passed(now, 1, half);
      }
      return times.isDue(now + TEST_BOUND_MS) || times.isDue(now + 2 * READY_TEST_MS);
    }),
  );
});
