import t from 'tap';
import { PeerCut } from '../../../src/p2p/peer/errors.ts';
import { askNeighbour } from '../../../src/p2p/peer/ask-neighbour.ts';
import type { PieceAuth } from '../../../src/p2p/peer/piece-auth.ts';
import { PieceClient } from '../../../src/p2p/peer/piece-client.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { Limiter } from '../../../src/base/limiter.ts';
import { Metrics } from '../../../src/base/metrics.ts';
import { startPieceServer } from '../../support/piece-rig.ts';
import { failureOf, never } from '../../support/registry-client.ts';
import { sampleBlob } from '../../support/store-conformance.ts';
import { SECRET } from '../../support/swarm-rig.ts';

const blob = sampleBlob(2000);
const RECEIVER = 'peer-b-00';

/** A piece server that lives its second life, and a client of its cluster; with `secret`, of another one. */
async function start(t: Parameters<typeof startPieceServer>[0], secret = SECRET) {
  const membership = new Membership(SECRET);
  const identity = { peer: 'peer-a-00', instance: 'instance-2' };
  const sender = { sender: identity.peer, instance: identity.instance };
  const now = () => systemClock.now();
  const server = await startPieceServer(t, {
    identity,
    auth: { check: (token) => membership.checkPieceToken(token, sender, now())?.receiver },
    prove: (nonce) => membership.whoamiProof({ nonce, ...identity }),
  });
  const mine = new Membership(secret);
  const auth: Pick<PieceAuth, 'token'> = {
    token: ({ peer, instance }) => mine.pieceToken({ sender: peer, receiver: RECEIVER, instance }, now()),
  };
  const limiter = new Limiter({ bytesPerSecond: undefined, clock: systemClock });
  const client = new PieceClient({ auth, clock: systemClock, limiter, metrics: new Metrics() });
  t.teardown(() => client.close());
  const peer = { peer: identity.peer, instance: identity.instance, addresses: [`127.0.0.1:${server.port}`] };
  return { ...server, peer, deps: { client, membership: mine } };
}

t.test('who has it is as it was named', async (t) => {
  const { shelf, peer, deps } = await start(t);
  t.equal(await askNeighbour(peer, blob.digest, never, deps), undefined);
  shelf.blobs.set(blob.digest, blob.bytes);
  t.equal(await askNeighbour(peer, blob.digest, never, deps), peer);
});

t.test('a peer that was started anew is asked by its new instance', async (t) => {
  const { shelf, peer, deps } = await start(t);
  const before = { ...peer, instance: 'instance-1', addresses: ['127.0.0.1:1', ...peer.addresses] };
  t.equal(await askNeighbour(before, blob.digest, never, deps), undefined);
  shelf.blobs.set(blob.digest, blob.bytes);
  const addresses = [...peer.addresses, '127.0.0.1:1'];
  t.same(await askNeighbour(before, blob.digest, never, deps), { ...peer, addresses });
});

t.test('one that does not prove who it is, or is another, is not asked', async (t) => {
  const stranger = await start(t, 'the secret of another cluster altogether');
  const before = { ...stranger.peer, instance: 'instance-1' };
  const refused = askNeighbour(before, blob.digest, never, stranger.deps);
  t.match(await failureOf(refused), { code: 'PEER_REFUSED' });
  const same = askNeighbour(stranger.peer, blob.digest, never, stranger.deps);
  t.match(await failureOf(same), { code: 'PEER_REFUSED' });
  const { peer, deps } = await start(t);
  const other = askNeighbour({ ...peer, peer: 'peer-c-00' }, blob.digest, never, deps);
  t.match(await failureOf(other), { code: 'PEER_REFUSED' });
});

t.test('other failures stay what they are', async (t) => {
  const { peer, deps } = await start(t);
  const cut = new PeerCut({ peer: peer.peer, address: 'x:1', seen: 'it was closed' });
  const client = { has: () => Promise.reject(cut) };
  t.equal(await failureOf(askNeighbour(peer, blob.digest, never, { ...deps, client })), cut);
});
