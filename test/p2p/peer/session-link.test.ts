import t from 'tap';
import type { ByteTotals } from '../../../src/base/metrics.ts';
import { SessionLink, type LinkListener } from '../../../src/p2p/peer/session-link.ts';
import { stepOf } from '../../../src/p2p/peer/session-errors.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { ScriptedSupernode, turns } from '../../support/scripted-supernode.ts';
import { SECRET } from '../../support/swarm-rig.ts';

interface Rig {
  readonly hold?: boolean;
  readonly clock?: ManualClock;
  readonly bytes?: () => ByteTotals;
}

function rig({ hold = false, clock = new ManualClock(), bytes }: Rig = {}) {
  const events: string[] = [];
  let error: Error | undefined;
  const supernode = new ScriptedSupernode();
  const listener: LinkListener = {
    opened: () => void events.push('opened'),
    message: (_link, { t }) => void events.push(t),
    ended: (_link, because) => {
      events.push('ended');
      error = because;
    },
    held: () => void events.push('held'),
    doubted: (_link, inDoubt) => void events.push(inDoubt ? 'in doubt' : 'trusted'),
    paused: (_link, ms) => void events.push(`paused ${ms}`),
  };
  const link = new SessionLink({
    address: 'x:1',
    socket: supernode.near,
    self: {
      peer: 'peer-a-00',
      instance: 'instance-1',
      version: '1',
      host: 'a',
      addresses: [],
      zone: '',
      ...(bytes && { bytes }),
    },
    membership: new Membership(SECRET),
    clock,
    listener,
    hold,
  });
  const open = async (welcome: Parameters<ScriptedSupernode['welcome']>[0] = {}) => {
    supernode.challenge();
    await turns();
    if (hold) link.hello();
    await turns();
    supernode.welcome(welcome);
    await turns();
  };
  const answer = async () => {
    supernode.say({ t: 'beat', n: supernode.last('beat')!.n, time: clock.now() });
    await turns();
  };
  return { clock, events, supernode, link, open, answer, error: () => error };
}

t.test('one that is held says hello when it is told to, and goodbye where it is not', async (t) => {
  const held = rig({ hold: true });
  await held.open();
  t.same(held.events, ['held', 'opened']);
  const left = rig({ hold: true });
  left.link.hello();
  left.supernode.challenge();
  await turns();
  t.equal(left.link.epoch, 'epoch-01');
  t.equal(left.supernode.got.length, 0);
  left.link.goodbye('enough');
  await turns();
  t.match(left.supernode.got, [{ t: 'bye' }]);
  t.ok(left.supernode.isClosed);
  t.equal(left.clock.waiting, 0);
  left.link.hello();
  const incompatible = rig({ hold: true });
  incompatible.supernode.challenge({ protocol: '7.0' });
  await turns();
  t.match(incompatible.error(), { code: 'PROTOCOL_VERSION' }, 'it is not held in vain');
});

t.test('each step of its opening has a time limit and an error of its own', async (t) => {
  const mute = rig();
  await mute.clock.advance(5000);
  t.match(mute.error(), { code: 'SUPERNODE_SILENT', message: /first message/ });
  t.equal(stepOf(mute.error()), 'challenge');
  const asked = rig();
  asked.supernode.challenge();
  await turns();
  await asked.clock.advance(5000);
  t.match(asked.error(), { code: 'SUPERNODE_SILENT', message: /answer to its registration/ });
  t.equal(stepOf(asked.error()), 'welcome');
  const cut = rig();
  cut.supernode.challenge();
  await turns();
  cut.supernode.close();
  await turns();
  t.match(cut.error(), { code: 'SUPERNODE_LOST', message: /waited for an answer to its registration/ });
  const refused = rig();
  refused.supernode.challenge();
  await turns();
  refused.supernode.say({ t: 'reject', code: 'BAD_ADDRESS', message: 'no' });
  await turns();
  t.equal(stepOf(refused.error()), 'welcome');
  for (const { clock } of [mute, asked, cut, refused]) t.equal(clock.waiting, 0);
});

t.test('an unanswered beat is a doubt, three are the end', async (t) => {
  const { clock, events, open, answer, error, supernode } = rig();
  await open({ heartbeatMs: 1000 });
  await clock.advance(1000);
  await answer();
  await clock.advance(1000);
  await clock.advance(499);
  t.same(events, ['opened', 'beat']);
  await clock.advance(1);
  t.same(events.splice(0), ['opened', 'beat', 'in doubt']);
  await answer();
  t.same(events.splice(0), ['trusted', 'beat']);
  await clock.advance(500);
  t.equal(supernode.got.filter(({ t }) => t === 'beat').length, 3);
  await clock.advance(2499);
  t.same(events.splice(0), ['in doubt']);
  await clock.advance(1);
  t.same(events, ['ended'], 'three heartbeats after it was last heard of, to the millisecond');
  t.match(error(), { code: 'SUPERNODE_SILENT', message: /3000 ms \(waiting for a heartbeat\)/ });
  t.equal(clock.waiting, 0);
});

t.test('a supernode cannot make it beat without end', async (t) => {
  const { clock, open, supernode } = rig();
  await open({ heartbeatMs: 0 });
  await clock.advance(1000);
  await turns();
  t.ok(supernode.got.filter(({ t }) => t === 'beat').length <= 10);
});

t.test('after a pause the session is checked before it is judged', async (t) => {
  const fine = rig();
  await fine.open();
  fine.clock.stall(30_000);
  await fine.clock.advance(0);
  t.same(fine.events.splice(0), ['opened', 'paused 25000'], 'not the end: nothing could be read meanwhile');
  await turns();
  t.equal(fine.supernode.got.at(-1)!.t, 'beat', 'asked at once');
  await fine.answer();
  await fine.clock.advance(4000);
  t.same(fine.events.splice(0), ['beat']);

  const dead = rig();
  await dead.open();
  dead.clock.stall(30_000);
  await dead.clock.advance(0);
  await dead.clock.advance(1000);
  t.same(dead.events.splice(0), ['opened', 'paused 25000', 'in doubt']);
  await dead.clock.advance(2000);
  t.same(dead.events.splice(0), ['ended'], 'seconds later, not heartbeats');

  // A machine that sleeps takes its monotonic clock with it.
  const slept = rig();
  await slept.open();
  slept.clock.set(3_600_000);
  await slept.clock.advance(5000);
  t.same(slept.events, ['opened', 'paused 3600000']);
});

t.test('the clocks are compared at the welcome and by beats, less half of the way', async (t) => {
  const clock = new ManualClock();
  const { link, open, supernode } = rig({ clock });
  t.ok(Number.isNaN(link.clockSkewMs));
  await open({ time: clock.now() - 40_000 });
  t.equal(link.clockSkewMs, 40_000);
  await clock.advance(5000);
  await turns();
  const { n } = supernode.last('beat')!;
  await clock.advance(200);
  supernode.say({ t: 'beat', n, time: clock.now() - 100 + 7000 });
  await turns();
  t.equal(link.rttMs, 200);
  t.equal(link.clockSkewMs, -7000);
  supernode.say({ t: 'beat', n: n - 1, time: 0 });
  await turns();
  t.equal(link.clockSkewMs, -7000, 'the answer to an earlier beat is no measure');
});

t.test('each beat tells the bytes as they are then', async (t) => {
  let store = 1;
  const { supernode, clock, open, answer } = rig({ bytes: () => [store, 2, 3, 4] });
  await open({ heartbeatMs: 1000 });
  await clock.advance(1000);
  t.same(supernode.last('beat')!.bytes, [1, 2, 3, 4]);
  await answer();
  store = 10;
  await clock.advance(1000);
  t.same(supernode.last('beat')!.bytes, [10, 2, 3, 4]);
});
