import t from 'tap';
import { SingleFlight } from '../../src/base/single-flight.ts';

t.test('calls that overlap share one piece of work, by key', async (t) => {
  const flights = new SingleFlight<string, number>();
  let count = 0;
  const land: (() => void)[] = [];
  const work = () =>
    new Promise<number>((resolve) => {
      count += 1;
      const result = count;
      land.push(() => resolve(result));
    });
  const together = [flights.run('a', work), flights.run('a', work), flights.run('b', work)];
  t.equal(count, 2);
  for (const go of land) go();
  t.same(await Promise.all(together), [1, 1, 2]);
  const again = flights.run('a', work);
  t.equal(count, 3, 'a later call does the work anew');
  land.at(-1)!();
  t.equal(await again, 3);
});

t.test('all get the error, and the next call tries again', async (t) => {
  const flights = new SingleFlight<string, number>();
  const failure = new Error('no');
  const both = [flights.run('a', () => Promise.reject(failure)), flights.run('a', () => Promise.resolve(1))];
  t.same(await Promise.allSettled(both), [
    { status: 'rejected', reason: failure },
    { status: 'rejected', reason: failure },
  ]);
  t.equal(await flights.run('a', () => Promise.resolve(2)), 2);
  t.throws(
    () =>
      flights.run('a', () => {
        throw failure;
      }),
    failure,
  );
  t.equal(await flights.run('a', () => Promise.resolve(3)), 3, 'one that throws at once leaves nothing behind');
});
