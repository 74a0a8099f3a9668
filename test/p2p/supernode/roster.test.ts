import fc from 'fast-check';
import t from 'tap';
import {
  GIVEN_UP_HEARTBEATS,
  LEFT_KEPT_MS,
  MAX_NUMBERS,
  PING_MS,
  READY_TEST_MS,
  Roster,
  TEST_BOUND_MS,
  TROUBLE_TEST_MS,
} from '../../../src/p2p/supernode/roster.ts';
import { MAX_HOSTS_PER_ADDRESS, MAX_REFUSED } from '../../../src/p2p/supernode/refusals.ts';
import type { Registration, RosterEvent, RosterNotice } from '../../../src/p2p/supernode/roster-events.ts';

const HEARTBEAT_MS = 5000;

function registration(peer: string, instance = 'i1', more: Partial<Registration> = {}): Registration {
  const addresses = [`${peer}:65002`];
  const base = {
    host: 'node',
    addresses,
    zone: 'z',
    version: '1.2.3',
    protocol: '1.0',
    uploadSlots: 4,
    clockSkewMs: 0,
  };
  return { peer, instance, ...base, ...more };
}

/** A roster at a time that only goes forward. */
class Rig {
  readonly roster = new Roster({ heartbeatMs: HEARTBEAT_MS, random: () => 0.5 });
  now = 1000;

  say(event: RosterEvent): string[] {
    return this.roster.apply(event, this.now).map(show);
  }
  register(connection: number, peer: string, instance = 'i1', more: Partial<Registration> = {}): string[] {
    return this.say({
      kind: 'register',
      connection,
      from: '10.0.0.1',
      registration: registration(peer, instance, more),
    });
  }
  /** Those that it has now are tried, unless others are named. */
  tested(peer: string, address: string | undefined, instance = 'i1', tried?: string[]): string[] {
    const result = address === undefined ? { error: 'refused' } : { address };
    const addresses = tried ?? this.roster.find(peer)!.registration.addresses;
    return this.say({ kind: 'tested', peer, instance, addresses, result });
  }
  heard(connection: number): string[] {
    return this.say({ kind: 'heard', connection });
  }
  pass(ms: number): string[] {
    this.now += ms;
    return this.roster.tick(this.now).map(show);
  }
  state(peer: string): string {
    const member = this.roster.find(peer);
    return member ? `${member.state}: ${member.reason}` : 'unknown';
  }
}

function show(notice: RosterNotice): string {
  switch (notice.kind) {
    case 'welcome':
      return `welcome ${notice.connection}${notice.fresh ? '' : ` for ${notice.replaced}`}`;
    case 'reject':
    case 'close':
      return `${notice.kind} ${notice.connection} ${notice.code}`;
    case 'ping':
      return `ping ${notice.connection}`;
    case 'test':
      return `test ${notice.member.registration.peer}`;
    case 'state':
      return `${notice.member.registration.peer} ${notice.was ?? 'new'}→${notice.member.state}`;
    case 'refused':
      return `refused ${notice.refused.code} ${notice.refused.count}`;
    default:
      return notice satisfies never;
  }
}

t.test('a peer is unreachable until its port was proved, and again when it is not', async (t) => {
  const rig = new Rig();
  t.same(rig.register(1, 'a'), ['welcome 1', 'a new→unreachable', 'test a']);
  t.match(rig.state('a'), 'unreachable: its piece port is being tested');
  t.same(rig.roster.some('z', 'b', 9), [], 'it is named to nobody yet');
  t.same(rig.tested('a', undefined), ['a unreachable→unreachable']);
  t.equal(rig.state('a'), 'unreachable: refused');
  t.same(rig.pass(3000), ['test a'], 'it is tried again');
  t.same(rig.pass(1000), [], 'one test at a time');
  t.same(rig.tested('a', 'a:65002', 'another'), [], 'what was found of an earlier instance is not taken for this one');
  t.same(rig.tested('a', 'a:65002'), ['a unreachable→ready']);
  t.equal(rig.roster.some('z', 'b', 9).length, 1);
  t.same(rig.say({ kind: 'trouble', peer: 'a' }), [], 'it was tested a moment ago');
  rig.now += TROUBLE_TEST_MS;
  t.same(rig.say({ kind: 'trouble', peer: 'a' }), ['test a']);
  t.same(rig.tested('a', undefined), ['a ready→unreachable']);
  t.same(rig.roster.some('z', 'b', 9), []);
  t.same(rig.register(2, 'quiet', 'i1', { addresses: [] }), ['welcome 2', 'quiet new→unreachable']);
  t.equal(rig.state('quiet'), 'unreachable: it advertises no address');
});

t.test('a test that never ends is made anew', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  for (let passed = 0; passed < TEST_BOUND_MS - HEARTBEAT_MS; passed += HEARTBEAT_MS) {
    rig.heard(1);
    t.same(rig.pass(HEARTBEAT_MS), []);
  }
  rig.heard(1);
  t.same(rig.pass(HEARTBEAT_MS), ['test a']);
});

t.test('the address that works comes first', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a', 'i1', { addresses: ['x:1', 'y:2', 'z:3'] });
  rig.tested('a', 'y:2');
  t.same(rig.roster.find('a')!.addresses, ['y:2', 'x:1', 'z:3']);
});

t.test('three missed heartbeats make it stale; it registers again when it comes back', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  rig.tested('a', 'a:65002');
  t.same(rig.pass(3 * HEARTBEAT_MS), []);
  t.same(rig.pass(1), ['a ready→stale']);
  t.match(rig.state('a'), /^stale: nothing was heard of it for 15/);
  t.same(rig.heard(1), ['a stale→left', 'close 1 STALE'], 'it is told to come anew');
  t.same(rig.register(2, 'a'), ['welcome 2', 'a new→unreachable', 'test a']);
});

t.test('nobody is missed for the time in which the supernode itself did not run', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  rig.tested('a', 'a:65002');
  rig.register(2, 'a', 'i2');
  rig.now += 60_000;
  rig.roster.paused(60_000);
  t.same(rig.pass(0), ['test a'], 'only its port may have changed');
  t.match(rig.state('a'), 'ready');
  t.same(rig.pass(PING_MS).slice(0, 2), ['a ready→left', 'close 1 STALE'], 'its answer to the ping had its time');
});

t.test('one that stays silent is given up, and its connection closed', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  rig.pass(3 * HEARTBEAT_MS + 1);
  t.same(rig.pass((GIVEN_UP_HEARTBEATS - 3) * HEARTBEAT_MS), ['a stale→left', 'close 1 STALE']);
  t.same(rig.pass(LEFT_KEPT_MS - 1), []);
  t.match(rig.state('a'), /^left/);
  rig.pass(1);
  t.equal(rig.state('a'), 'unknown', 'after an hour it is forgotten');
});

t.test('a closed connection is noticed at once, with the reason', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  t.same(rig.say({ kind: 'closed', connection: 1, goodbye: false, reason: 'reset' }), ['a unreachable→left']);
  t.equal(rig.state('a'), 'left: reset');
  rig.register(2, 'a');
  rig.say({ kind: 'closed', connection: 2, goodbye: true, reason: 'code 1000' });
  t.equal(rig.state('a'), 'left: it stopped');
  t.same(rig.say({ kind: 'closed', connection: 2, goodbye: true, reason: '' }), [], 'once');
});

t.test('a newer session of the same instance takes over, and stays what it was', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  rig.tested('a', 'a:65002');
  const { number } = rig.roster.find('a')!;
  t.same(rig.register(2, 'a'), ['welcome 2 for 1', 'close 1 REPLACED']);
  t.match(rig.state('a'), 'ready');
  t.equal(rig.roster.find('a')!.number, number, 'it is where it was');
  t.same(rig.say({ kind: 'closed', connection: 1, goodbye: false, reason: '' }), [], 'the old one is nothing any more');
  t.same(rig.register(3, 'a', 'i1', { addresses: ['b:1'] }), [
    'welcome 3 for 2',
    'close 2 REPLACED',
    'a ready→unreachable',
    'test a',
  ]);
  rig.pass(3 * HEARTBEAT_MS + 1);
  t.same(rig.register(4, 'a'), ['a stale→left', 'close 3 REPLACED', 'welcome 4', 'a new→unreachable', 'test a']);
});

t.test('a newer session with other addresses is not ready before these were tested', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  rig.tested('a', 'a:65002');
  const { number } = rig.roster.find('a')!;
  rig.register(2, 'a', 'i1', { addresses: ['b:1'], zone: 'y' });
  t.equal(rig.state('a'), 'unreachable: its piece port is being tested');
  t.same(rig.roster.some('y', '', 9), []);
  t.same(rig.tested('a', 'a:65002', 'i1', ['a:65002']), [], 'what was found of the old ones is not taken for these');
  t.not(rig.roster.find('a')!.number, number, 'a number names one place');
  t.equal(rig.roster.byNumber(number)?.registration.peer, 'a', 'whoever knows it by the old one is understood');
  t.same(rig.tested('a', 'b:1'), ['a unreachable→ready']);
  t.equal(rig.roster.some('y', '', 9).length, 1);
  rig.register(3, 'a', 'i1', { addresses: [] });
  t.equal(rig.state('a'), 'unreachable: it advertises no address');
  for (let n = 0; n < MAX_NUMBERS; n += 1) rig.register(4 + n, 'a', 'i1', { addresses: [`c:${n + 1}`] });
  t.equal(rig.roster.byNumber(number), undefined, 'not for ever');
  const last = rig.roster.find('a')!.number;
  rig.say({ kind: 'closed', connection: 3 + MAX_NUMBERS, goodbye: true, reason: '' });
  for (let n = 0; n <= last; n += 1) t.equal(rig.roster.byNumber(n), undefined, 'nor once it has left');
});

t.test('since when: the time of its state, whatever becomes of the reason', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  rig.now += 100;
  rig.tested('a', undefined);
  t.equal(rig.state('a'), 'unreachable: refused');
  t.equal(rig.roster.find('a')!.since, 1000);
  rig.tested('a', 'a:65002');
  t.equal(rig.roster.find('a')!.since, 1100);
});

t.test('trouble a moment after a test is not forgotten', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  rig.tested('a', 'a:65002');
  t.same(rig.say({ kind: 'trouble', peer: 'a' }), []);
  t.same(rig.pass(TROUBLE_TEST_MS - 1), []);
  t.same(rig.pass(1), ['test a']);
});

t.test('another instance with the same id: one that registers anew is alive, too', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  rig.register(2, 'a', 'i2');
  t.same(rig.register(3, 'a'), [
    'refused DUPLICATE_ID 1',
    'reject 2 DUPLICATE_ID',
    'welcome 3 for 1',
    'close 1 REPLACED',
  ]);
  t.same(rig.pass(PING_MS), []);
  t.equal(rig.roster.find('a')!.registration.instance, 'i1');
  rig.pass(3 * HEARTBEAT_MS + 1);
  t.same(rig.register(4, 'a', 'i2'), ['ping 3'], 'a stale one is asked as well');
  t.same(
    rig.heard(3),
    ['refused DUPLICATE_ID 2', 'reject 4 DUPLICATE_ID', 'a stale→left', 'close 3 STALE'],
    'and if it answers, it may come back',
  );
  t.same(rig.register(5, 'a'), ['welcome 5', 'a new→unreachable', 'test a']);
  t.same(rig.pass(PING_MS), [], 'nobody waits for its place any more');
});

t.test('another instance with the same id: who waits gets the place of one that is given up', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  rig.pass(3 * HEARTBEAT_MS + 1);
  rig.now += (GIVEN_UP_HEARTBEATS - 3) * HEARTBEAT_MS - PING_MS / 2;
  rig.register(2, 'a', 'i2');
  t.same(rig.pass(PING_MS / 2), ['a stale→left', 'close 1 STALE', 'welcome 2', 'a new→unreachable', 'test a']);
});

t.test('what others say of themselves cannot move a terminal', async (t) => {
  const rig = new Rig();
  rig.say({ kind: 'refused', from: 'x', code: 'NOT_A_MEMBER', message: 'a\u001b[2Jb\nc' });
  t.match([...rig.roster.refused()], [{ message: 'a?[2Jb?c' }]);
});

t.test('another instance with the same id: the one that answers stays', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  t.same(rig.register(2, 'a', 'i2'), ['ping 1']);
  t.same(rig.register(3, 'a', 'i3'), ['refused DUPLICATE_ID 1', 'reject 3 DUPLICATE_ID'], 'one question at a time');
  t.same(rig.heard(1), ['refused DUPLICATE_ID 2', 'reject 2 DUPLICATE_ID']);
  const [refused] = [...rig.roster.refused()];
  t.match(refused, {
    address: '10.0.0.1',
    code: 'DUPLICATE_ID',
    count: 2,
    message: /in use by instance i1 on node \(10.0.0.1\)/,
  });
});

t.test('another instance with the same id: one that does not answer makes way', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  rig.register(2, 'a', 'i2');
  t.same(rig.pass(PING_MS - 1), []);
  t.same(rig.pass(1), ['a unreachable→left', 'close 1 STALE', 'welcome 2', 'a new→unreachable', 'test a']);
  t.equal(rig.roster.find('a')!.registration.instance, 'i2');
  rig.register(3, 'a', 'i3');
  t.same(
    rig.say({ kind: 'closed', connection: 2, goodbye: false, reason: 'reset' }),
    ['a unreachable→left', 'welcome 3', 'a new→unreachable', 'test a'],
    'it closed meanwhile',
  );
  rig.register(4, 'a', 'i4');
  rig.say({ kind: 'closed', connection: 4, goodbye: false, reason: '' });
  t.same(rig.pass(PING_MS), [], 'who asked is gone');
});

t.test('refusals are remembered, counted, and bounded', async (t) => {
  const rig = new Rig();
  for (let n = 0; n < MAX_REFUSED + 10; n += 1) {
    rig.say({ kind: 'refused', from: `10.0.${n >> 8}.${n & 255}`, code: 'NOT_A_MEMBER', message: 'x'.repeat(1000) });
  }
  t.same(rig.say({ kind: 'refused', from: '10.0.0.200', code: 'NOT_A_MEMBER', message: 'again' }), [
    'refused NOT_A_MEMBER 2',
  ]);
  const refused = [...rig.roster.refused()];
  t.equal(refused.length, MAX_REFUSED);
  t.match(refused.at(-1), { address: '10.0.0.200', count: 2, message: 'again' });
  t.ok(refused.every(({ message }) => message.length <= 300));
  t.equal(rig.roster.counts().rejected, MAX_REFUSED);
});

t.test('several hosts behind one address are told apart, up to a bound', async (t) => {
  const rig = new Rig();
  const refuse = (host: string, from = '10.0.0.1') =>
    rig.say({ kind: 'refused', from, who: { host, peer: `peer-${host}` }, code: 'NOT_A_MEMBER', message: 'no' });
  refuse('other', '10.0.0.2');
  t.same(refuse('one'), ['refused NOT_A_MEMBER 1']);
  t.same(refuse('two'), ['refused NOT_A_MEMBER 1']);
  t.same(refuse('one'), ['refused NOT_A_MEMBER 2']);
  t.match([...rig.roster.refused()].at(-1), { host: 'one', peer: 'peer-one' });
  for (let n = 0; n < 1000; n += 1) refuse(`made-up-${n}`);
  t.equal(rig.roster.counts().rejected, MAX_HOSTS_PER_ADDRESS + 2);
  t.match([...rig.roster.refused()][0], { host: 'other' }, 'nobody else was pushed out');
});

t.test('a port that is closed later is noticed though nobody has trouble with it', async (t) => {
  const rig = new Rig();
  rig.register(1, 'a');
  rig.tested('a', 'a:65002');
  const beat = (): string[] => {
    rig.heard(1);
    return rig.pass(HEARTBEAT_MS);
  };
  for (let passed = HEARTBEAT_MS; passed < READY_TEST_MS; passed += HEARTBEAT_MS) t.same(beat(), []);
  t.same(beat(), ['test a']);
  t.same(rig.tested('a', undefined), ['a ready→unreachable']);
});

t.test('whom to ask: those of the same zone first, never oneself, no more than asked for', async (t) => {
  const rig = new Rig();
  for (let n = 0; n < 40; n += 1) {
    rig.register(n, `peer-${n}`, 'i1', { zone: n < 5 ? 'near' : 'far' });
    rig.tested(`peer-${n}`, 'x:1');
  }
  const some = rig.roster.some('near', 'peer-0', 10).map((member) => member.registration.peer);
  t.equal(new Set(some).size, 10);
  t.notOk(some.includes('peer-0'));
  t.same(some.slice(0, 4).sort(), ['peer-1', 'peer-2', 'peer-3', 'peer-4']);
});

t.test('whatever happens, in whatever order, the roster is of one mind', async () => {
  const peer = fc.constantFrom('a', 'b', 'c');
  const step = fc.oneof(
    fc.record({
      do: fc.constant('register' as const),
      peer,
      instance: fc.constantFrom('i1', 'i2'),
      zone: fc.constantFrom('', 'z'),
    }),
    fc.record({ do: fc.constant('heard' as const), connection: fc.nat(30) }),
    fc.record({ do: fc.constant('closed' as const), connection: fc.nat(30) }),
    fc.record({ do: fc.constant('tested' as const), peer, instance: fc.constantFrom('i1', 'i2'), ok: fc.boolean() }),
    fc.record({ do: fc.constant('trouble' as const), peer }),
    fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(1, 500, 1000, 6000, 20_000, 70_000) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const roster = new Roster({ heartbeatMs: HEARTBEAT_MS, random: () => 0.5 });
      const open = new Set<number>();
      /** By state notices alone: what the swarm is told. */
      const states = new Map<string, string>();
      let now = 0;
      let connection = 0;
      const take = (notices: readonly RosterNotice[]) => {
        for (const notice of notices) {
          if (notice.kind === 'reject' || notice.kind === 'close') open.delete(notice.connection);
          if (notice.kind === 'welcome' && !open.has(notice.connection)) throw new Error('a welcome to nobody');
          if (notice.kind === 'state') {
            const { peer } = notice.member.registration;
            const before = states.get(peer);
            const isNews = before === undefined || before === 'left';
            if (notice.was === undefined ? !isNews : notice.was !== before)
              throw new Error(`${peer} was ${before}, not ${notice.was}`);
            states.set(peer, notice.member.state);
          }
        }
      };
      for (const one of steps) {
        if (one.do === 'register') {
          connection += 1;
          open.add(connection);
          const about = registration(one.peer, one.instance, { zone: one.zone });
          take(roster.apply({ kind: 'register', connection, from: 'x', registration: about }, now));
        } else if (one.do === 'heard') take(roster.apply({ kind: 'heard', connection: one.connection }, now));
        else if (one.do === 'closed') {
          open.delete(one.connection);
          take(roster.apply({ kind: 'closed', connection: one.connection, goodbye: false, reason: 'x' }, now));
        } else if (one.do === 'tested') {
          const result = one.ok ? { address: 'x:1' } : { error: 'no' };
          const { peer, instance } = one;
          take(roster.apply({ kind: 'tested', peer, instance, addresses: [`${peer}:65002`], result }, now));
        } else if (one.do === 'trouble') take(roster.apply({ kind: 'trouble', peer: one.peer }, now));
        else {
          now += one.ms;
          take(roster.tick(now));
        }
        const connections = new Set<number>();
        for (const member of roster.members()) {
          if (states.get(member.registration.peer) !== member.state) throw new Error('a state that was not told');
          if ((member.connection === undefined) !== (member.state === 'left')) throw new Error('left, or not?');
          if (member.connection === undefined) continue;
          if (!open.has(member.connection)) throw new Error('a member on a closed connection');
          if (connections.has(member.connection)) throw new Error('two members on one connection');
          connections.add(member.connection);
        }
        const ready = [...roster.members()].filter((member) => member.state === 'ready').length;
        if (roster.some('z', '', 99).length !== ready || roster.counts().ready !== ready)
          throw new Error('who is ready?');
      }
    }),
    { numRuns: 400 },
  );
});
