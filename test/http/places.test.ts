import fc from 'fast-check';
import t from 'tap';
import { Places } from '../../src/http/places.ts';

t.test('by address, by /64 of IPv6, and all together', async (t) => {
  const places = new Places({ perAddress: 2, overall: 4 });
  const first = places.take('2001:db8::1')!;
  t.ok(places.take('2001:db8::ffff:2'));
  t.equal(places.take('2001:db8::3'), undefined, 'one network');
  t.equal(places.of('2001:db8::9').count, 2);
  t.ok(places.take('2001:db8:0:1::1'), 'another');
  t.ok(places.take('192.0.2.1'));
  t.equal(places.take('192.0.2.2'), undefined, 'all are taken');
  first();
  first();
  t.ok(places.take('192.0.2.2'));
  t.equal(places.take('192.0.2.3'), undefined, 'what is given back twice is one place');
});

t.test('whoever comes and goes, no limit is passed, and all comes back', async () => {
  const step = fc.record({ address: fc.constantFrom('10.0.0.1', '10.0.0.2', 'fd00::1', 'fd00::2'), leaves: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const places = new Places({ perAddress: 3, overall: 5 });
      const taken: (() => void)[] = [];
      for (const { address, leaves } of steps) {
        const release = places.take(address);
        if (release) taken.push(release);
        else if (taken.length < 5 && places.of(address).count < 3) return false;
        if (taken.length > 5 || places.of(address).count > 3) return false;
        if (leaves < taken.length) taken.splice(leaves, 1)[0]!();
      }
      for (const release of taken) release();
      return ['10.0.0.1', 'fd00::1'].every((address) => places.of(address).count === 0);
    }),
  );
});
