import t from 'tap';
import { BRIDGE_MS, LACKS_MS } from '../../../src/p2p/peer/bridge.ts';
import { TicketSilence } from '../../../src/p2p/peer/ticket-silence.ts';
import type { CoordinatorLink } from '../../../src/p2p/peer/remote-coordinator.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const LONG_MS = 2000;
const SHORT_MS = 150;

/** A ticket that has nothing to do, unless the test says so. */
function start() {
  const clock = new ManualClock();
  const link: CoordinatorLink = { epoch: 'epoch-01', rttMs: 1, send: () => undefined };
  const host: { link: CoordinatorLink | undefined; lostAt: number } = { link, lostAt: Number.NEGATIVE_INFINITY };
  const waiter = { idle: true, urgent: false, givers: false, asked: 0, alone: 0 };
  const silence: TicketSilence = new TicketSilence(
    {
      clock,
      get link() {
        return host.link;
      },
      get lostAt() {
        return host.lostAt;
      },
      silenceMs: (isSmall) => (isSmall ? SHORT_MS : LONG_MS),
    },
    {
      isIdle: () => waiter.idle,
      isUrgent: () => waiter.urgent,
      mayBridge: () => waiter.givers,
      fetchBy: () => void (waiter.asked += 1),
      goAlone: () => {
        waiter.alone += 1;
        silence.end();
      },
    },
  );
  return { clock, host, waiter, silence };
}

t.test('who has nothing to do for too long goes alone, once', async (t) => {
  const { clock, silence, waiter } = start();
  silence.watch();
  await clock.advance(LONG_MS / 2);
  silence.watch();
  await clock.advance(LONG_MS / 2 - 1);
  t.equal(waiter.alone, 0);
  await clock.advance(1);
  t.equal(waiter.alone, 1, 'by the time when it began');
  await clock.advance(10 * LONG_MS);
  t.equal(waiter.alone, 1);
  t.equal(clock.waiting, 0);
});

t.test('each word, and each thing to do, gives the supernode its time again', async (t) => {
  const { clock, silence, waiter } = start();
  const words = [
    () => silence.heard(),
    () => silence.given(),
    () => silence.toldToWait(),
    () => {
      waiter.idle = false;
      silence.watch();
      waiter.idle = true;
    },
  ];
  for (const word of words) {
    silence.watch();
    await clock.advance(LONG_MS - 1);
    word();
    t.equal(clock.waiting, 0);
  }
  silence.watch();
  await clock.advance(LONG_MS - 1);
  t.equal(waiter.alone, 0);
  silence.end();
  await clock.advance(LONG_MS);
  t.equal(waiter.alone, 0, 'nor after the end');
});

t.test('what it gets to do without a word is looked at before the verdict', async (t) => {
  const { clock, silence, waiter } = start();
  silence.watch();
  waiter.idle = false;
  await clock.advance(LONG_MS);
  t.equal(waiter.alone, 0);
});

t.test('a small thing waits a moment only, unless it was told to wait', async (t) => {
  const { clock, silence, waiter } = start();
  waiter.urgent = true;
  silence.watch();
  await clock.advance(SHORT_MS);
  t.equal(waiter.alone, 1);
  silence.toldToWait();
  silence.watch();
  await clock.advance(LONG_MS - 1);
  t.equal(waiter.alone, 1);
  silence.given();
  silence.watch();
  await clock.advance(SHORT_MS);
  t.equal(waiter.alone, 2, 'after it was given something, silence is silence again');
  silence.toldToWait();
  silence.joined();
  silence.watch();
  await clock.advance(SHORT_MS);
  t.equal(waiter.alone, 3, 'and so it is at the next supernode');
});

t.test('with no session, its end counts, and what has waited since before is not waited for twice', async (t) => {
  const { clock, host, silence, waiter } = start();
  host.link = undefined;
  silence.watch();
  t.equal(waiter.alone, 1, 'there never was one');
  host.lostAt = clock.monotonic();
  await clock.advance(LONG_MS - 500);
  silence.watch();
  await clock.advance(499);
  t.equal(waiter.alone, 1);
  await clock.advance(1);
  t.equal(waiter.alone, 2);
});

t.test('a supernode that comes back has all of its time, not what the last one left', async (t) => {
  const { clock, host, silence, waiter } = start();
  const { link } = host;
  silence.watch();
  host.link = undefined;
  host.lostAt = clock.monotonic();
  silence.watch();
  await clock.advance(LONG_MS - 1);
  host.link = link;
  silence.joined();
  silence.watch();
  await clock.advance(LONG_MS - 1);
  t.equal(waiter.alone, 0);
  await clock.advance(1);
  t.equal(waiter.alone, 1);
});

t.test('this process did not run: the supernode has its time once more', async (t) => {
  const { clock, silence, waiter } = start();
  silence.watch();
  clock.stall(2 * LONG_MS);
  await clock.advance(LONG_MS - 1);
  t.equal(waiter.alone, 0);
  await clock.advance(1);
  t.equal(waiter.alone, 1);
});

t.test('givers are asked before it goes alone, now and then, for a while', async (t) => {
  const { clock, silence, waiter } = start();
  waiter.givers = true;
  silence.watch();
  t.equal(silence.bridge, undefined);
  await clock.advance(LONG_MS);
  t.ok(silence.bridge);
  t.equal(waiter.asked, 1);
  for (let n = 1; (n + 1) * LACKS_MS <= BRIDGE_MS; n += 1) {
    await clock.advance(LACKS_MS - 1);
    silence.watch();
    await clock.advance(1);
    t.match(waiter, { asked: 1 + 2 * n, alone: 0 }, 'a look between does not put off the next');
  }
  await clock.advance(LACKS_MS);
  t.equal(waiter.alone, 1);
  t.equal(silence.bridge, undefined);
});

t.test('a word ends the bridge, and so does a supernode that is there again', async (t) => {
  for (const word of ['heard', 'given', 'toldToWait', 'endBridge', 'end'] as const) {
    const { clock, silence, waiter } = start();
    waiter.givers = true;
    silence.watch();
    await clock.advance(LONG_MS);
    t.ok(silence.bridge);
    silence[word]();
    t.equal(silence.bridge, undefined, word);
  }
});
