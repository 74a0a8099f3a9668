import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { Asker, Askers } from '../../../src/p2p/peer/askers.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { until } from '../../support/piece-rig.ts';

const limits = { pipelined: 2, perSecond: 3 };

/** Real connections to a port; of each both ends, this side's first. */
async function connected(t: Test, count: number): Promise<[near: Socket, far: Socket][]> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const pairs: [Socket, Socket][] = [];
  while (pairs.length < count) {
    const far = connect(port, '127.0.0.1');
    const [near] = (await once(server, 'connection')) as [Socket];
    t.teardown(() => far.destroy());
    pairs.push([near, far]);
  }
  return pairs;
}

t.test('so many requests at the same time, and so many in a second', async (t) => {
  const clock = new ManualClock();
  const asker = new Asker(limits, clock);
  t.ok(asker.begin());
  t.ok(asker.begin());
  t.notOk(asker.begin());
  asker.end();
  t.ok(asker.begin(), 'one is over');
  t.same(
    [1, 2, 3, 4].map(() => asker.count()),
    [true, true, true, false],
  );
  await clock.advance(999);
  t.notOk(asker.count());
  await clock.advance(1);
  t.same(
    [1, 2, 3, 4].map(() => asker.count()),
    [true, true, true, false],
    'another second',
  );
});

t.test('each is known as long as it is open', async (t) => {
  const askers = new Askers(limits, new ManualClock());
  const [[a], [b, farOfB]] = (await connected(t, 2)) as [[Socket, Socket], [Socket, Socket]];
  const ofA = askers.of(a);
  t.equal(askers.of(a), ofA);
  t.not(askers.of(b), ofA);
  t.equal(askers.size, 2);
  farOfB.destroy();
  await until(() => askers.size === 1);
  t.equal(askers.of(a), ofA);
});

t.test('those whose token is no good any more are ended, and no others', async (t) => {
  const askers = new Askers(limits, new ManualClock());
  const sockets = (await connected(t, 3)).map(([near]) => near);
  const [good, bad, stranger] = sockets as [Socket, Socket, Socket];
  askers.of(good).token = 'good';
  askers.of(bad).token = 'bad';
  askers.of(stranger);
  askers.recheck((token) => token === 'good');
  t.same(
    sockets.map(({ destroyed }) => destroyed),
    [false, true, false],
  );
  await until(() => askers.size === 2);
});
