import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import type { FromProxy, Message } from '../../../src/p2p/protocol/messages.ts';
import { LEAD_MS, OpenOrder, stateOf } from '../../../src/p2p/supernode/preheat-order.ts';

const digest = digestOf('an image');
const candidate = (peer: string) => ({ peer, instance: `${peer}-1`, host: peer, zone: '', isReady: true });

function rig(...peers: string[]) {
  const said: string[] = [];
  const away = new Set<string>();
  const request = { image: 'a/b:c', zone: undefined, peers: undefined, platforms: ['linux/arm64'], timeoutMs: 100_000 };
  const order = new OpenOrder('order-01', request, peers.map(candidate), 1000, (to, message) => {
    if (away.has(to)) return false;
    said.push(
      message.t === 'cancel' ? `${to}!` : `${to} ${message.digest === undefined ? '?' : '='} ${message.timeoutMs}`,
    );
    return true;
  });
  const tell = (peer: string, fields: Partial<Message<FromProxy, 'preheating'>>, now = 2000) => {
    const counts = { blobs: 3, blobsHere: 1, bytes: 300, bytesHere: 100 };
    order.told(peer, { t: 'preheating', id: 'order-01', state: 'running', ...counts, ...fields }, now);
  };
  return { order, away, tell, take: () => said.splice(0) };
}

t.test(
  'nobody is told before it begins; then one leads, and what it finds goes to all, with the time that is left',
  async (t) => {
    const { order, tell, take } = rig('a', 'b', 'c');
    t.same(take(), []);
    t.equal(order.isRunning, true);
    order.begin(1000);
    t.same(take(), ['a ? 100000']);
    tell('a', { digest }, 31_000);
    t.same(take(), ['b = 70000', 'c = 70000']);
    t.equal(order.digest, digest);
    for (const peer of ['a', 'b', 'c']) tell(peer, { digest, state: 'done' }, 40_000);
    t.same([stateOf(order), order.finishedAt, order.isRunning], ['done', 40_000, false]);
  },
);

t.test('who is away when it begins does not lead; with nobody there the first that comes does', async (t) => {
  const { order, away, take } = rig('a', 'b');
  away.add('a');
  order.begin(1000);
  t.same(take(), ['b ? 100000']);
  const alone = rig('a', 'b');
  alone.away.add('a').add('b');
  alone.order.begin(1000);
  t.same(alone.take(), []);
  alone.away.clear();
  alone.order.connected('b', 'b-1', 1000);
  t.match(alone.take(), ['a ? 100000'], 'or who has come before it and could not be told');
});

t.test('a leader that is slow gets company, three at most', async (t) => {
  const { order, take } = rig('a', 'b', 'c', 'd');
  order.begin(1000);
  for (let n = 1; n < 4; n += 1) order.tick(1000 + n * LEAD_MS);
  t.same(take(), ['a ? 100000', 'b ? 70000', 'c ? 40000']);
});

t.test('what is told of an order that is over, or by who has no part in it, changes nothing', async (t) => {
  const { order, tell, take } = rig('a');
  order.begin(1000);
  take();
  tell('stranger', { digest: digestOf('other') });
  order.connected('stranger', 'x', 2000);
  order.gone('stranger', 'left', 2000);
  t.equal(order.digest, undefined);
  tell('a', { digest, state: 'failed' }, 3000);
  t.match(order.shares.get('a')!.failure, { code: 'UNKNOWN' });
  order.cancel(4000);
  order.tick(1_000_000);
  order.gone('a', 'left', 4000);
  t.same([stateOf(order), order.finishedAt], ['failed', 3000]);
  t.same(take(), []);
});
