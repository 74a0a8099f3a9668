import fc from 'fast-check';
import t from 'tap';
import { AuditLog, DENIED_LINES, DENIED_LINES_PER_ADDRESS, MAX_SUMS } from '../../src/base/audit-log.ts';
import type { AuditEvent } from '../../src/base/audit.ts';
import { ManualClock } from '../support/manual-clock.ts';

type Line = Record<string, unknown>;

function start() {
  const clock = new ManualClock();
  const lines: Line[] = [];
  const log = new AuditLog({ clock, node: { host: 'node-1' } });
  log.write = (line) => void lines.push(JSON.parse(line) as Line);
  return { clock, lines, log };
}

const denied = (client: string, code = 'NOT_A_MEMBER'): AuditEvent => ({
  role: 'pieces',
  client,
  decision: 'denied',
  code,
});

t.test('a line holds what was decided, when, where and about whom, and nothing that is not known', async (t) => {
  const { lines, log } = start();
  log.node.peer = 'peer-1';
  const event: AuditEvent = {
    role: 'mirror',
    client: '::ffff:10.0.0.7',
    decision: 'allowed',
    identity: 'alice',
    bytes: 5,
    code: undefined,
  };
  log.record(event);
  t.match(lines, [
    {
      host: 'node-1',
      peer: 'peer-1',
      role: 'mirror',
      client: '10.0.0.7',
      decision: 'allowed',
      identity: 'alice',
      bytes: 5,
    },
  ]);
  t.same(Object.keys(lines[0]!), ['time', 'host', 'peer', 'role', 'client', 'decision', 'identity', 'bytes']);
  t.equal(new Date(lines[0]!['time'] as string).toISOString(), lines[0]!['time']);
});

t.test('a token in the place of a name is not written, and long texts are cut', async (t) => {
  const { lines, log } = start();
  const token = `ghp_${'a1B2'.repeat(9)}`;
  log.record({
    role: 'mirror',
    client: '10.0.0.1',
    decision: 'allowed',
    identity: token,
    subject: token,
    path: `/${'p'.repeat(5000)}`,
  });
  t.notMatch(JSON.stringify(lines), token);
  t.ok(JSON.stringify(lines).length < 1000);
  log.record({
    role: 'mirror',
    client: '10.0.0.1',
    decision: 'allowed',
    identity: '00000000-0000-0000-0000-000000000000',
  });
  t.match(lines[1], { identity: '00000000-0000-0000-0000-000000000000' }, 'as Azure has it');
});

t.test('off: nothing happens', async (t) => {
  const { lines, log } = start();
  log.write = undefined;
  for (let n = 0; n < 100; n += 1) log.record(denied('10.0.0.1'));
  log.flush();
  t.same(lines, []);
});

t.test('I5: a flood of denied attempts is summed up by address and minute; what is allowed is not', async (t) => {
  const { clock, lines, log } = start();
  for (let n = 0; n < 1000; n += 1) log.record(denied('10.0.0.1'));
  for (let n = 0; n < 100; n += 1) log.record({ ...denied('10.0.0.1'), decision: 'allowed' });
  log.record(denied('10.0.0.2'));
  t.equal(lines.length, DENIED_LINES_PER_ADDRESS + 101);
  await clock.advance(60_000);
  const sums = lines.splice(0).filter(({ count }) => count !== undefined);
  t.match(sums, [
    {
      role: 'pieces',
      client: '10.0.0.1',
      decision: 'denied',
      code: 'NOT_A_MEMBER',
      count: 1000 - DENIED_LINES_PER_ADDRESS,
    },
  ]);
  t.ok(sums[0]!['since']);
  log.record(denied('10.0.0.1'));
  t.equal(lines.length, 1, 'in the next minute it has lines again');
});

t.test('I5: so is one from many addresses, of one network or of all', async (t) => {
  const { clock, lines, log } = start();
  for (let n = 0; n < 1000; n += 1) log.record(denied(`2001:db8:0:1::${n.toString(16)}`));
  t.equal(lines.length, DENIED_LINES_PER_ADDRESS);
  for (let n = 0; n < 50_000; n += 1) log.record(denied(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`));
  await clock.advance(60_000);
  t.ok(lines.length <= DENIED_LINES + MAX_SUMS + 1, `${lines.length} lines`);
  const counted = lines.reduce((sum, { count = 1 }) => sum + (count as number), 0);
  t.equal(counted, 51_000, 'each is counted');
  t.match(lines.at(-1), { client: 'others' });
  t.ok(lines.some(({ client }) => client === '2001:db8:0:1::/64'));
});

t.test(
  'property: every denied attempt is in a line or in a sum, and a minute has a bounded number of lines',
  async () => {
    const event = fc.record({ address: fc.nat(300), code: fc.nat(3), afterMs: fc.integer({ min: 0, max: 500 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 400 }), async (events) => {
        const { clock, lines, log } = start();
        const perMinute = new Map<number, number>();
        log.write = (line) => {
          const minute = Math.floor(clock.monotonic() / 60_000);
          perMinute.set(minute, (perMinute.get(minute) ?? 0) + 1);
          lines.push(JSON.parse(line) as Line);
        };
        for (const { address, code, afterMs } of events) {
          await clock.advance(afterMs);
          log.record(denied(`10.0.${address >> 8}.${address & 255}`, `CODE_${code}`));
        }
        log.flush();
        const counted = lines.reduce((sum, { count = 1 }) => sum + (count as number), 0);
        const most = DENIED_LINES + 2 * (MAX_SUMS + 4);
        return counted === events.length && [...perMinute.values()].every((n) => n <= most);
      }),
      { numRuns: 30 },
    );
  },
);
