import type { LookupAddress } from 'node:dns';
import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { AddressGate, type AddressPolicy } from '../../src/http/address-gate.ts';
import { isSpecialAddress } from '../../src/http/address-ranges.ts';

const PRIVATE = [
  ['0.0.0.0', '0.1.2.3', '10.0.0.1', '100.64.0.1', '127.0.0.1', '127.255.255.255', '169.254.169.254', '172.16.0.1'],
  ['172.31.255.255', '192.0.0.1', '192.0.2.1', '192.168.1.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '224.0.0.1'],
  ['239.1.1.1', '240.0.0.1', '255.255.255.255', '::', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:10.0.0.1'],
  [
    '::127.0.0.1',
    '::ffff:0:127.0.0.1',
    '64:ff9b::10.0.0.1',
    '64:ff9b::a00:1',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::',
  ],
  ['fc00::1', 'fd12:3456::1', 'fe80::1', 'fe80::1%eth0', 'febf::1', 'fec0::1', 'ff02::1', '3fff::1', '5f00::1'],
].flat();
const PUBLIC = [
  ['1.1.1.1', '8.8.8.8', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '172.15.0.1', '172.32.0.1'],
  [
    '192.169.0.1',
    '223.255.255.255',
    '2606:4700::1111',
    '2a00:1450::1',
    '64:ff9b::8.8.8.8',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
  ],
].flat();

const gateOf = (policy: Partial<AddressPolicy>, addresses: string[] = []) =>
  new AddressGate({ open: undefined, allow: [], ...policy }, (_, __, callback) => {
    callback(
      null,
      addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 })),
    );
  });

function resolve(gate: AddressGate, host: string, all = true): Promise<string[]> {
  return new Promise((done, fail) => {
    gate.lookup(host, { all }, (error, address: string | LookupAddress[]) => {
      if (error) fail(error);
      else done(typeof address === 'string' ? [address] : address.map((a) => a.address));
    });
  });
}

t.test('addresses', async (t) => {
  const gate = gateOf({});
  for (const address of PRIVATE) {
    t.ok(isSpecialAddress(address), address);
    t.throws(() => gate.checkHost(address), { code: 'ADDRESS_REFUSED' });
    await t.rejects(resolve(gateOf({}, [address]), 'rebound.test'), {
      code: 'ADDRESS_REFUSED',
      message: `rebound.test resolves to ${address}, which is not a public address`,
    });
  }
  for (const address of PUBLIC) {
    t.notOk(isSpecialAddress(address), address);
    gate.checkHost(address);
    t.strictSame(await resolve(gateOf({}, [address]), 'r.test'), [address]);
  }
});

t.test('an IPv4 address is judged alike in all its clothes', async () => {
  fc.assert(
    fc.property(fc.ipV4(), (v4) => {
      const [a, b, c, d] = v4.split('.').map(Number) as [number, number, number, number];
      const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
      const forms = [
        `::ffff:${v4}`,
        `::ffff:${hex}`,
        `0:0:0:0:0:ffff:${hex}`,
        `64:ff9b::${v4}`,
        `64:ff9b:0:0:0:0:${hex}`,
      ];
      return forms.every((form) => isSpecialAddress(form) === isSpecialAddress(v4));
    }),
  );
});

t.test('an IPv6 address is judged alike however it is written', async () => {
  fc.assert(
    fc.property(fc.array(fc.nat(0xffff), { minLength: 8, maxLength: 8 }), (words) => {
      const full = words.map((word) => word.toString(16).padStart(4, '0')).join(':');
      const short = new URL(`http://[${full}]/`).hostname.slice(1, -1);
      return isSpecialAddress(full) === isSpecialAddress(short);
    }),
  );
});

t.test('names of this machine are refused unresolved', async (t) => {
  for (const host of ['localhost', 'LOCALHOST.', 'a.localhost', '[::1]']) {
    t.throws(() => gateOf({}).checkHost(host), { code: 'ADDRESS_REFUSED' }, host);
  }
  for (const host of ['localhost.test', 'r.test']) gateOf({}).checkHost(host);
});

t.test('what a policy opens', async (t) => {
  const gate = (addresses: string[]) =>
    gateOf(
      { open: 'Registry.Corp', allow: ['cdn.corp', '10.1.0.0/16', '192.168.0.7', '[fd00::7]', 'fd01::/16'] },
      addresses,
    );
  const open = gate(['10.9.9.9', '::1']);
  t.strictSame(await resolve(open, 'registry.corp.'), ['10.9.9.9', '::1']);
  t.strictSame(await resolve(open, 'CDN.corp'), ['10.9.9.9', '::1']);
  await t.rejects(resolve(open, 'other.corp'), { code: 'ADDRESS_REFUSED' });
  t.strictSame(
    await resolve(gate(['10.9.9.9', '10.1.2.3', '192.168.0.7', '192.168.0.8', 'fd01::1', '8.8.8.8']), 'x.test'),
    ['10.1.2.3', '192.168.0.7', 'fd01::1', '8.8.8.8'],
  );
  t.strictSame(
    await resolve(gate(['10.9.9.9', '10.1.2.3']), 'x.test', false),
    ['10.1.2.3'],
    'one address, where one is asked for',
  );
  for (const host of ['10.1.255.255', '[::ffff:10.1.0.1]', '[fd00::7]', 'fd01:2::3', '192.168.0.7', 'registry.corp']) {
    open.checkHost(host);
    t.ok(open.opensHost(host), host);
  }
  for (const host of ['10.2.0.1', 'fd00::8']) t.throws(() => open.checkHost(host), { code: 'ADDRESS_REFUSED' });
  t.notOk(open.opensHost('8.8.8.8') || open.opensHost('x.registry.corp'));
  t.throws(() => gateOf({ allow: ['x/8'] }), RangeError);
  t.throws(() => gateOf({ allow: ['10.0.0.0/33'] }), RangeError);
});

t.test('a name that does not resolve', async (t) => {
  const failed = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
  const gate = new AddressGate({ open: undefined, allow: [] }, (_, __, callback) => callback(failed, []));
  t.equal(await resolve(gate, 'r.test').catch((error: unknown) => error), failed);
  await t.rejects(resolve(gateOf({}), 'r.test'), { code: 'ADDRESS_REFUSED', message: /nothing/ });
});
