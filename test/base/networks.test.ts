import fc from 'fast-check';
import t from 'tap';
import { networkOf, plainAddress } from '../../src/base/networks.ts';

t.test('what an address is counted by', async (t) => {
  t.same(
    [
      '10.0.0.1',
      '::ffff:10.0.0.1',
      '::FFFF:10.0.0.1',
      'unknown',
      '2001:db8:0:1:2:3:4:5',
      '2001:db8:0:1::7',
      'fe80::1%eth0',
      '::1',
    ].map(networkOf),
    [
      '10.0.0.1',
      '10.0.0.1',
      '10.0.0.1',
      'unknown',
      '2001:db8:0:1::/64',
      '2001:db8:0:1::/64',
      'fe80:0:0:0::/64',
      '0:0:0:0::/64',
    ],
  );
  t.equal(plainAddress('::ffff:a00:1'), '::ffff:a00:1');
});

t.test('property: two addresses of one network count as one', async () => {
  const words = (length: number) => fc.array(fc.nat(0xffff), { minLength: length, maxLength: length });
  fc.assert(
    fc.property(words(4), words(4), words(4), (network, one, other) => {
      // As the system writes them.
      const address = (host: number[]) =>
        new URL(`http://[${[...network, ...host].map((w) => w.toString(16)).join(':')}]/`).hostname.slice(1, -1);
      return networkOf(address(one)) === networkOf(address(other));
    }),
  );
});
