import t from 'tap';
import { Duplicates, PING_MS } from '../../../src/p2p/supernode/duplicates.ts';
import { registration } from './session-rig.ts';

const arrival = (connection: number, peer: string) => ({ connection, from: 'x', registration: registration(peer) });

t.test('one waits for each id, until it is taken or gone', async (t) => {
  const duplicates = new Duplicates();
  t.equal(duplicates.take('a'), undefined);
  const first = arrival(1, 'a');
  duplicates.add(first, 0);
  duplicates.add(arrival(2, 'b'), 0);
  t.equal(duplicates.has('a'), true);
  t.equal(duplicates.take('a'), first);
  t.equal(duplicates.has('a'), false);
  t.equal(duplicates.take('a'), undefined);
  duplicates.closed(1);
  t.equal(duplicates.has('b'), true, 'that was another connection');
  duplicates.closed(2);
  t.equal(duplicates.has('b'), false);
});

t.test('the older one has its time to answer, and more where nothing could be heard', async (t) => {
  const duplicates = new Duplicates();
  duplicates.add(arrival(1, 'a'), 0);
  duplicates.add(arrival(2, 'b'), 10);
  t.same([...duplicates.unanswered(PING_MS - 1)], []);
  t.same([...duplicates.unanswered(PING_MS)], ['a']);
  duplicates.paused(5000);
  t.same([...duplicates.unanswered(PING_MS + 4999)], []);
  const found: string[] = [];
  for (const peer of duplicates.unanswered(PING_MS + 5010)) {
    found.push(peer);
    duplicates.take(peer);
  }
  t.same(found, ['a', 'b'], 'they may be taken as they are found');
});
