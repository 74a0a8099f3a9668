import t from 'tap';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** What every `Clock` does; `pass` lets at least so many milliseconds pass on it. */
function clockConformance(name: string, make: () => { clock: Clock; pass: (ms: number) => Promise<void> }): void {
  t.test(`${name}: a timer calls back once, when its time has come, and not after it was cancelled`, async (t) => {
    const { clock, pass } = make();
    const calls: string[] = [];
    clock.after(20, () => calls.push('second'));
    clock.after(5, () => calls.push('first'));
    const cancel = clock.after(10, () => calls.push('cancelled'));
    const cancelLate = clock.after(1, () => calls.push('at once'));
    t.same(calls, [], 'never before the caller has gone on');
    cancel();
    await pass(40);
    cancelLate();
    t.same(calls, ['at once', 'first', 'second']);
    await pass(40);
    t.equal(calls.length, 3);
  });

  t.test(`${name}: time passes on both faces`, async (t) => {
    const { clock, pass } = make();
    const [now, monotonic] = [clock.now(), clock.monotonic()];
    await pass(5);
    t.ok(clock.now() > now);
    t.ok(clock.monotonic() >= monotonic + 4);
    t.ok(Math.abs(clock.now() - now - (clock.monotonic() - monotonic)) < 1000);
  });

  t.test(`${name}: sleep resolves, or rejects with the reason of the abort`, async (t) => {
    const { clock, pass } = make();
    const sleep = clock.sleep(5);
    await pass(10);
    await sleep;

    const abort = new AbortController();
    const reason = new Error('no longer wanted');
    const long = clock.sleep(3_600_000, abort.signal);
    abort.abort(reason);
    await t.rejects(long, reason);
    await t.rejects(clock.sleep(3_600_000, abort.signal), reason, 'aborted before');

    const unneeded = new AbortController();
    const short = clock.sleep(1, unneeded.signal);
    await pass(10);
    await short;
    unneeded.abort(reason);
  });
}

clockConformance('the system clock', () => ({ clock: systemClock, pass: (ms) => systemClock.sleep(ms) }));
clockConformance('ManualClock', () => {
  const clock = new ManualClock();
  return { clock, pass: (ms) => clock.advance(ms) };
});

t.test('ManualClock: what a timer brings about is done before the next one', async (t) => {
  const clock = new ManualClock();
  const seen: string[] = [];
  const loop = async (): Promise<void> => {
    for (let i = 0; i < 3; i += 1) {
      await clock.sleep(10);
      seen.push(`woke at ${clock.monotonic()}`);
    }
  };
  const looping = loop();
  clock.after(25, () => seen.push('25'));
  t.equal(clock.waiting, 2);
  await clock.advance(30);
  await looping;
  t.same(seen, ['woke at 10', 'woke at 20', '25', 'woke at 30']);
  t.equal(clock.waiting, 0);
});
