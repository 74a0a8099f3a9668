import t from 'tap';
import { afterSilence } from '../../../src/p2p/peer/after-silence.ts';
import { ManualClock } from '../../support/manual-clock.ts';

function start(ms: number) {
  const clock = new ManualClock();
  const verdicts: boolean[] = [];
  const heard = afterSilence(clock, ms, (wasPaused) => verdicts.push(wasPaused));
  return { clock, verdicts, heard };
}

t.test('silence is found when its time is over, once', async (t) => {
  const { clock, verdicts } = start(100);
  await clock.advance(99);
  t.same(verdicts, []);
  await clock.advance(1);
  t.same(verdicts, [false]);
  await clock.advance(1000);
  t.same(verdicts, [false]);
});

t.test('who is heard in time is not silent, and leaves no timer', async (t) => {
  const { clock, verdicts, heard } = start(100);
  await clock.advance(99);
  heard();
  t.equal(clock.waiting, 0);
  await clock.advance(100);
  t.same(verdicts, []);
});

t.test('nor is one whose word lay in the socket when the time was over', async (t) => {
  const { clock, verdicts, heard } = start(100);
  // As an I/O callback of the turn in which the timer is called.
  const passed = clock.advance(100);
  heard();
  await passed;
  t.same(verdicts, []);
});

t.test('a process that did not run learns so', async (t) => {
  const late = start(100);
  late.clock.stall(100 + 500);
  await late.clock.advance(0);
  t.same(late.verdicts, [true]);
  const busy = start(100);
  busy.clock.stall(100 + 499);
  await busy.clock.advance(0);
  t.same(busy.verdicts, [false]);
});
