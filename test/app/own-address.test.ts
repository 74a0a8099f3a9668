import type { NetworkInterfaceInfo } from 'node:os';
import fc from 'fast-check';
import t from 'tap';
import { createLogger } from '../../src/base/log.ts';
import { OwnAddress, ownHosts, type Interfaces } from '../../src/app/own-address.ts';

/** As `os.networkInterfaces` gives them: name by name, each address; `lo` is there in any case. */
function interfaces(all: Record<string, string[]> = {}): Interfaces {
  const info = (address: string, internal: boolean) => ({ address, internal }) as NetworkInterfaceInfo;
  return {
    lo: [info('127.0.0.1', true), info('::1', true)],
    ...Object.fromEntries(
      Object.entries(all).map(([name, found]) => [name, found.map((address) => info(address, false))]),
    ),
  };
}

const choose = (listening: string, localAddress: string | undefined, all?: Record<string, string[]>) => {
  const found = ownHosts(listening, { localAddress, interfaces: interfaces(all) });
  return 'why' in found ? found.why : found.hosts;
};

t.test('the address of the connection, where another machine can use it', async (t) => {
  const many = { eth0: ['10.0.0.5', 'fd00::5'], docker0: ['172.17.0.1'] };
  t.same(choose('0.0.0.0', '10.0.0.5', many), ['10.0.0.5']);
  t.same(choose('0.0.0.0', '::ffff:10.0.0.5', many), ['10.0.0.5'], 'of an IPv6 socket');
  t.same(choose('::', '10.0.0.5', many), ['10.0.0.5'], '`::` takes IPv4 too');
  t.same(choose('::', 'fd00::5', many), ['fd00::5']);
  t.same(choose('0:0::0', 'fd00::5', many), ['fd00::5']);
  t.same(choose('0.0.0.0', '169.254.3.4', many), ['169.254.3.4'], 'the supernode is on that link, too');
});

t.test('any other one does not count: it is the only address of the machine', async (t) => {
  const one = { eth0: ['10.0.0.5', 'fd00::5', 'fe80::5'] };
  for (const local of [undefined, '127.0.0.1', '127.0.1.1', '::1', '::ffff:127.0.0.1', '0.0.0.0', '::', 'fe80::5%eth0'])
    t.same(choose('0.0.0.0', local, one), ['10.0.0.5'], local ?? 'within this process');
  t.same(choose('0.0.0.0', 'fd00::5', one), ['10.0.0.5'], 'where it does not listen');
  t.same(choose('::', '::1', one), ['10.0.0.5', 'fd00::5'], 'one of each family');
  t.same(choose('::', undefined, { eth0: ['fd00::5'] }), ['fd00::5']);
  t.same(choose('::', undefined, { eth0: ['10.0.0.5'], eth1: ['10.0.0.5'] }), ['10.0.0.5'], 'twice the same is one');
});

t.test('none, or more than one, is none, and it says which', async (t) => {
  t.equal(choose('0.0.0.0', undefined), 'it has no IPv4 address but those of loopback and of single links');
  t.match(choose('::', '::1', { eth0: ['169.254.1.1', 'fe80::1'] }), 'it has no address but those of loopback');
  const bridged = { eth0: ['10.0.0.5'], docker0: ['172.17.0.1'] };
  t.equal(
    choose('0.0.0.0', undefined, bridged),
    'it has more than one IPv4 address: 10.0.0.5 (eth0), 172.17.0.1 (docker0)',
  );
  t.equal(choose('::', undefined, { eth0: ['10.0.0.5', 'fd00::5', 'fd00::6'] }).length > 0, true);
  t.match(choose('::', undefined, { eth0: ['10.0.0.5', 'fd00::5', 'fd00::6'] }), /^it has more than one address: /);
  const nine = Array.from({ length: 9 }, (_none, i) => `10.0.0.${i}`);
  t.match(choose('0.0.0.0', undefined, { eth0: nine }), / 10\.0\.0\.7 \(eth0\) and more$/);
});

t.test('it never says an address at which nobody else gets to this machine', async () => {
  const address = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.constantFrom(
      '127.0.0.1',
      '127.9.9.9',
      '::1',
      '0.0.0.0',
      '::',
      '::ffff:127.0.0.1',
      'fe80::1%eth0',
      'fe80::1',
      '',
    ),
  );
  fc.assert(
    fc.property(
      fc.constantFrom('0.0.0.0', '::'),
      fc.option(address, { nil: undefined }),
      fc.array(address, { maxLength: 3 }),
      (listening, local, all) => {
        const found = ownHosts(listening, { localAddress: local, interfaces: interfaces({ eth0: all }) });
        if ('why' in found) return found.why !== '';
        const isFine = found.hosts.every(
          (host) =>
            host !== '' &&
            !/^127\.|%|^fe[89ab]|^[0:.]*1?$|^::ffff:127/i.test(host) &&
            (listening === '::' || !host.includes(':')),
        );
        return isFine && found.hosts.length > 0;
      },
    ),
  );
});

t.test('what is configured counts; else what is found just now', async (t) => {
  let all: Record<string, string[]> = {};
  const lines: string[] = [];
  const log = createLogger({ level: 'info', format: 'json', destination: { write: (line) => void lines.push(line) } });
  const own = (listen: string, advertise: string[] = []) =>
    new OwnAddress({ listen: { host: listen, port: 65_002 }, advertise, log, interfaces: () => interfaces(all) });
  t.same(own('0.0.0.0', ['node-1:1', '[fd00::1]:2']).of('10.0.0.9'), ['node-1:1', '[fd00::1]:2']);
  t.same(own('127.0.0.1').of('10.0.0.9'), ['127.0.0.1:65002']);
  t.same(own('::1').of(undefined), ['[::1]:65002']);
  t.same(own('::').of('fd00::9'), ['[fd00::9]:65002']);

  const here = own('0.0.0.0');
  t.same([...here.of(undefined), ...here.of('127.0.0.1')], []);
  t.equal(lines.length, 1, 'said once');
  t.match(JSON.parse(lines[0]!), { level: 'warn', code: 'OWN_ADDRESS_UNKNOWN', todo: /^set peer\.advertise/ });
  t.match(here.fault, {
    code: 'OWN_ADDRESS_UNKNOWN',
    message: /peer\.listen is 0\.0\.0\.0:65002, peer\.advertise is empty.*it has no IPv4 address/,
    todo: /^set peer\.advertise \(HAWKER_PEER_ADVERTISE\)/,
  });
  all = { eth0: ['10.0.0.5'] };
  t.same(here.of(undefined), ['10.0.0.5:65002'], 'DHCP has answered');
  t.equal(here.fault, undefined);
  all = { eth0: ['10.0.0.5'], docker0: ['172.17.0.1'] };
  t.same(here.of('127.0.0.1'), [], 'a bridge for containers has come');
  t.equal(lines.length, 2, 'and when it is so again');
  t.match(here.fault?.message, '10.0.0.5 (eth0), 172.17.0.1 (docker0)');
  t.same(here.of('10.0.0.5'), ['10.0.0.5:65002'], 'which does not matter to a connection that shows it');
  t.equal(here.fault, undefined);
});
