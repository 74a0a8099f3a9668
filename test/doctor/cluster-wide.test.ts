import { networkInterfaces } from 'node:os';
import t from 'tap';
import { checkClock } from '../../src/doctor/clock.ts';
import { checkPeers, checkRegistrations, checkVersions } from '../../src/doctor/cluster-wide.ts';
import { checkRegistration, type Rejected } from '../../src/doctor/registration.ts';
import type { Roster, SupernodeLook } from '../../src/doctor/supernodes.ts';
import { ManualClock } from '../support/manual-clock.ts';

const clock = new ManualClock();
const ago = (ms: number) => new Date(clock.now() - ms).toISOString();
const PEER: Roster['peers'][number] = {
  id: 'peer-a',
  instance: 'i1',
  host: 'node-a',
  addresses: ['10.0.0.1:65002'],
  state: 'ready',
  reason: '',
  zone: '',
  version: '1.2.0',
  protocol: '1.0',
  since: ago(60_000),
  blobs: 0,
};
const other = (n: number, more: Partial<typeof PEER> = {}) => ({
  ...PEER,
  id: `peer-${n}`,
  host: `node-${n}`,
  addresses: [`10.0.1.${n}:65002`],
  ...more,
});
const REJECTED: Rejected = {
  address: '10.9.9.9',
  code: 'NOT_A_MEMBER',
  message: 'wrong secret',
  at: ago(1000),
  count: 3,
};

function look(roster: Partial<Roster>, host = 'sn.example'): SupernodeLook {
  const whole = { peers: [], rejected: [], ...roster };
  const url = new URL(`http://${host}:6789`);
  return { url, findings: [], ip: '10.0.0.9', version: '1.2.0', protocol: '1.0', roster: whole, visit: undefined };
}

t.test('without a roster nothing is said of the cluster', (t) => {
  const none = [
    checkVersions(undefined, clock),
    checkRegistrations(undefined, clock),
    checkPeers(undefined, 'peer-a', clock),
    checkRegistration(undefined, { peer: 'peer-a', instance: undefined, isRunning: true }, clock),
    checkClock(undefined, undefined),
  ];
  for (const { status, seen } of none) {
    t.equal(status, 'skipped');
    t.not(seen, '');
  }
  t.end();
});

t.test('versions: a mixed minor is told, another major fails', (t) => {
  const check = (roster: Partial<Roster>) => checkVersions(look(roster), clock);
  t.match(check({ peers: [PEER] }), {
    status: 'ok',
    seen: /^all the same: 1\.2\.0 \(protocol 1\.0\): the supernode, node-a/,
  });
  t.match(check({ peers: [PEER, other(1, { version: '1.1.0' })] }), {
    status: 'ok',
    seen: /^mixed.*1\.1\.0 .*: node-1/,
  });
  const left = other(1, { version: '0.1', state: 'left' });
  t.match(check({ peers: [PEER, left] }), { status: 'ok', seen: /^all the same/ }, 'who has left does not count');
  const apart = { status: 'failed', error: 'VERSIONS_DIFFER' };
  t.match(check({ peers: [other(1, { protocol: '2.0' })] }), { ...apart, meaning: /node-1/ });
  const refused = { ...REJECTED, code: 'PROTOCOL_VERSION', message: 'upgrade the proxy', host: 'node-7' };
  t.match(check({ rejected: [refused] }), { ...apart, meaning: /node-7 \(upgrade the proxy\)/ });
  t.match(check({ peers: [{ ...PEER, protocol: undefined } as never] }), { status: 'ok' }, 'an older one does not say');
  t.end();
});

t.test('registrations: summed up by code; what is long ago is no failure', (t) => {
  const check = (rejected: Rejected[]) => checkRegistrations(look({ rejected }), clock);
  t.match(check([]), { status: 'ok', seen: 'none within 10 min' });
  const old = { ...REJECTED, at: ago(3_600_000) };
  t.match(check([old]), { status: 'ok', seen: /before that: NOT_A_MEMBER 3 times from 10\.9\.9\.9/ });
  const more = { ...REJECTED, address: '10.9.9.8', count: 1 };
  const full = { ...REJECTED, code: 'FULL', count: 1 };
  t.match(check([REJECTED, more, full, old]), {
    status: 'failed',
    error: 'REGISTRATIONS_FAIL',
    seen: /NOT_A_MEMBER 4 times from 10\.9\.9\.9, 10\.9\.9\.8; FULL once .*the last one: 10\.9\.9\.9, NOT_A_MEMBER: wrong secret/,
  });
  const many = Array.from({ length: 9 }, (_, i) => ({ ...REJECTED, address: `10.9.9.${i}` }));
  t.match(check(many).seen, /10\.9\.9\.4 and 4 more/);
  t.end();
});

t.test('peers: a zero comes with its causes', (t) => {
  const check = (roster: Partial<Roster>, host?: string) =>
    checkPeers(look({ peers: [PEER], ...roster }, host), 'peer-a', clock);
  t.match(check({ peers: [PEER, other(1), other(2, { state: 'stale', reason: 'silent for 20 s' })] }), {
    status: 'ok',
    seen: '1 ready; not ready: node-2 at 10.0.1.2:65002 is stale (silent for 20 s)',
  });
  const none = { status: 'failed', error: 'NO_OTHER_PEERS' };
  t.match(check({}), { ...none, seen: /nobody else has registered/ });
  t.match(check({}, '127.0.0.1'), { status: 'ok', seen: /alone/ }, 'others could not even come');
  t.match(check({ peers: [PEER, other(1, { state: 'left' })] }, '127.0.0.1'), { status: 'ok' });
  t.match(check({ rejected: [REJECTED] }, '127.0.0.1'), {
    ...none,
    seen: /10\.9\.9\.9 is refused \(NOT_A_MEMBER: wrong secret\)/,
  });
  const unreachable = other(1, { state: 'unreachable', reason: 'ECONNREFUSED' });
  t.match(check({ peers: [PEER, unreachable] }), {
    ...none,
    seen: /node-1 at 10\.0\.1\.1:65002 is unreachable \(ECONNREFUSED\)/,
  });
  const nameless = check({ peers: [other(1, { host: '', addresses: [], id: '0123456789', state: 'stale' })] });
  t.match(nameless.seen, /01234567 is stale/);
  t.end();
});

t.test('registration: this node as the roster has it', (t) => {
  const self = { peer: 'peer-a', instance: 'i1', isRunning: true };
  const check = (roster: Partial<Roster>, who = self as Parameters<typeof checkRegistration>[1]) =>
    checkRegistration(look(roster), who, clock);
  t.match(check({ peers: [PEER] }), { status: 'ok', seen: /ready since .* reached at 10\.0\.0\.1:65002/ });
  for (const [state, todo] of Object.entries({ unreachable: /piece port/, stale: /hangs/, left: /start the proxy/ })) {
    const found = check({ peers: [{ ...PEER, state, reason: 'so' }] });
    t.match(found, { status: 'failed', error: 'PEER_NOT_READY', seen: new RegExp(`${state} since .*: so`), todo });
    t.not(found.meaning, '');
  }
  t.match(
    check({ peers: [{ ...PEER, state: 'unreachable', reason: 'its piece port is being tested' }] }).status,
    'skipped',
  );
  t.match(check({ peers: [{ ...PEER, state: 'odd' }] }), { status: 'failed', todo: /log of the supernode/ });
  t.match(check({}), { status: 'failed', error: 'PEER_MISSING', seen: /peer-a/ });
  t.match(check({ peers: [{ ...PEER, instance: 'i2', from: '10.0.0.8' }] }), {
    status: 'failed',
    error: 'DUPLICATE_ID',
    seen: /node-a \(10\.0\.0\.8\)/,
    todo: /peer-id/,
  });
  const own = Object.values(networkInterfaces()).flat()[0]!.address;
  for (const mine of [
    { address: own },
    { address: `::ffff:${own}` },
    { peer: 'peer-a' },
    { message: 'peer id peer-a is' },
  ]) {
    t.match(check({ rejected: [{ ...REJECTED, ...mine }] }), {
      status: 'failed',
      error: 'NOT_A_MEMBER',
      seen: /3 times, the last time 1\.0 s ago: (?:wrong secret|peer id peer-a is)$/,
      todo: /join secret/,
    });
  }
  t.match(check({ peers: [PEER], rejected: [{ ...REJECTED, address: own }] }).status, 'ok', 'it is in now');
  t.match(check({ rejected: [{ ...REJECTED, address: own, code: 'ODD', count: 1 }] }), {
    seen: /once/,
    todo: /log of/,
  });
  t.match(check({ rejected: [REJECTED] }).error, 'PEER_MISSING', 'others are not this node');
  const stopped = { ...self, instance: undefined, isRunning: false };
  t.match(check({}, stopped), { status: 'skipped', seen: 'no proxy runs here' });
  t.match(check({ peers: [{ ...PEER, state: 'left' }] }, stopped), { status: 'skipped', seen: /peer-a is left/ });
  t.match(check({}, { peer: undefined, instance: undefined, isRunning: true }).status, 'skipped');
  t.end();
});

t.test('clock: half a minute is too much', (t) => {
  t.match(checkClock('sn', 800), { status: 'ok', seen: /800 ms ahead/, title: /sn/ });
  t.match(checkClock('sn', -30_000).status, 'ok');
  t.match(checkClock('sn', -31_000), { status: 'failed', error: 'CLOCK_SKEW', seen: /31\.0 s behind/, todo: /NTP/ });
  t.end();
});
