import { EventEmitter, once } from 'node:events';
import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { PreheatOrders, type PreheatProgress, type PreheatWork } from '../../../src/p2p/peer/preheat-orders.ts';
import type { SessionLink } from '../../../src/p2p/peer/session-link.ts';
import { encode, parseFromProxy, type FromProxy, type Message } from '../../../src/p2p/protocol/messages.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { turns } from '../../support/scripted-supernode.ts';

const digest = digestOf('image');

interface Run {
  readonly work: PreheatWork;
  readonly progress: PreheatProgress;
  readonly signal: AbortSignal;
  end(): void;
  fail(error: unknown): void;
}

function rig() {
  const clock = new ManualClock();
  const orders = new PreheatOrders({ clock, log: silentLogger });
  const said: Message<FromProxy, 'preheating'>[] = [];
  const linkTo = (isOpen = true) =>
    ({
      isOpen,
      // As it is on the wire.
      send: (message: FromProxy) => said.push(parseFromProxy(encode(message)) as Message<FromProxy, 'preheating'>),
    }) as unknown as SessionLink;
  const runs: Run[] = [];
  const fetch = async (work: PreheatWork, progress: PreheatProgress, signal: AbortSignal) => {
    const over = new EventEmitter();
    runs.push({ work, progress, signal, end: () => over.emit('end'), fail: (error) => over.emit('error', error) });
    signal.addEventListener('abort', () => over.emit('error', signal.reason));
    await once(over, 'end');
  };
  const order = (id: string, more: object = {}) =>
    orders.ordered({ t: 'preheat', id, image: 'a/b:c', platforms: [], timeoutMs: 60_000, ...more });
  orders.opened(linkTo());
  return { clock, orders, said, runs, fetch, order, linkTo };
}

t.test('an order is carried out, and told as it goes on', async (t) => {
  const { clock, orders, said, runs, fetch, order } = rig();
  order('order-01');
  t.match(said.splice(0), [{ id: 'order-01', state: 'running', blobs: 0 }], 'it waits for who fetches');
  orders.fetchBy(fetch);
  const [run] = runs;
  Object.assign(run!.progress, { digest, blobs: 3, bytes: 30 });
  await clock.advance(500);
  t.match(said.splice(0), [{ state: 'running', digest, blobs: 3, blobsHere: 0, bytes: 30 }]);
  await clock.advance(2000);
  t.same(said, [], 'what is no news is not said');
  Object.assign(run!.progress, { blobsHere: 3, bytesHere: 30 });
  run!.end();
  await turns();
  t.match(said.splice(0), [{ state: 'done', blobsHere: 3, bytesHere: 30 }]);
  order('order-01', { digest });
  t.match(said.splice(0), [{ state: 'done' }], 'ordered again after a session was lost: how it stands');
  t.equal(runs.length, 1);
});

t.test('two at a time; after another session all is told again', async (t) => {
  const { orders, said, runs, fetch, order, linkTo } = rig();
  orders.fetchBy(fetch);
  for (const id of ['order-01', 'order-02', 'order-03']) order(id);
  t.equal(runs.length, 2);
  orders.lost();
  said.length = 0;
  runs[0]!.fail(Object.assign(new Error('odd'), { code: 'ENOSPC' }));
  await turns();
  t.equal(runs.length, 3);
  t.same(said, []);
  orders.opened(linkTo());
  t.match(said, [
    { id: 'order-01', state: 'failed', failure: { code: 'ENOSPC', message: 'odd', todo: String } },
    { id: 'order-02', state: 'running' },
    { id: 'order-03', state: 'running' },
  ]);
});

t.test('another digest than was found out here: begun anew', async (t) => {
  const { orders, said, runs, fetch, order } = rig();
  orders.fetchBy(fetch);
  order('order-01');
  runs[0]!.progress.digest = digestOf('older');
  order('order-01', { digest });
  await turns();
  t.equal(runs[0]!.signal.aborted, true);
  t.equal(runs[1]!.work.digest, digest);
  runs[1]!.end();
  await turns();
  t.match(said.at(-1), { state: 'done', digest });
});

t.test('called off: what runs ends, what waits does not begin, and nothing is said of it', async (t) => {
  const { clock, orders, said, runs, fetch, order } = rig();
  orders.fetchBy(fetch);
  for (const id of ['order-01', 'order-02', 'order-03', 'order-04']) order(id);
  said.length = 0;
  orders.cancelled('order-03');
  orders.cancelled('order-01');
  await turns();
  t.equal(runs[0]!.signal.aborted, true);
  t.same(
    runs.map(({ signal }) => signal.aborted),
    [true, false, false],
    'the next one that is wanted has its place',
  );
  runs[1]!.end();
  await turns();
  orders.cancelled('order-02');
  orders.cancelled('order-none');
  await clock.advance(60_000);
  await turns();
  t.notOk(said.some(({ id }) => id === 'order-01' || id === 'order-03'));
  t.match(
    said.findLast(({ id }) => id === 'order-02'),
    { state: 'done' },
    'what is over stays',
  );
});

t.test('its time, too many of them, and the end of the process', async (t) => {
  const { clock, orders, said, runs, fetch, order } = rig();
  orders.fetchBy(fetch);
  order('order-01', { timeoutMs: 1000 });
  await clock.advance(1000);
  await turns();
  t.match(said.at(-1), { state: 'failed', failure: { code: 'PREHEAT_TIMEOUT' } });
  for (let i = 0; i < 70; i += 1) order(`later-${i + 100}`);
  t.match(said.at(-1), { id: 'later-169', state: 'failed', failure: { code: 'PREHEAT_QUEUE_FULL' } });
  orders.close();
  await turns();
  t.ok(runs.every(({ signal }) => signal.aborted));
  order('after-it');
  t.not(said.at(-1)!.id, 'after-it');
});
