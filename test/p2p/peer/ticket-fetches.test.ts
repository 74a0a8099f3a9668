import t from 'tap';
import { Bridge, BRIDGE_FETCHES } from '../../../src/p2p/peer/bridge.ts';
import { TicketFetches, type Fetch } from '../../../src/p2p/peer/ticket-fetches.ts';
import type { Assignment } from '../../../src/p2p/protocol/coordinator.ts';
import { targetOf } from '../../support/scripted-neighbours.ts';

function start() {
  const told: Assignment[] = [];
  const fetches = new TicketFetches((assignment) => told.push(assignment));
  return { fetches, take: () => told.splice(0) };
}

const fetchOf = (piece: number, peer: string): Fetch => ({ kind: 'fetch', piece, from: targetOf(peer), crc32: piece });
const names = ({ givers }: TicketFetches) => givers.map(({ peer }) => peer);

t.test('what is on its way, and who was to give it', (t) => {
  const { fetches, take } = start();
  fetches.assigned(fetchOf(1, 'peer-a'));
  fetches.assigned(fetchOf(2, 'peer-b'));
  fetches.assigned(fetchOf(3, 'peer-a'));
  t.same(take(), [fetchOf(1, 'peer-a'), fetchOf(2, 'peer-b'), fetchOf(3, 'peer-a')]);
  t.same([...fetches.pieces], [1, 2, 3]);
  t.same(names(fetches), ['peer-a', 'peer-b'], 'the last one first');
  fetches.came(1);
  t.equal(fetches.failed(2, 'peer-b'), undefined);
  fetches.forget('peer-b');
  t.same([...fetches.pieces], [3]);
  t.same(names(fetches), ['peer-a']);
  for (let n = 0; n < 20; n += 1) fetches.assigned(fetchOf(10 + n, `peer-${n}`));
  t.equal(fetches.givers.length, 16, 'not all are remembered');
  t.equal(names(fetches)[0], 'peer-19');
  t.end();
});

t.test('a fetch of its own goes on when a supernode assigns the piece; that one comes after it', (t) => {
  const { fetches, take } = start();
  for (const piece of [1, 2, 3, 4]) fetches.own(fetchOf(piece, 'peer-a'));
  take();
  for (const piece of [1, 2]) fetches.assigned(fetchOf(piece, 'peer-b'));
  fetches.assigned(fetchOf(3, 'peer-a'));
  t.same(take(), [], 'each is on its way already');
  fetches.came(1);
  t.same(fetches.failed(1, 'peer-a'), undefined, 'it is here');
  t.same(fetches.failed(2, 'peer-a'), fetchOf(2, 'peer-b'));
  t.same(fetches.failed(3, 'peer-a'), undefined, 'from the same peer: the supernode learns that it failed');
  t.same(fetches.failed(4, 'peer-a'), undefined, 'nobody has assigned it');
  t.same([...fetches.pieces], []);
  fetches.assigned(fetchOf(3, 'peer-a'));
  t.same(take(), [fetchOf(3, 'peer-a')], 'it is not one of its own any more');
  t.end();
});

t.test('what is put off counts as on its way at once, and is not told after the end', async (t) => {
  const { fetches, take } = start();
  fetches.soon(fetchOf(1, 'peer-a'));
  t.same([...fetches.pieces], [1]);
  t.same(take(), [], 'not within the call');
  await Promise.resolve();
  t.same(take(), [fetchOf(1, 'peer-a')]);
  fetches.soon(fetchOf(2, 'peer-a'));
  fetches.close();
  await Promise.resolve();
  t.same(take(), []);
});

t.test('over a bridge, the givers are asked for what is missing, and a few pieces at a time', async (t) => {
  const { fetches, take } = start();
  const bridge = new Bridge(0);
  const look = async (now: number) => {
    fetches.bridge(bridge, () => [1, 2, 3, 4], now);
    await Promise.resolve();
    return take().map((assignment) => (assignment as Fetch).piece);
  };
  t.same(await look(0), [], 'there is no giver');
  fetches.assigned(fetchOf(1, 'peer-a'));
  take();
  t.equal(BRIDGE_FETCHES, 2);
  t.same(await look(0), [2, 3], 'the first is on its way');
  t.same(await look(0), []);
  fetches.failed(2, 'peer-a');
  bridge.lacks(2, 'peer-a', 0);
  t.same(await look(1), [4], 'it has not the second');
});
