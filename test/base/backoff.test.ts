import fc from 'fast-check';
import t from 'tap';
import { backoffMs } from '../../src/base/backoff.ts';

t.test('doubles from the first wait up to the cap', (t) => {
  const most = (attempt: number) => backoffMs({ firstMs: 100, capMs: 1000 }, attempt, () => 1);
  t.same([0, 1, 2, 3, 4, 5, 5000].map(most), [100, 200, 400, 800, 1000, 1000, 1000]);
  t.equal(
    backoffMs({ firstMs: 100, capMs: 1000 }, 0, () => 0),
    50,
    'at least half of it',
  );
  t.end();
});

t.test('is always between half of the cap and the cap, and spreads', (t) => {
  const seen = new Set<number>();
  fc.assert(
    fc.property(fc.nat(60), (attempt) => {
      const wait = backoffMs({ firstMs: 10, capMs: 500 }, attempt);
      const ceiling = Math.min(500, 10 * 2 ** attempt);
      seen.add(wait);
      return wait >= ceiling / 2 && wait <= ceiling;
    }),
  );
  t.ok(seen.size > 10);
  t.end();
});
