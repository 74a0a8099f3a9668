import t from 'tap';
import { createLogger } from '../../../src/base/log.ts';
import { ClockSkew } from '../../../src/p2p/peer/clock-skew.ts';
import { DialForOthers } from '../../../src/p2p/peer/dial-for-others.ts';
import { SupernodeSilent, SupernodeUnreachable } from '../../../src/p2p/peer/session-errors.ts';
import { faultOf } from '../../../src/p2p/peer/supernode-fault.ts';
import { SUMMARY_MS, SupernodeStatuses } from '../../../src/p2p/peer/supernode-statuses.ts';
import { ManualClock } from '../../support/manual-clock.ts';

interface Line extends Record<string, unknown> {
  readonly code: string;
  readonly msg: string;
  readonly level: string;
}

function rig(urls = ['http://a', 'http://b']) {
  const lines: Line[] = [];
  const destination = { write: (text: string) => void lines.push(JSON.parse(text) as Line) };
  const log = createLogger({ level: 'info', format: 'json', destination });
  const clock = new ManualClock();
  return { clock, lines, log, statuses: new SupernodeStatuses(urls, { clock, log }) };
}

const refused = new SupernodeUnreachable({ address: '10.0.0.1:6789', why: 'connect ECONNREFUSED' });
const silent = new SupernodeSilent({ address: '10.0.0.1:6789', waitedMs: 5000, step: 'upgrade' });

t.test('one line at each change, with all that an operator needs; none at a try', async (t) => {
  const { clock, lines, statuses } = rig();
  statuses.alone();
  for (let n = 0; n < 50; n += 1) {
    await clock.advance(1000);
    statuses.tried(0);
    statuses.failed(0, refused);
  }
  t.match(lines, [
    {
      level: 'warn',
      code: 'SUPERNODE_UNREACHABLE',
      url: 'http://a',
      address: '10.0.0.1:6789',
      step: 'connect',
      todo: /supernode.listen/,
      msg: /ECONNREFUSED/,
    },
  ]);
  t.equal(lines.length, 1);
  t.match(statuses.all()[0], {
    state: 'failed',
    attempts: 50,
    lastAttempt: '2026-01-01T00:00:50.000Z',
    step: 'connect',
  });
  t.equal(statuses.all()[0]!.since, '2026-01-01T00:00:01.000Z');
  statuses.failed(0, silent);
  statuses.connected(0, '10.0.0.1:6789');
  statuses.skewed(0, 12);
  t.match(lines.slice(1), [{ code: 'SUPERNODE_SILENT', step: 'upgrade' }, { code: 'SUPERNODE_CONNECTED' }]);
  t.match(statuses.all()[0], {
    state: 'connected',
    code: '',
    todo: '',
    attempts: 0,
    clockSkewMs: 12,
    connectedSince: '2026-01-01T00:00:50.000Z',
  });
  await clock.advance(10 * SUMMARY_MS);
  t.equal(lines.length, 3, 'there is nothing to sum up');
  statuses.failed(0, silent);
  t.equal(statuses.all()[0]!.clockSkewMs, undefined, 'an old measure is not shown');
});

t.test('while there is none, a summary says why of each and for how long', async (t) => {
  const { clock, lines, statuses } = rig();
  statuses.alone();
  statuses.failed(0, refused);
  await clock.advance(SUMMARY_MS - 60_000);
  statuses.failed(0, silent);
  await clock.advance(60_000);
  t.match(lines.at(-1), {
    level: 'warn',
    code: 'NO_SUPERNODE',
    aloneMs: SUMMARY_MS,
    supernodes: [
      { url: 'http://a', code: 'SUPERNODE_SILENT', step: 'upgrade', forMs: SUMMARY_MS },
      { url: 'http://b', code: '', forMs: 0 },
    ],
    msg: /after 5 min: .*http:\/\/a for 5 min: SUPERNODE_SILENT, .*http:\/\/b .*no answer yet/,
  });
  await clock.advance(SUMMARY_MS);
  t.equal(lines.length, 4);
  statuses.close();
  await clock.advance(SUMMARY_MS);
  t.equal(lines.length, 4);
  t.equal(clock.waiting, 0);
});

t.test('a supernode that comes and goes is summed up, until it has settled', async (t) => {
  const { clock, lines, statuses } = rig();
  const flap = async (minutes: number) => {
    for (let n = 0; n < minutes * 30; n += 1) {
      statuses.connected(0, 'x:1');
      await clock.advance(1000);
      statuses.failed(0, refused);
      await clock.advance(1000);
    }
  };
  await flap(9);
  t.ok(lines.length <= 10, `${lines.length} lines for 540 changes`);
  const summed = lines.filter(({ code }) => code === 'SUPERNODE_FLAPPING');
  t.equal(summed.length, 2, 'at its beginning, and after five minutes');
  t.match(summed[1], { url: 'http://a', counts: { connected: Number, SUPERNODE_UNREACHABLE: Number } });
  t.ok((summed[1]!['counts'] as Record<string, number>)['connected']! >= 140);
  t.match(statuses.all()[0], { state: 'failed' }, 'the status is always the present one');
  statuses.connected(0, 'x:1');
  const before = lines.length;
  await clock.advance(120_000);
  t.match(lines.slice(before), [{ code: 'SUPERNODE_CONNECTED' }], 'it has settled: so it stands');
  statuses.failed(0, refused);
  t.equal(lines.at(-1)!.code, 'SUPERNODE_UNREACHABLE', 'and changes are told again');
  await flap(2);
  statuses.close();
  t.equal(clock.waiting, 0);
});

t.test('what is no error of a session has a fault all the same', async (t) => {
  t.same(faultOf(new Error('odd')), { code: 'UNKNOWN', message: 'odd', step: '', todo: '', address: '' });
});

t.test('clocks that are apart are told of once, and once when they are not any more', async (t) => {
  const { lines, log } = rig();
  const skew = new ClockSkew(log);
  for (const ms of [0, 29_000, 31_000, 60_000, 29_000, 31_000, 24_000, 26_000, -45_000]) skew.measured(ms, 'x:1');
  t.match(lines, [
    { level: 'warn', code: 'CLOCK_SKEW', clockSkewMs: 31_000, address: 'x:1', msg: /31.0 s ahead of/, todo: /NTP/ },
    { level: 'info', code: 'CLOCK_IN_STEP', clockSkewMs: 24_000 },
    { code: 'CLOCK_SKEW', msg: /45.0 s behind/ },
  ]);
  t.equal(lines.length, 3);
});

t.test('no more than some are dialed at the same time for a supernode', async (t) => {
  const answers: (() => void)[] = [];
  const dialer = new DialForOthers(async (address) => {
    await new Promise<void>((resolve) => answers.push(resolve));
    if (address !== 'good:1') throw new Error(`${address}: refused`);
    return { peer: 'peer-b-00', instance: 'instance-1', proof: 'p' };
  });
  const dial = (n: number, addresses: string[]) =>
    dialer.dial({ t: 'dial', n, peer: 'peer-b-00', instance: 'instance-1', nonce: 'n'.repeat(22), addresses });
  const dials = Array.from({ length: 8 }, (_none, n) => dial(n, n === 0 ? ['bad:1', 'good:1'] : ['bad:1']));
  t.match(await dial(8, ['good:1']), { n: 8, error: /too many/ });
  for (const answer of answers) answer();
  t.match(await Promise.all(dials), [
    { n: 0, address: 'good:1', proof: 'p' },
    { n: 1, error: 'bad:1: refused' },
  ]);
  t.match(await dial(9, []), { n: 9, error: /no address/ });
});
