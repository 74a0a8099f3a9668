import t from 'tap';
import { MiB } from '../../../src/base/units.ts';
import { BRIDGE_MS, LACKS_MS } from '../../../src/p2p/peer/bridge.ts';
import { NeighbourCoordinator } from '../../../src/p2p/peer/neighbour-coordinator.ts';
import { RemoteCoordinator, SILENCE_MS } from '../../../src/p2p/peer/remote-coordinator.ts';
import { SoloCoordinator } from '../../../src/p2p/peer/solo-coordinator.ts';
import type { Coordinator } from '../../../src/p2p/protocol/coordinator.ts';
import type { FromProxy } from '../../../src/p2p/protocol/messages.ts';
import { packPieces } from '../../../src/p2p/protocol/packed.ts';
import { coordinatorConformance, ScriptedProxy, settle } from '../../support/coordinator-conformance.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { ScriptedNeighbours, targetOf } from '../../support/scripted-neighbours.ts';

const PIECES = 10;
const BY_SUPERNODE = targetOf('peer-by-supernode');

/** A proxy that wants a blob of ten pieces; the supernode is the test. */
async function start(solo: (clock: ManualClock) => Coordinator) {
  const clock = new ManualClock();
  const coordinator = new RemoteCoordinator({ solo: solo(clock), clock });
  const sent: FromProxy[] = [];
  const open = () =>
    coordinator.opened({ epoch: 'epoch-01', rttMs: 1, send: (message) => void sent.push(structuredClone(message)) });
  open();
  const proxy = new ScriptedProxy(coordinator, PIECES, [], { size: PIECES * MiB });
  proxy.await({ first: 0, count: PIECES });
  const take = async () => {
    await settle();
    await settle();
    proxy.assignments.length = 0;
    return sent.splice(0);
  };
  await take();
  const fetch = (wish: number, piece: number) =>
    coordinator.assigned({
      t: 'a',
      p: [[7, BY_SUPERNODE.peer, BY_SUPERNODE.instance, [...BY_SUPERNODE.addresses]]],
      f: [[wish, piece, 7, 5]],
    });
  return { clock, coordinator, proxy, take, fetch, open };
}

async function startAmongNeighbours() {
  const neighbours = new ScriptedNeighbours();
  const rig = await start((clock) => new NeighbourCoordinator({ neighbours, clock, random: () => 0.5 }));
  return { ...rig, neighbours };
}

/** Whoever is asked has nothing. */
async function allGone(proxy: ScriptedProxy): Promise<void> {
  for (let piece = first(proxy); piece !== undefined; piece = first(proxy)) {
    proxy.fail(piece, 'gone');
    await settle();
  }
}

function first({ fetches }: ScriptedProxy): number | undefined {
  return fetches.keys().next().value;
}

coordinatorConformance(t, 'with no supernode, and neighbours that have nothing', () => {
  const clock = new ManualClock();
  const neighbours = { find: () => Promise.resolve(), failed: () => undefined };
  const solo = new NeighbourCoordinator({ neighbours, clock, random: () => 0.5 });
  return { clock, coordinator: new RemoteCoordinator({ solo, clock }) };
});

t.test('what is on its way from a peer when it goes alone is not read; what then fails is', async (t) => {
  const { clock, coordinator, proxy, take, fetch } = await start((clock) => new SoloCoordinator({ clock }));
  fetch(1, 0);
  fetch(1, 5);
  coordinator.lost();
  proxy.give(0);
  await clock.advance(SILENCE_MS);
  t.same(proxy.assignments.slice(2), [], 'it is not idle');
  proxy.fail(5, 'reset');
  await clock.advance(SILENCE_MS);
  t.match(proxy.assignments.slice(2), [{ kind: 'lease', run: { first: 1, count: 9 } }]);
  proxy.ticket.close();
  await take();
});

t.test('a piece that was to come from a peer comes from the origin when that fails while it is alone', async (t) => {
  const { coordinator, proxy, take, fetch } = await start((clock) => new SoloCoordinator({ clock }));
  fetch(1, 5);
  coordinator.assigned({ t: 'a', n: [[1, 1, '']] });
  await settle();
  t.match(proxy.assignments.slice(1), [{ kind: 'lease', run: { first: 0, count: 5 } }], 'up to what is on its way');
  proxy.fail(5, 'timeout');
  for (let piece = 0; piece <= 5; piece += 1) proxy.step(1);
  await settle();
  t.match(proxy.assignments.slice(2), [{ kind: 'lease', run: { first: 5, count: 5 } }]);
  proxy.ticket.close();
  await take();
});

t.test(
  'the supernode is silent: what is missing is asked of who gave before, for a while, and not read by everybody',
  async (t) => {
    const { clock, coordinator, proxy, fetch, take } = await start((clock) => new SoloCoordinator({ clock }));
    fetch(1, 0);
    proxy.give(0);
    await take();
    await clock.advance(SILENCE_MS - 1);
    t.same(proxy.assignments, []);
    await clock.advance(1);
    t.match(
      proxy.assignments,
      [1, 2].map((piece) => ({ kind: 'fetch', piece, from: BY_SUPERNODE })),
    );
    proxy.give(1);
    await settle();
    t.match(proxy.assignments.slice(2), [{ piece: 3 }]);
    proxy.fail(2, 'gone');
    await settle();
    t.match(proxy.assignments.slice(3), [{ piece: 4 }], 'it has not each of them');
    for (const piece of [3, 4, 5, 6, 7, 8, 9]) {
      proxy.fail(piece, 'gone');
      await settle();
    }
    await clock.advance(LACKS_MS);
    t.match(proxy.assignments.slice(-2), [{ piece: 2 }, { piece: 3 }], 'which it may have a little later');
    t.match(
      (await take()).filter(({ t }) => t === 'leave'),
      [],
      'it has not left',
    );
    coordinator.assigned({ t: 'a', w: [1] });
    proxy.fail(2, 'gone');
    proxy.fail(3, 'gone');
    await clock.advance(SILENCE_MS - 1);
    t.same(proxy.assignments, [], 'a word of the supernode, and it has its time again');
  },
);

t.test('the supernode stays silent: then it goes alone', async (t) => {
  const { clock, proxy, fetch, take } = await start((clock) => new SoloCoordinator({ clock }));
  fetch(1, 0);
  proxy.give(0);
  await take();
  await clock.advance(SILENCE_MS);
  for (const step = LACKS_MS / 2; clock.monotonic() < SILENCE_MS + BRIDGE_MS - step;) {
    await allGone(proxy);
    await clock.advance(step);
    t.same(
      proxy.assignments.filter(({ kind }) => kind === 'lease'),
      [],
    );
  }
  await allGone(proxy);
  await clock.advance(BRIDGE_MS);
  t.match(
    proxy.assignments.filter(({ kind }) => kind === 'lease'),
    [{ run: { first: 1, count: 9 } }],
  );
});

t.test('this process did not run for a while: the supernode has its time once more', async (t) => {
  const { clock, proxy } = await start((clock) => new SoloCoordinator({ clock }));
  clock.stall(3 * SILENCE_MS);
  await clock.advance(SILENCE_MS - 1);
  t.same(proxy.assignments, []);
  await clock.advance(SILENCE_MS);
  t.match(proxy.assignments, [{ kind: 'lease' }]);
});

t.test('alone, whom the supernode named last is asked first', async (t) => {
  const { clock, coordinator, proxy, fetch, neighbours } = await startAmongNeighbours();
  fetch(1, 0);
  proxy.give(0);
  coordinator.lost();
  await clock.advance(SILENCE_MS);
  await allGone(proxy);
  await clock.advance(BRIDGE_MS);
  await allGone(proxy);
  t.match(neighbours.searches, [{ first: [BY_SUPERNODE], thorough: false }]);
  neighbours.found('peer-a');
  await settle();
  t.same([...proxy.fetches.keys()], [1, 2, 3, 4]);
  proxy.fail(1, 'gone');
  await settle();
  t.match(proxy.assignments.at(-1), { kind: 'fetch', piece: 4 }, 'nobody has it any more');
  neighbours.end();
  await settle();
  t.match(proxy.assignments.at(-1), { kind: 'lease', run: { first: 1, count: 1 } });
});

t.test('one that failed is not named', async (t) => {
  const { clock, coordinator, proxy, fetch, neighbours } = await startAmongNeighbours();
  fetch(1, 0);
  proxy.fail(0, 'reset');
  coordinator.lost();
  await clock.advance(SILENCE_MS);
  t.match(neighbours.searches, [{ first: [] }]);
});

t.test(
  'back at a supernode, what is on its way comes once; what fails comes from where the supernode said',
  async (t) => {
    const { clock, coordinator, proxy, take, fetch, neighbours, open } = await startAmongNeighbours();
    coordinator.lost();
    await clock.advance(SILENCE_MS);
    neighbours.found('peer-a');
    await settle();
    t.same([...proxy.fetches.keys()], [0, 1, 2, 3]);
    proxy.give(0);
    await settle();
    open();
    const said = await take();
    t.match(said.at(-1), { t: 'want', w: 2, held: packPieces([0], PIECES) });
    t.equal(proxy.fetches.size, 4, 'none is broken off');
    for (const piece of [1, 2, 8]) fetch(2, piece);
    await settle();
    t.match(proxy.assignments, [{ kind: 'fetch', piece: 8, from: BY_SUPERNODE }]);
    proxy.give(1);
    proxy.fail(2, 'reset');
    proxy.fail(3, 'reset');
    await settle();
    t.match(proxy.assignments.slice(1), [{ kind: 'fetch', piece: 2, from: BY_SUPERNODE, crc32: 5 }]);
    t.match(await take(), [
      {
        t: 'r',
        p: [[2, 1, -1]],
        f: [
          [2, 2, -1],
          [2, 3, -1],
        ],
      },
    ]);
    proxy.ticket.close();
  },
);
