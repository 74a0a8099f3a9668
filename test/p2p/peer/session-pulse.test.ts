import t from 'tap';
import { SessionPulse } from '../../../src/p2p/peer/session-pulse.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const HEARTBEAT_MS = 1000;

function start(heartbeatMs = HEARTBEAT_MS) {
  const clock = new ManualClock();
  const events: string[] = [];
  const pulse: SessionPulse = new SessionPulse(clock, heartbeatMs, {
    beat: (n) => void events.push(`beat ${n}`),
    doubted: (inDoubt) => void events.push(inDoubt ? 'in doubt' : 'trusted'),
    paused: (ms) => void events.push(`paused ${ms}`),
    silent: (waitedMs) => void events.push(`silent ${waitedMs}`),
  });
  pulse.start();
  return { clock, pulse, take: () => events.splice(0) };
}

t.test('beats, and measures the answer to the last one', async (t) => {
  const { clock, pulse, take } = start();
  t.equal(pulse.answered(0), undefined, 'nothing was asked yet');
  await clock.advance(HEARTBEAT_MS - 1);
  t.same(take(), []);
  await clock.advance(1);
  t.same(take(), ['beat 1']);
  await clock.advance(30);
  pulse.heard();
  t.equal(pulse.answered(1), 30);
  pulse.beat();
  t.equal(pulse.answered(1), undefined, 'an earlier beat');
  t.equal(pulse.answered(2), 0);
  t.same(take(), ['beat 2']);
  await clock.advance(HEARTBEAT_MS - 30);
  t.same(take(), ['beat 3'], 'one between does not put off the next');
});

t.test('an unanswered beat is a doubt, three heartbeats of silence are the end', async (t) => {
  const { clock, pulse, take } = start();
  await clock.advance(1.5 * HEARTBEAT_MS);
  t.same(take(), ['beat 1', 'in doubt']);
  pulse.heard();
  t.same(take(), ['trusted']);
  await clock.advance(3 * HEARTBEAT_MS - 1);
  t.same(take(), ['beat 2', 'in doubt', 'beat 3', 'beat 4']);
  await clock.advance(1);
  t.same(take(), ['silent 3000']);
  t.equal(clock.waiting, 0);
});

t.test('after a pause the other side has some seconds to answer', async (t) => {
  const { clock, pulse, take } = start();
  clock.stall(HEARTBEAT_MS + 2000);
  await clock.advance(0);
  t.same(take(), ['beat 1', 'paused 2000']);
  pulse.heard();
  await clock.advance(1000);
  t.same(take(), ['beat 2']);
  clock.set(3_600_000);
  await clock.advance(500);
  t.same(take(), ['beat 3', 'paused 3600000'], 'the machine slept, and its monotonic clock with it');
  await clock.advance(3000);
  t.same(take(), ['beat 4', 'in doubt', 'beat 5', 'silent 4500']);
});

t.test('a little late is no pause', async (t) => {
  const { clock, take } = start();
  clock.stall(HEARTBEAT_MS + 1999);
  await clock.advance(0);
  t.same(take(), ['beat 1']);
});

t.test('stopped, also by who is told, it is still', async (t) => {
  const { clock, pulse, take } = start();
  pulse.stop();
  t.equal(clock.waiting, 0);
  const events: string[] = [];
  const other: SessionPulse = new SessionPulse(clock, HEARTBEAT_MS, {
    beat: () => {
      events.push('beat');
      other.stop();
    },
    doubted: () => undefined,
    paused: () => undefined,
    silent: () => undefined,
  });
  other.start();
  await clock.advance(10 * HEARTBEAT_MS);
  t.same(events, ['beat']);
  t.same(take(), []);
  t.equal(clock.waiting, 0);
});

t.test('it does not beat without end, whatever it is asked for', async (t) => {
  const { clock, pulse, take } = start(0);
  for (let n = 0; n < 10; n += 1) {
    await clock.advance(100);
    pulse.heard();
  }
  t.equal(take().filter((event) => event.startsWith('beat')).length, 10);
});
