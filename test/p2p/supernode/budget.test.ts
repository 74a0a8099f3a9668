import t from 'tap';
import { Budget, costOf } from '../../../src/p2p/supernode/budget.ts';

t.test('a budget lets a burst through, and a steady rate', async (t) => {
  const budget = new Budget(0);
  t.ok(budget.take(300_000, 0));
  t.notOk(budget.take(1, 0));
  const steady = new Budget(0);
  for (let now = 0; now < 100_000; now += 50) t.ok(steady.take(1000, now));
  t.notOk(steady.take(1_000_000, 100_000));
});

t.test('what a message costs: one, more for each report in it, more for its length', async (t) => {
  t.equal(costOf({ t: 'bye' }, '{"t":"bye"}'), 1);
  t.equal(costOf({ t: 'r', p: [[1, 1, 1, 1, 1]], n: [1, 2] }, ''), 4);
  t.equal(costOf({ t: 'bye' }, 'x'.repeat(2560)), 11);
});
