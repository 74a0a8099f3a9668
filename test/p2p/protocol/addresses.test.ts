import t from 'tap';
import { faultOfAddress, splitAddress } from '../../../src/p2p/protocol/addresses.ts';

t.test('host and port, also of IPv6', async (t) => {
  t.same(splitAddress('10.0.0.1:65002'), { host: '10.0.0.1', port: 65002 });
  t.same(splitAddress('node-1.example:80'), { host: 'node-1.example', port: 80 });
  t.same(splitAddress('[fd00::1]:65002'), { host: 'fd00::1', port: 65002 });
  for (const bad of [
    '',
    'a',
    'a:',
    ':1',
    'a:0',
    'a:65536',
    'fd00::1:80',
    '[zz]:1',
    '[::1]',
    'a b:1',
    'u@h:1',
    'h/p:1',
    '[1.2.3.4]:5',
  ]) {
    t.equal(splitAddress(bad), undefined, bad);
  }
});

t.test('an address that others cannot use has a fault', async (t) => {
  t.equal(faultOfAddress('127.0.0.1:1'), undefined, 'loopback is normal on one machine');
  t.match(faultOfAddress('0.0.0.0:65002'), /no address that others/);
  t.match(faultOfAddress('[::]:65002'), /no address that others/);
  t.match(faultOfAddress('nonsense'), /host:port/);
});
