import fc from 'fast-check';
import t from 'tap';
import { OWN_LEASES } from '../../../src/p2p/protocol/limits.ts';
import { firstLeaseAt } from '../../../src/p2p/supernode/lease-numbers.ts';

t.test('lease numbers rise with the clock, and stay apart from those that proxies give', async (t) => {
  t.ok(firstLeaseAt(Date.UTC(2026)) > 1e14);
  const time = fc.integer({ min: Date.UTC(2020), max: Date.UTC(2240) });
  fc.assert(
    fc.property(time, fc.integer({ min: 1, max: 3_600_000 }), (at, later) => {
      const [first, second] = [firstLeaseAt(at), firstLeaseAt(at + later)];
      // Even after a hundred leases a millisecond.
      return second > first + 100 * later && Number.isSafeInteger(second);
    }),
  );
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (at) => {
      const first = firstLeaseAt(at);
      return first >= 1 && first + 2 ** 51 <= OWN_LEASES;
    }),
  );
});
