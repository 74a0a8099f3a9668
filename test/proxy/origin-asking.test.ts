import t from 'tap';
import { denialIn, isUnanswered, OriginAsking } from '../../src/proxy/origin-asking.ts';
import { OriginNotFound, OriginRateLimited, OriginUnreachable } from '../../src/registry/errors.ts';
import type { Upstream } from '../../src/registry/upstream.ts';
import { ManualClock } from '../support/manual-clock.ts';

const upstream = { host: 'origin.test' } as Upstream;
const failure = { upstream: 'origin.test', step: 'a test', seen: 'nothing' };
const failing = (error: Error) => async (): Promise<never> => {
  throw error;
};
const never = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(new Error('any'))));

t.test('an origin that does not answer is given up: sooner with something to fall back on', async (t) => {
  for (const [fallback, waitMs] of [
    [false, 15_000],
    [true, 5000],
  ] as const) {
    const clock = new ManualClock();
    let over = false;
    const asked = new OriginAsking(clock).ask(upstream, fallback, never).finally(() => (over = true));
    asked.catch(() => undefined);
    await clock.advance(waitMs - 1);
    t.equal(over, false);
    await clock.advance(1);
    await t.rejects(asked, { code: 'ORIGIN_SLOW' });
    t.equal(clock.waiting, 0);
  }
});

t.test('a question that is lost on its way is asked once more, where there is nothing to fall back on', async (t) => {
  const clock = new ManualClock();
  let asked = 0;
  const answer = new OriginAsking(clock).ask(upstream, false, (signal) => {
    asked += 1;
    return asked === 1 ? never(signal) : Promise.resolve('fine');
  });
  await clock.advance(5000);
  t.equal(await answer, 'fine');
  t.equal(clock.waiting, 0);
});

t.test('a failure is remembered for those with a fallback, for seconds', async (t) => {
  const clock = new ManualClock();
  const asking = new OriginAsking(clock);
  await t.rejects(asking.ask(upstream, false, failing(new OriginUnreachable(failure))), { code: 'ORIGIN_UNREACHABLE' });
  await t.rejects(
    asking.ask(upstream, true, async () => 'fine'),
    { code: 'ORIGIN_UNREACHABLE' },
  );
  t.equal(
    await asking.ask({ host: 'other.test' } as Upstream, true, async () => 'fine'),
    'fine',
    'of that origin only',
  );
  await clock.advance(10_000);
  t.equal(await asking.ask(upstream, true, async () => 'fine'), 'fine');
});

t.test('an answer ends the memory', async (t) => {
  const asking = new OriginAsking(new ManualClock());
  await t.rejects(asking.ask(upstream, false, failing(new OriginUnreachable(failure))));
  t.equal(await asking.ask(upstream, false, async () => 'fine'), 'fine');
  t.equal(await asking.ask(upstream, true, async () => 'fine'), 'fine');
});

t.test('Retry-After is heeded, but for a minute at most', async (t) => {
  const clock = new ManualClock();
  const asking = new OriginAsking(clock);
  await t.rejects(
    asking.ask(upstream, true, failing(new OriginRateLimited({ ...failure, retryAfterMs: 6 * 3_600_000 }))),
  );
  await clock.advance(59_000);
  await t.rejects(
    asking.ask(upstream, true, async () => 'fine'),
    { code: 'ORIGIN_RATE_LIMITED' },
  );
  await clock.advance(1000);
  t.equal(await asking.ask(upstream, true, async () => 'fine'), 'fine');
});

t.test('a "no" is an answer, and is not remembered', async (t) => {
  const asking = new OriginAsking(new ManualClock());
  await t.rejects(asking.ask(upstream, true, failing(new OriginNotFound(failure))), { code: 'ORIGIN_NOT_FOUND' });
  t.equal(await asking.ask(upstream, true, async () => 'fine'), 'fine');
});

t.test('what is a "no", and what is none', (t) => {
  t.equal(denialIn(new Error('x', { cause: new OriginNotFound(failure) }))?.code, 'ORIGIN_NOT_FOUND');
  t.equal(denialIn(new OriginRateLimited(failure)), undefined);
  t.equal(denialIn(new OriginUnreachable(failure, { cause: new OriginNotFound(failure) })), undefined);
  t.equal(denialIn('text'), undefined);
  t.equal(isUnanswered(new OriginRateLimited(failure)), true);
  t.equal(isUnanswered(new OriginNotFound(failure)), false);
  t.equal(isUnanswered(new TypeError('x')), false);
  t.end();
});
