import t from 'tap';
import { Pulse } from '../../../src/p2p/supernode/pulse.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { turn } from './session-rig.ts';

function rig() {
  const clock = new ManualClock();
  const did: string[] = [];
  const state = { dueAt: 100, everyMs: 100, fails: false };
  const pulse = new Pulse({
    clock,
    now: () => clock.monotonic(),
    dueAt: () => state.dueAt,
    tick: (now) => {
      did.push(`tick ${now}`);
      if (state.fails) throw new Error('a fault');
      state.dueAt = now + state.everyMs;
    },
    flush: () => did.push('flush'),
    fault: (error) => did.push(String(error)),
  });
  return { clock, pulse, state, take: () => did.splice(0) };
}

t.test('one timer for all that is due, each time for what is due next', async (t) => {
  const { clock, pulse, take } = rig();
  pulse.schedule();
  pulse.schedule();
  t.equal(clock.waiting, 1);
  await clock.advance(99);
  t.same(take(), []);
  await clock.advance(1);
  t.same(take(), ['tick 100']);
  await clock.advance(200);
  t.same(take(), ['tick 200', 'tick 300']);
});

t.test('what is due earlier than it was moves the timer; later than it was it does not', async (t) => {
  const { clock, pulse, state, take } = rig();
  pulse.schedule();
  state.dueAt = 50;
  pulse.schedule();
  t.equal(clock.waiting, 1, 'the other one is off');
  await clock.advance(50);
  t.same(take(), ['tick 50']);
  state.dueAt = 1000;
  pulse.schedule();
  await clock.advance(100);
  t.same(take(), ['tick 150'], 'too early does no harm');
});

t.test('what is due at once comes before what this turn has brought about is sent, and both once', async (t) => {
  const { pulse, state, take } = rig();
  state.dueAt = 0;
  pulse.schedule();
  pulse.schedule();
  pulse.flushSoon();
  t.same(take(), [], 'not before the other messages of this turn');
  await turn();
  t.same(take(), ['tick 0', 'flush']);
  await turn();
  t.same(take(), []);
  pulse.flushSoon();
  await turn();
  t.same(take(), ['flush'], 'nothing is due');
});

t.test('what throws is a fault, of the timer and of the flush', async (t) => {
  const { clock, pulse, state, take } = rig();
  state.fails = true;
  pulse.schedule();
  await clock.advance(100);
  t.same(take(), ['tick 100', 'Error: a fault']);
  pulse.flushSoon();
  await turn();
  t.same(take(), ['tick 100', 'Error: a fault'], 'what it was to send is not sent');
});

t.test('stopped: nothing is called any more, not even what was due already', async (t) => {
  const { clock, pulse, take } = rig();
  pulse.schedule();
  pulse.flushSoon();
  pulse.stop();
  t.equal(clock.waiting, 0);
  await turn();
  pulse.schedule();
  pulse.flushSoon();
  await clock.advance(1000);
  t.same(take(), []);
});
