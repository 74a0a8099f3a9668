import t from 'tap';
import { MAX_TRIES_WITHOUT_PROGRESS, NEAR_PIECES } from '../../../src/p2p/peer/origin-reads.ts';
import { SoloCoordinator } from '../../../src/p2p/peer/solo-coordinator.ts';
import { coordinatorConformance, ScriptedProxy, settle } from '../../support/coordinator-conformance.ts';
import { ManualClock } from '../../support/manual-clock.ts';

function make() {
  const clock = new ManualClock();
  return { clock, coordinator: new SoloCoordinator({ clock, random: () => 0.5 }) };
}

coordinatorConformance(t, 'SoloCoordinator', make);

t.test('a lone proxy reads a whole blob with one read', async (t) => {
  const proxy = new ScriptedProxy(make().coordinator, 100);
  proxy.await({ first: 0, count: 100 });
  await settle();
  t.same(proxy.assignments, [{ kind: 'lease', lease: 1, run: { first: 0, count: 100 } }]);
  for (let i = 0; i < 50; i += 1) proxy.step(1);
  proxy.await({ first: 50, count: 50 }, { first: 55, count: 45 });
  await settle();
  t.equal(proxy.assignments.length, 1, 'clients near the running read wait for it');
});

t.test('what is here already is left out: one read for each gap', async (t) => {
  const proxy = new ScriptedProxy(make().coordinator, 10, [3, 4, 8]);
  proxy.await({ first: 0, count: 10 });
  await settle();
  t.match(proxy.assignments, [{ kind: 'lease', run: { first: 0, count: 3 } }]);
});

t.test('a client that waits far ahead of the running read gets a read of its own, cut off the first', async (t) => {
  const proxy = new ScriptedProxy(make().coordinator, 100);
  proxy.await({ first: 0, count: 100 });
  await settle();
  proxy.step(1);
  proxy.await({ first: 60, count: 2 }, { first: 1, count: 99 });
  await settle();
  t.same(proxy.assignments.slice(1), [
    { kind: 'cut', lease: 1, last: 59 },
    { kind: 'lease', lease: 2, run: { first: 60, count: 2 } },
  ]);
  proxy.await({ first: 1 + NEAR_PIECES, count: 1 }, { first: 1, count: 99 });
  await settle();
  t.equal(proxy.assignments.length, 3, 'one that is near waits');
});

t.test('an origin without ranges is read once, front to back, whoever waits where', async (t) => {
  const proxy = new ScriptedProxy(make().coordinator, 100);
  proxy.await({ first: 0, count: 100 });
  await settle();
  proxy.call(() => proxy.ticket.report({ kind: 'no-ranges' }));
  proxy.await({ first: 90, count: 2 }, { first: 0, count: 100 });
  await settle();
  t.equal(proxy.assignments.length, 1);
});

t.test('pieces reported out of order do not make the running read look slow', async (t) => {
  const proxy = new ScriptedProxy(make().coordinator, 100);
  proxy.await({ first: 0, count: 100 });
  await settle();
  const done = (piece: number) => proxy.ticket.report({ kind: 'piece', piece, crc32: 0, source: 'origin' });
  for (let piece = 0; piece < 20; piece += 2) proxy.call(() => [piece + 1, piece].forEach(done));
  proxy.await({ first: 0, count: 100 }, { first: 21, count: 79 });
  await settle();
  t.equal(proxy.assignments.length, 1);
});

t.test('a read that brought nothing is not begun again at once', async (t) => {
  const { coordinator, clock } = make();
  const proxy = new ScriptedProxy(coordinator, 4);
  proxy.await({ first: 0, count: 4 });
  await settle();
  proxy.end(1);
  await settle();
  t.equal(proxy.assignments.length, 1);
  await clock.advance(1000);
  await settle();
  t.equal(proxy.assignments.length, 2);
});

t.test('retries wait longer each time, obey Retry-After up to a cap, and end when nothing ever comes', async (t) => {
  const { coordinator, clock } = make();
  const proxy = new ScriptedProxy(coordinator, 4);
  proxy.await({ first: 0, count: 4 });
  await settle();
  proxy.end(1, { code: 'ORIGIN_RATE_LIMITED', final: false, retryAfterMs: 3_600_000 });
  await settle();
  await clock.advance(19_999);
  t.equal(proxy.assignments.length, 1, 'the origin asked to be left alone');
  await clock.advance(1);
  await settle();
  t.equal(proxy.assignments.length, 2, 'but not for as long as it likes');
  proxy.step(2);
  for (let tries = 1; tries <= MAX_TRIES_WITHOUT_PROGRESS; tries += 1) {
    t.notOk(proxy.gaveUp, `progress was made: try ${tries} counts from there`);
    proxy.end([...proxy.leases.keys()][0]!, { code: 'ORIGIN_CUT', final: false });
    await settle();
    await clock.advance(10_000);
    await settle();
  }
  t.ok(proxy.gaveUp);
  t.equal(proxy.leases.size, 0);
});
