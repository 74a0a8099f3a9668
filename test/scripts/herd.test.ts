import t from 'tap';
import { runHerd } from '../../scripts/herd/herd.ts';

t.test('proxies come back within seconds of their supernode, and not all in one instant', async (t) => {
  const herd = { proxies: 100, outageMs: 5000, jitter: true, helloMs: 0, seed: 1 };
  const spread = await runHerd(herd);
  t.equal(spread.missing, 0);
  t.equal(spread.hellos, 100, 'one registration each');
  t.ok(spread.times.at(-1)! <= 10_000);
  t.ok(spread.worstHellos <= 25, `${spread.worstHellos} of 100 within 100 ms`);
  const together = await runHerd({ ...herd, jitter: false });
  t.equal(together.worstHellos, 100, 'that is what the jitter is for');
});

t.test('a supernode that is slow to register them gets them in the end', async (t) => {
  const slow = await runHerd({ proxies: 50, outageMs: 1000, jitter: true, helloMs: 150, seed: 1 });
  t.equal(slow.missing, 0);
  t.ok(slow.hellos <= 150, `${slow.hellos} registrations for 50`);
});
