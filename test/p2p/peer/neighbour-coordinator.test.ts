import fc from 'fast-check';
import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { FIRST_REST_MS, MAX_STRIKES } from '../../../src/p2p/peer/holders.ts';
import {
  MAX_FETCHES,
  MAX_FETCHES_ONE_PIECE,
  NeighbourCoordinator,
} from '../../../src/p2p/peer/neighbour-coordinator.ts';
import {
  ANSWER_MS,
  ASK_AGAIN_MS,
  OVERDUE_MS,
  OVERDUE_MS_PER_MIB,
  SMALL_ANSWER_MS,
} from '../../../src/p2p/peer/neighbour-ticket.ts';
import { MAX_TRIES_WITHOUT_PROGRESS, QUIET_MS } from '../../../src/p2p/peer/origin-reads.ts';
import type { PieceFailure, Want } from '../../../src/p2p/protocol/coordinator.ts';
import { coordinatorConformance, ScriptedProxy, settle } from '../../support/coordinator-conformance.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { ScriptedNeighbours, targetOf } from '../../support/scripted-neighbours.ts';

function make({ areKnown = true } = {}) {
  const clock = new ManualClock();
  const neighbours = new ScriptedNeighbours();
  neighbours.areKnown = areKnown;
  const coordinator = new NeighbourCoordinator({ neighbours, clock, random: () => 0.5 });
  return { clock, neighbours, coordinator };
}

/** A proxy that awaits all of a blob, and those whom it asks. */
async function start(pieceCount: number | undefined, want: Partial<Want> = {}) {
  const rig = make();
  const proxy = new ScriptedProxy(rig.coordinator, pieceCount, [], want);
  proxy.await({ first: 0, count: pieceCount ?? Number.POSITIVE_INFINITY });
  await settle();
  return { ...rig, proxy };
}

const RESET = { code: 'ORIGIN_UNREACHABLE', final: false };
const GONE = { code: 'ORIGIN_NOT_FOUND', final: true };

coordinatorConformance(t, 'NeighbourCoordinator that knows nobody', () => make({ areKnown: false }));

/** Everybody answers at once that he does not have it. */
coordinatorConformance(t, 'NeighbourCoordinator whose neighbours have nothing', () => {
  const clock = new ManualClock();
  const neighbours = { find: () => Promise.resolve(), failed: () => undefined };
  return { clock, coordinator: new NeighbourCoordinator({ neighbours, clock, random: () => 0.5 }) };
});

t.test('where nobody is known the origin is read at once, as by a proxy that is alone', async (t) => {
  const { coordinator, neighbours, clock } = make({ areKnown: false });
  const proxy = new ScriptedProxy(coordinator, 100);
  proxy.await({ first: 0, count: 100 });
  await settle();
  t.same(proxy.assignments, [{ kind: 'lease', lease: 1, run: { first: 0, count: 100 } }]);
  t.equal(neighbours.searches.length, 1);
  proxy.step(1);
  await clock.advance(60_000);
  t.equal(proxy.assignments.length, 1);
});

t.test('nothing is asked while nothing is missing', async (t) => {
  const { coordinator, neighbours } = make();
  const proxy = new ScriptedProxy(coordinator, 3, [0, 1, 2]);
  await settle();
  proxy.await({ first: 0, count: 3 });
  await settle();
  t.same(neighbours.searches, []);
  t.same(proxy.assignments, []);
});

t.test(
  'who has it gives it: spread over the holders, in the order in which it is awaited, four at a time',
  async (t) => {
    const { proxy, neighbours } = await start(10, { holders: [targetOf('giver')] });
    t.match(neighbours.searches, [{ digest: digestOf('a blob'), first: [targetOf('giver')], thorough: false }]);
    t.same(proxy.assignments, [], 'the origin waits');
    proxy.await({ first: 7, count: 2 }, { first: 0, count: 10 });
    neighbours.found('peer-a', 'peer-b');
    await settle();
    t.same(
      proxy.assignments.map((fetch) => fetch.kind === 'fetch' && [fetch.piece, fetch.from.peer, fetch.crc32]),
      [
        [7, 'peer-a', undefined],
        [8, 'peer-b', undefined],
        [0, 'peer-a', undefined],
        [1, 'peer-b', undefined],
      ],
    );
    neighbours.end();
    while (proxy.fetches.size > 0) {
      t.ok(proxy.fetches.size <= MAX_FETCHES);
      proxy.give(proxy.fetches.keys().next().value!);
      await settle();
    }
    t.equal(proxy.held.size, 10);
    t.equal(proxy.assignments.length, 10, 'and nothing came from the origin');
  },
);

t.test('with no answer within a moment the origin is read', async (t) => {
  for (const [pieceCount, ms] of [
    [10, ANSWER_MS],
    [1, SMALL_ANSWER_MS],
    [undefined, SMALL_ANSWER_MS],
  ] as const) {
    const { proxy, clock } = await start(pieceCount);
    await clock.advance(ms - 1);
    t.same(proxy.assignments, []);
    await clock.advance(1);
    t.match(proxy.assignments, [{ kind: 'lease', run: { first: 0 } }], `${pieceCount}`);
  }
  const { proxy, neighbours } = await start(10);
  neighbours.end();
  await settle();
  t.match(proxy.assignments, [{ kind: 'lease' }], 'nor is anybody waited for who has said no');
});

t.test('a holder that is found later takes over what the read has not reached', async (t) => {
  const { proxy, neighbours, clock } = await start(10);
  await clock.advance(ANSWER_MS);
  proxy.step(1);
  neighbours.found('peer-a');
  await settle();
  t.same(proxy.assignments.slice(1, 3), [
    { kind: 'cut', lease: 1, last: 1 },
    { kind: 'fetch', piece: 2, from: targetOf('peer-a'), crc32: undefined },
  ]);
  proxy.step(1);
  proxy.end(1);
  while (proxy.fetches.size > 0) {
    proxy.give(proxy.fetches.keys().next().value!);
    await settle();
  }
  t.equal(proxy.held.size, 10);
  t.equal(proxy.assignments.filter(({ kind }) => kind === 'lease').length, 1);
});

t.test('of a read of which nothing has come, all is taken over', async (t) => {
  const { proxy, neighbours, clock } = await start(1);
  await clock.advance(SMALL_ANSWER_MS);
  neighbours.found('peer-a');
  await settle();
  t.match(proxy.assignments.slice(1), [
    { kind: 'cut', lease: 1, last: -1 },
    { kind: 'fetch', piece: 0 },
  ]);
});

t.test('a blob of unknown size: its first piece is fetched beside a read that does not begin', async (t) => {
  const { proxy, neighbours, clock } = await start(undefined);
  await clock.advance(SMALL_ANSWER_MS);
  neighbours.found('peer-a');
  await settle();
  t.match(proxy.assignments.slice(1), [{ kind: 'fetch', piece: 0 }]);
  proxy.call(() => proxy.ticket.report({ kind: 'pieces', pieceCount: 3, size: 3 * 2 ** 20 }));
  await settle();
  t.match(proxy.assignments.slice(2), [
    { kind: 'cut', lease: 1, last: -1 },
    { kind: 'fetch', piece: 1 },
    { kind: 'fetch', piece: 2 },
  ]);
});

t.test('an origin without ranges that gives is not left', async (t) => {
  const { proxy, neighbours, clock } = await start(10);
  await clock.advance(ANSWER_MS);
  proxy.call(() => proxy.ticket.report({ kind: 'no-ranges' }));
  proxy.step(1);
  neighbours.found('peer-a');
  await settle();
  t.equal(proxy.assignments.length, 1);
  await clock.advance(QUIET_MS);
  t.match(proxy.assignments.slice(1), [{ kind: 'cut', lease: 1, last: 0 }, { kind: 'fetch', piece: 1 }, {}, {}, {}]);
});

t.test('a silent origin gives way to holders, also to such as have failed before', async (t) => {
  const { proxy, neighbours, clock } = await start(4);
  neighbours.found('peer-a');
  neighbours.end();
  await settle();
  for (const piece of [0, 1, 2, 3]) proxy.fail(piece, 'timeout');
  await settle();
  t.match(proxy.assignments.slice(4), [{ kind: 'lease', run: { first: 0, count: 4 } }], 'the origin is better');
  t.same(neighbours.failures, ['peer-a', 'peer-a', 'peer-a', 'peer-a']);
  proxy.step(1);
  await clock.advance(QUIET_MS - 1);
  t.equal(proxy.assignments.length, 5);
  await clock.advance(1);
  t.match(proxy.assignments.slice(5), [{ kind: 'cut', lease: 1, last: 0 }, { kind: 'fetch', piece: 1 }, {}, {}]);
  for (const piece of [1, 2, 3]) proxy.give(piece);
  t.equal(proxy.held.size, 4);
});

t.test('a silent origin, and nobody who has it: everybody is asked, now and then', async (t) => {
  const { proxy, neighbours, clock } = await start(4);
  neighbours.end();
  await settle();
  proxy.step(1);
  await clock.advance(QUIET_MS);
  t.match(neighbours.searches.slice(1), [{ thorough: true }]);
  neighbours.end();
  await settle();
  await clock.advance(ASK_AGAIN_MS - 1);
  proxy.end(1, RESET);
  await settle();
  t.equal(neighbours.searches.length, 2);
  await clock.advance(1000);
  proxy.end(2, RESET);
  await settle();
  t.equal(neighbours.searches.length, 3);
  t.equal(proxy.gaveUp, false);
});

t.test('who is busy rests, longer each time; others are asked, else the origin', async (t) => {
  const { proxy, neighbours, clock } = await start(10);
  neighbours.found('peer-a', 'peer-b');
  neighbours.end();
  await settle();
  proxy.fail(0, 'busy');
  await settle();
  t.match(proxy.assignments.at(-1), { kind: 'fetch', piece: 0, from: { peer: 'peer-b' } });
  t.same(neighbours.failures, [], 'it is no fault');
  for (const piece of [0, 1, 3]) proxy.fail(piece, 'busy');
  await settle();
  t.match(proxy.assignments.at(-1), { kind: 'lease', run: { first: 0, count: 2 } }, 'up to what is on its way');
  proxy.step(1);
  await clock.advance(FIRST_REST_MS);
  t.match(proxy.assignments.at(-1), { kind: 'fetch' });
});

t.test('who has evicted it, or gives something else, is not asked again', async (t) => {
  const { proxy, neighbours, clock } = await start(4);
  neighbours.found('peer-a', 'peer-b');
  neighbours.end();
  await settle();
  proxy.fail(0, 'gone');
  proxy.fail(1, 'bad');
  for (const piece of [2, 3]) proxy.give(piece);
  await settle();
  t.match(proxy.assignments.at(-1), { kind: 'lease', run: { first: 0, count: 2 } });
  proxy.end(1, RESET);
  await settle();
  t.match(neighbours.searches[1], { thorough: true, except: new Set(['peer-b']) });
  neighbours.found('peer-b', 'peer-a');
  await settle();
  t.same([...proxy.fetches.values()], [targetOf('peer-a'), targetOf('peer-a')]);
  await clock.advance(1);
});

t.test('a piece that does not come is written off, and who was to give it is doubted', async (t) => {
  const { proxy, neighbours, clock } = await start(2);
  neighbours.found('peer-a');
  neighbours.end();
  await settle();
  await clock.advance(OVERDUE_MS + OVERDUE_MS_PER_MIB - 1);
  t.equal(proxy.assignments.length, 2);
  await clock.advance(1);
  t.match(proxy.assignments.slice(2), [{ kind: 'lease', run: { first: 0, count: 2 } }]);
  t.same(neighbours.failures, ['peer-a', 'peer-a']);
  proxy.give(0);
  proxy.fail(1, 'timeout');
  await settle();
  t.equal(proxy.assignments.length, 3, 'what becomes of it later changes nothing');
});

t.test('the origin fails for good: a holder that is found then gives it all', async (t) => {
  const { proxy, neighbours, clock } = await start(4);
  neighbours.end();
  await settle();
  proxy.end(1, GONE);
  await settle();
  t.notOk(proxy.gaveUp);
  neighbours.found('peer-a');
  neighbours.end();
  await settle();
  for (const piece of [0, 1, 2]) proxy.give(piece);
  proxy.fail(3, 'reset');
  await settle();
  // What has come meanwhile is worth another try of the origin, and then of the peer.
  t.match(proxy.assignments.at(-1), { kind: 'lease', run: { first: 3, count: 1 } });
  proxy.end(2, GONE);
  await clock.advance(FIRST_REST_MS);
  t.match(proxy.assignments.at(-1), { kind: 'fetch', piece: 3 });
  proxy.give(3);
  t.equal(proxy.held.size, 4);
  await clock.advance(60_000);
  t.notOk(proxy.gaveUp);
});

t.test('when neither the origin nor any holder gives, it is given up, after a bounded number of tries', async (t) => {
  const { proxy, neighbours, clock } = await start(1);
  neighbours.found('peer-a');
  neighbours.end();
  let fetches = 0;
  for (let turn = 0; turn < 1000 && !proxy.gaveUp; turn += 1) {
    await settle();
    for (const piece of proxy.fetches.keys()) {
      fetches += 1;
      proxy.fail(piece, 'reset');
    }
    for (const lease of proxy.leases.keys()) proxy.end(lease, RESET);
    while (neighbours.open > 0) neighbours.end();
    await clock.advance(100);
  }
  t.ok(proxy.gaveUp);
  t.equal(fetches, MAX_STRIKES);
  const leases = proxy.assignments.filter(({ kind }) => kind === 'lease').length;
  t.ok(leases <= MAX_TRIES_WITHOUT_PROGRESS, `${leases} tries of the origin`);
  t.ok(neighbours.searches.length <= 2 + clock.monotonic() / ASK_AGAIN_MS, `${neighbours.searches.length} searches`);
});

t.test('a new client’s waiting is worth another try of the origin', async (t) => {
  const { proxy, neighbours } = await start(4);
  neighbours.end();
  await settle();
  proxy.end(1, GONE);
  await settle();
  t.equal(neighbours.open, 1, 'the last resort is asked');
  proxy.await({ first: 0, count: 4 });
  await settle();
  t.match(proxy.assignments.at(-1), { kind: 'lease', lease: 2 });
});

t.test('blobs share the slots evenly; one more is there for a small one', async (t) => {
  const { coordinator, neighbours } = make();
  const proxies = [new ScriptedProxy(coordinator, 10), new ScriptedProxy(coordinator, 10)];
  for (const proxy of proxies) {
    proxy.await({ first: 0, count: 10 });
    await settle();
    neighbours.found('peer-a');
    neighbours.end();
    await settle();
  }
  const sizes = () => proxies.map(({ fetches }) => fetches.size);
  t.same(sizes(), [MAX_FETCHES, 0]);
  for (const piece of [0, 1]) proxies[0]!.give(piece);
  await settle();
  t.same(sizes(), [2, 2]);
  const small = new ScriptedProxy(coordinator, 1);
  small.await({ first: 0, count: 1 });
  await settle();
  neighbours.found('peer-a');
  await settle();
  t.equal(small.fetches.size, MAX_FETCHES_ONE_PIECE - MAX_FETCHES);
  proxies[0]!.ticket.close();
  await settle();
  t.same(sizes(), [2, 3], 'what a closed one had under way takes no slot');
});

t.test('closed, it hears and says nothing more', async (t) => {
  const { proxy, neighbours, clock } = await start(4);
  proxy.ticket.close();
  neighbours.found('peer-a');
  await settle();
  await clock.advance(60_000);
  t.same(proxy.assignments, []);
  t.equal(clock.waiting, 0);
});

/** Whether a source does its duty, drawn anew each time it is asked. */
type Luck = () => number;

interface Peer {
  readonly name: string;
  readonly kind: 'sound' | 'flaky' | 'busy' | 'silent' | 'dead' | 'evicts';
}

const REASONS: Record<Exclude<Peer['kind'], 'sound' | 'silent'>, PieceFailure> = {
  flaky: 'timeout',
  busy: 'busy',
  dead: 'reset',
  evicts: 'gone',
};

t.test('whatever peers do, a blob comes that the origin or one peer can give, within all bounds', async () => {
  const scenario = fc.record({
    pieceCount: fc.integer({ min: 1, max: 20 }),
    isSized: fc.boolean(),
    origin: fc.constantFrom('sound', 'flaky', 'down', 'silent', 'denies'),
    peers: fc.array(fc.constantFrom('sound', 'flaky', 'busy', 'silent', 'dead', 'evicts'), { maxLength: 6 }),
    answersAfter: fc.integer({ min: 0, max: 500 }),
    luck: fc.infiniteStream(fc.integer({ min: 0, max: 99 })),
  });
  await fc.assert(
    fc.asyncProperty(scenario, async ({ pieceCount, isSized, origin, peers, answersAfter, luck }) => {
      const draw: Luck = () => luck.next().value as number;
      const named: Peer[] = peers.map((kind, i) => ({ name: `peer-${i}`, kind }));
      // Somebody can give it.
      const canOrigin = origin === 'sound' || origin === 'flaky';
      if (!canOrigin && !peers.includes('sound')) named.push({ name: 'the-last', kind: 'sound' });
      const { clock, neighbours, coordinator } = make();
      const kinds = new Map(named.map(({ name, kind }) => [name, kind]));
      const proxy = new ScriptedProxy(coordinator, isSized ? pieceCount : undefined);
      let isKnown = isSized;
      // An origin that fails oftener than that in a row is given up, rightly.
      let resets = 0;
      const learn = (): void => {
        if (isKnown) return;
        isKnown = true;
        proxy.call(() => proxy.ticket.report({ kind: 'pieces', pieceCount, size: pieceCount * 2 ** 20 }));
        for (const lease of proxy.leases.values()) lease.last = Math.min(lease.last, pieceCount - 1);
        proxy.await({ first: 0, count: pieceCount });
      };
      proxy.await({ first: 0, count: isSized ? pieceCount : Number.POSITIVE_INFINITY });
      for (let turn = 0; turn < 3000 && proxy.held.size < pieceCount; turn += 1) {
        await settle();
        if (proxy.gaveUp) throw new Error('given up though somebody can give it');
        const alive = [...proxy.fetches].filter(([, { peer }]) => kinds.get(peer) !== 'silent');
        if (alive.length > MAX_FETCHES_ONE_PIECE) throw new Error(`${alive.length} pieces in flight`);
        if (neighbours.open > 0 && clock.monotonic() >= answersAfter) {
          neighbours.found(...named.filter(({ kind }) => kind !== 'dead' || draw() < 50).map(({ name }) => name));
          neighbours.end();
          await settle();
        }
        const [fetch] = alive;
        if (fetch) {
          const [piece, { peer }] = fetch;
          const kind = kinds.get(peer)!;
          if (kind === 'sound' || (kind === 'flaky' && draw() < 50)) {
            learn();
            proxy.give(piece);
          } else if (kind !== 'silent') proxy.fail(piece, REASONS[kind]);
        }
        for (const [lease, { next, last }] of proxy.leases) {
          if (origin === 'silent') {
            // It ends when it is cut, as a read does that is broken off.
            if (last < next) proxy.end(lease);
          } else if (origin === 'down') proxy.end(lease, RESET);
          else if (origin === 'denies') proxy.end(lease, GONE);
          else if (origin === 'flaky' && resets < 2 && draw() < 20) {
            resets += 1;
            proxy.end(lease, RESET);
          } else {
            resets = 0;
            learn();
            proxy.step(lease);
          }
        }
        await clock.advance(draw() < 50 ? 0 : 50);
      }
      if (proxy.held.size < pieceCount) throw new Error(`only ${proxy.held.size} of ${pieceCount} came`);
      const asked = neighbours.searches.length;
      if (asked > 2 + clock.monotonic() / ASK_AGAIN_MS) throw new Error(`peers were asked ${asked} times`);
      proxy.ticket.close();
    }),
    { numRuns: 300 },
  );
});
