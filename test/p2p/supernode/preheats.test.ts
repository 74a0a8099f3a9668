import fc from 'fast-check';
import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import type { FromProxy, FromSupernode, Message } from '../../../src/p2p/protocol/messages.ts';
import {
  LEAD_MS,
  LEFT_GRACE_MS,
  MAX_ORDERS,
  MAX_RESTARTS,
  MAX_RUNNING_ORDERS,
  Preheats,
  stateOf,
  type Order,
  type PreheatCandidate,
  type PreheatRequest,
} from '../../../src/p2p/supernode/preheats.ts';

const digest = digestOf('an image');
const REQUEST: PreheatRequest = {
  image: 'a/b:c',
  zone: undefined,
  peers: undefined,
  platforms: [],
  timeoutMs: 600_000,
};
const FAILURE = { code: 'ORIGIN_NOT_FOUND', message: 'no such image', todo: 'look' };

const candidates = (count: number): PreheatCandidate[] =>
  Array.from({ length: count }, (_, i) => {
    return {
      peer: `peer-${i}`,
      instance: `i-${i}`,
      host: `host-${i}`,
      zone: i % 2 === 0 ? 'even' : 'odd',
      isReady: true,
    };
  });

type Said = Message<FromSupernode, 'preheat' | 'cancel'> & { to: string };

function rig(count: number) {
  const said: Said[] = [];
  const away = new Set<string>();
  const preheats = new Preheats((to, message) => {
    if (!away.has(to)) said.push({ ...message, to });
    return !away.has(to);
  });
  const order = (request: Partial<PreheatRequest> = {}, id = 'order-01', now = 0) =>
    preheats.order(id, { ...REQUEST, ...request }, candidates(count), now);
  const tell = (peer: string, fields: Partial<Message<FromProxy, 'preheating'>> = {}, now = 0) => {
    const counts = { blobs: 3, blobsHere: 1, bytes: 300, bytesHere: 100 };
    preheats.told(peer, { t: 'preheating', id: 'order-01', state: 'running', ...counts, ...fields }, now);
  };
  const take = () =>
    said.splice(0).map((one) => `${one.to}${one.t === 'cancel' ? '!' : one.digest === undefined ? '?' : ''}`);
  return { preheats, said, take, away, order, tell };
}

const states = (order: Order) => Object.fromEntries([...order.shares].map(([peer, { state }]) => [peer, state]));

t.test('one finds out what the tag stands for, then all others are told the digest', async (t) => {
  const { order, tell, take, preheats } = rig(3);
  const placed = order();
  const [asked] = take();
  t.match(asked, /\?$/);
  const leader = asked!.slice(0, -1);
  tell(leader, { digest });
  const others = take();
  t.equal(others.length, 2);
  t.notOk(others.some((to) => to.endsWith('?')));
  for (const peer of placed.shares.keys()) tell(peer, { state: 'done', digest, blobsHere: 3, bytesHere: 300 }, 5);
  t.equal(stateOf(placed), 'done');
  t.equal(placed.finishedAt, 5);
  t.equal(preheats.find('order-01'), placed);
});

t.test('who is chosen: by zone, so many, always the same ones for an image', async (t) => {
  const { order } = rig(8);
  t.same([...order({ zone: 'odd' }).shares.keys()].sort(), ['peer-1', 'peer-3', 'peer-5', 'peer-7']);
  const first = [...order({ peers: 3 }, 'order-02').shares.keys()];
  t.equal(first.length, 3);
  t.same([...order({ peers: 3 }, 'order-03').shares.keys()], first);
  t.throws(() => order({ zone: 'nowhere' }), { code: 'PREHEAT_NO_PEERS' });
  t.throws(() => order({ peers: 9 }), { code: 'PREHEAT_TOO_FEW_PEERS' });
  const unready = candidates(4).map((one, i) => ({ ...one, isReady: i === 2 }));
  const preheats = new Preheats(() => true);
  t.same([...preheats.order('order-04', { ...REQUEST, peers: 1 }, unready, 0).shares.keys()], ['peer-2']);
});

t.test('where the first cannot find it out others are asked; after three all have its reason', async (t) => {
  const { order, tell, take } = rig(5);
  const placed = order();
  for (let i = 0; i < 3; i += 1) tell(take()[0]!.slice(0, -1), { state: 'failed', failure: FAILURE });
  t.same(take(), []);
  t.equal(stateOf(placed), 'failed');
  for (const { failure } of placed.shares.values()) t.same(failure, FAILURE);
});

t.test('what is wrong with the order itself is asked of nobody else', async (t) => {
  const { order, tell, take } = rig(5);
  const placed = order();
  const failure = { ...FAILURE, code: 'PREHEAT_IMAGE_INVALID' };
  tell(take()[0]!.slice(0, -1), { state: 'failed', failure });
  t.same(take(), []);
  t.equal(stateOf(placed), 'failed');
});

t.test(
  'who is slow to find it out is not waited for, and who then found another digest gets the one of all',
  async (t) => {
    const { order, tell, take, preheats, said } = rig(3);
    order();
    const slow = take()[0]!.slice(0, -1);
    preheats.tick(LEAD_MS - 1);
    t.same(take(), []);
    preheats.tick(LEAD_MS);
    const second = take()[0]!.slice(0, -1);
    t.not(second, slow);
    tell(second, { digest });
    take();
    tell(slow, { digest: digestOf('moved') });
    t.match(said, [{ to: slow, digest }]);
  },
);

t.test('a peer that leaves is shown so; back in time it is ordered again, else it has failed', async (t) => {
  const { order, tell, take, preheats, away } = rig(3);
  const placed = order();
  tell(take()[0]!.slice(0, -1), { digest });
  take();
  away.add('peer-0');
  preheats.gone('peer-0', 'left: it stopped', 10);
  t.match(states(placed), { 'peer-0': 'left' });
  t.equal(placed.shares.get('peer-0')!.reason, 'left: it stopped');
  away.delete('peer-0');
  preheats.connected('peer-0', 'another', 20);
  t.same(take(), ['peer-0']);
  t.match(placed.shares.get('peer-0'), { state: 'running', restarts: 1, reason: '' });
  preheats.connected('peer-0', 'another', 30);
  t.same(take(), ['peer-0'], 'another session of the same process: it is asked how it stands');
  t.equal(placed.shares.get('peer-0')!.restarts, 1);
  for (let i = 1; i <= MAX_RESTARTS; i += 1) preheats.connected('peer-0', `again-${i}`, 40);
  t.match(placed.shares.get('peer-0'), { state: 'failed', failure: { code: 'PREHEAT_PEER_RESTARTS' } });

  preheats.gone('peer-1', 'stale', 50);
  preheats.tick(50 + LEFT_GRACE_MS - 1);
  t.match(states(placed), { 'peer-1': 'left' });
  preheats.tick(50 + LEFT_GRACE_MS);
  t.match(placed.shares.get('peer-1'), { state: 'failed', failure: { code: 'PREHEAT_PEER_LEFT' } });
  tell('peer-2', { state: 'done' });
  t.equal(stateOf(placed), 'failed');
  preheats.gone('peer-2', 'left', 60);
  t.match(states(placed), { 'peer-2': 'done' }, 'what is over stays');
});

t.test('the leader leaves before it knows, and nobody else is there: who comes first leads', async (t) => {
  const { order, take, preheats, away, tell } = rig(2);
  const placed = order();
  const leader = take()[0]!.slice(0, -1);
  const other = leader === 'peer-0' ? 'peer-1' : 'peer-0';
  away.add(other).add(leader);
  preheats.gone(leader, 'left', 1);
  t.same(take(), []);
  away.clear();
  preheats.connected(other, candidates(2).find(({ peer }) => peer === other)!.instance, 2);
  t.same(take(), [`${other}?`]);
  tell(other, { digest, state: 'done' });
  preheats.connected(leader, 'new', 3);
  t.same(take(), [leader]);
  tell(leader, { digest, state: 'done' });
  t.equal(stateOf(placed), 'done');
});

t.test('cancelled: who is not done is told, also who was away; what is over stays', async (t) => {
  const { order, tell, take, preheats, away } = rig(4);
  const placed = order();
  for (const peer of placed.shares.keys()) tell(peer, { digest });
  const [first, second, third, fourth] = [...placed.shares.keys()] as [string, string, string, string];
  tell(first, { digest, state: 'done' });
  tell(second, { digest, state: 'failed', failure: FAILURE });
  away.add(fourth);
  preheats.gone(fourth, 'left', 1);
  take();
  t.equal(preheats.cancel('order-01', 5), placed);
  t.same(take(), [`${third}!`], 'only who is at it');
  t.same([stateOf(placed), placed.finishedAt], ['cancelled', 5]);
  t.match(states(placed), { [first]: 'done', [second]: 'failed', [third]: 'cancelled', [fourth]: 'cancelled' });
  t.equal(placed.shares.get(fourth)!.failure?.code, 'PREHEAT_CANCELLED');
  tell(third, { digest, state: 'running' });
  t.same(take(), [`${third}!`], 'it had not heard');
  tell(third, { digest, state: 'done' });
  t.match(states(placed), { [third]: 'cancelled' }, 'late');
  away.clear();
  preheats.connected(fourth, `i-${fourth.slice(5)}`, 6);
  t.same(take(), [], 'it is not ordered again');
  tell(fourth, { digest, state: 'running' });
  t.same(take(), [`${fourth}!`]);
  t.equal(preheats.cancel('order-01', 7)?.finishedAt, 5, 'again: nothing');
  t.same(take(), []);
  t.equal(preheats.cancel('order-none', 8), undefined);
});

t.test('what is done cannot be cancelled', async (t) => {
  const { order, tell, take, preheats } = rig(1);
  const placed = order();
  tell('peer-0', { digest, state: 'done' });
  take();
  preheats.cancel('order-01', 5);
  t.same([stateOf(placed), take()], ['done', []]);
});

t.test('an order has its time', async (t) => {
  const { order, preheats } = rig(2);
  const placed = order({ timeoutMs: 1000 });
  preheats.tick(999);
  t.equal(stateOf(placed), 'running');
  preheats.tick(1000);
  t.equal(stateOf(placed), 'failed');
  for (const { failure } of placed.shares.values()) t.equal(failure?.code, 'PREHEAT_TIMEOUT');
});

t.test('bounds: so many at once, so many remembered', async (t) => {
  const { preheats, order } = rig(1);
  for (let i = 0; i < MAX_RUNNING_ORDERS; i += 1) order({ timeoutMs: 1000 }, `order-${i}`);
  t.throws(() => order({}, 'one-more'), { code: 'PREHEAT_BUSY' });
  for (let i = 1; i < MAX_ORDERS * 2; i += 1) {
    preheats.tick(i * 2000);
    order({ timeoutMs: 1000 }, `later-${i}`, i * 2000);
  }
  t.equal(preheats.all().length, MAX_ORDERS);
  t.equal(preheats.all()[0]!.id, `later-${MAX_ORDERS * 2 - 1}`);
});

t.test('an order that is under way is not forgotten, however many come and go meanwhile', async (t) => {
  const { preheats, order } = rig(1);
  const slow = order({ timeoutMs: 10_000_000 }, 'slow');
  for (let i = 1; i < MAX_ORDERS * 2; i += 1) {
    preheats.tick(i * 2000);
    order({ timeoutMs: 1000 }, `later-${i}`, i * 2000);
  }
  t.equal(preheats.find('slow'), slow);
  t.equal(preheats.all().length, MAX_ORDERS);
});

t.test('whatever happens in whatever order, it ends, and nobody is told after its end', async () => {
  const peers = 4;
  const act = fc.record({
    kind: fc.constantFrom('told', 'done', 'failed', 'gone', 'connected', 'tick', 'cancel'),
    peer: fc.integer({ min: 0, max: peers }).map((i) => `peer-${i}`),
    other: fc.boolean(),
    ms: fc.integer({ min: 0, max: 20_000 }),
  });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
      const { order, preheats, tell, said } = rig(peers);
      const placed = order();
      let now = 0;
      for (const { kind, peer, other, ms } of acts) {
        now += ms;
        const over = new Set(
          [...placed.shares.values()].filter(({ state }) => /done|failed|cancelled/.test(state)).map((s) => s.peer),
        );
        const before = said.length;
        const found = other ? digestOf('other') : digest;
        if (kind === 'told') tell(peer, { digest: found }, now);
        else if (kind === 'done') tell(peer, { state: 'done', digest: found }, now);
        else if (kind === 'failed') tell(peer, { state: 'failed', failure: FAILURE }, now);
        else if (kind === 'gone') preheats.gone(peer, 'left', now);
        else if (kind === 'connected') preheats.connected(peer, other ? 'new' : 'old', now);
        else if (kind === 'cancel') preheats.cancel('order-01', now);
        else preheats.tick(now);
        const after = said.slice(before).filter(({ t }) => t === 'preheat');
        if (after.some(({ to }) => over.has(to))) return false;
        if (kind === 'cancel' && placed.finishedAt === undefined) return false;
      }
      preheats.tick(REQUEST.timeoutMs + now);
      const digests = new Set(said.flatMap((one) => (one.t === 'preheat' ? (one.digest ?? []) : [])));
      return placed.finishedAt !== undefined && stateOf(placed) !== 'running' && digests.size <= 1;
    }),
  );
});
