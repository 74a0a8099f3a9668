import t, { type Test } from 'tap';
import { systemClock } from '../../../src/base/clock.ts';
import { digestOf } from '../../../src/base/digest.ts';
import { Limiter } from '../../../src/base/limiter.ts';
import { createLogger } from '../../../src/base/log.ts';
import { Metrics } from '../../../src/base/metrics.ts';
import { KnownNeighbours } from '../../../src/p2p/peer/neighbours.ts';
import { PieceClient } from '../../../src/p2p/peer/piece-client.ts';
import { saidIn, type Reading, type ReadingKey } from '../../../src/p2p/peer/readings.ts';
import { PeerVouchers } from '../../../src/p2p/peer/vouchers.ts';
import type { PeerTarget } from '../../../src/p2p/protocol/coordinator.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { blackHole } from '../../support/black-hole.ts';
import { startPieceServer } from '../../support/piece-rig.ts';
import { never } from '../../support/registry-client.ts';
import { SECRET } from '../../support/swarm-rig.ts';

const KEY: ReadingKey = { registry: 'docker.io', repository: 'library/alpine', digest: digestOf('a blob') };
const RECEIVER = 'peer-asks-00';
const any = () => true;

/** A peer with a real piece port that vouches for `reading`, and signs with `secret`; it lets everybody in. */
async function startPeer(t: Test, peer: string, reading: Reading | undefined, secret = SECRET) {
  const membership = new Membership(secret);
  const identity = { peer, instance: `${peer}-life` };
  const asked: ReadingKey[] = [];
  const server = await startPieceServer(t, {
    identity,
    auth: {
      check: (token) =>
        secret === SECRET
          ? membership.checkPieceToken(token, { sender: peer, instance: identity.instance }, Date.now())?.receiver
          : RECEIVER,
    },
    prove: (nonce) => membership.whoamiProof({ nonce, ...identity }),
    vouch: async (key, nonce) => {
      asked.push(key);
      return (
        reading && { reading, proof: membership.readingProof({ nonce, ...identity, ...key, said: saidIn(reading) }) }
      );
    },
  });
  const target: PeerTarget = { ...identity, addresses: [`127.0.0.1:${server.port}`] };
  return { target, asked };
}

function vouchers(t: Test, known: readonly PeerTarget[], givers: readonly PeerTarget[] = []) {
  const membership = new Membership(SECRET);
  const clock = systemClock;
  const client = new PieceClient({
    auth: {
      token: ({ peer, instance }) => membership.pieceToken({ sender: peer, receiver: RECEIVER, instance }, clock.now()),
    },
    clock,
    limiter: new Limiter({ bytesPerSecond: undefined, clock }),
    metrics: new Metrics(),
  });
  t.teardown(() => client.close());
  const lines: { asked: number; have: number; failed: Record<string, string> }[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const neighbours = new KnownNeighbours({
    known: () =>
      known.map(({ peer, instance, addresses }) => ({ id: peer, instance, addresses: [...addresses], zone: '' })),
    zone: '',
    ask: async () => undefined,
    clock,
    log: createLogger({ level: 'debug', format: 'json', destination }),
  });
  const made = new PeerVouchers({
    neighbours,
    knownCount: () => known.length,
    giversOf: (digest) => (digest === KEY.digest ? givers : []),
    client,
    membership,
  });
  return { vouchers: made, lines };
}

t.test('one of several peers has read it: its word is taken, whoever else is dead or says nothing', async (t) => {
  const reading = { ageMs: 1234, size: 5, mediaType: 'text/x' };
  const hole = await blackHole(t);
  const dead = { peer: 'peer-dead-00', instance: 'gone', addresses: ['127.0.0.1:1'] };
  const silent = { peer: 'peer-hole-00', instance: 'hole', addresses: [`127.0.0.1:${hole.port}`] };
  const other = await startPeer(t, 'peer-none-00', undefined);
  const reader = await startPeer(t, 'peer-read-00', reading);
  const { vouchers: ours, lines } = vouchers(t, [dead, silent, other.target, reader.target]);
  t.ok(ours.isAnybodyThere);
  t.same(await ours.ask(KEY, any, false, never), { ...reading, peer: 'peer-read-00' });
  t.same(reader.asked, [KEY]);
  t.equal(lines[0]!.have, 1);
});

t.test('with nobody who has read it there is no word; nobody is asked where nobody is known', async (t) => {
  const other = await startPeer(t, 'peer-none-00', undefined);
  t.equal(await vouchers(t, [other.target]).vouchers.ask(KEY, any, false, never), undefined);
  t.equal(other.asked.length, 1);
  const { vouchers: alone } = vouchers(t, []);
  t.notOk(alone.isAnybodyThere);
  t.equal(await alone.ask(KEY, any, false, never), undefined);
});

t.test('I4: the word of a stranger does not count', async (t) => {
  // It answers at a member's address, and vouches for whatever it is asked.
  const stranger = await startPeer(t, 'peer-strange-00', { ageMs: 0 }, 'the secret of another cluster altogether');
  const { vouchers: ours, lines } = vouchers(t, [stranger.target]);
  t.equal(await ours.ask(KEY, any, false, never), undefined);
  t.equal(stranger.asked.length, 1, 'it was asked');
  t.match(lines, [{ asked: 1, have: 0, failed: { 'peer-strange-00': 'PEER_BAD_RESPONSE' } }]);
  t.equal(await ours.ask(KEY, any, false, never), undefined);
  t.equal(stranger.asked.length, 1, 'and is left alone for a while');
  t.equal(await ours.ask(KEY, any, true, never), undefined);
  t.equal(stranger.asked.length, 2, 'unless nobody else is left');
});

t.test('a reading that the asker does not accept leaves the others to be asked', async (t) => {
  const old = await startPeer(t, 'peer-old-0000', { ageMs: 5000 });
  const fresh = await startPeer(t, 'peer-fresh-00', { ageMs: 10 });
  const { vouchers: ours } = vouchers(t, [old.target, fresh.target]);
  t.match(await ours.ask(KEY, ({ ageMs }) => ageMs < 1000, false, never), { peer: 'peer-fresh-00' });
  t.equal(await ours.ask(KEY, ({ ageMs }) => ageMs < 5, false, never), undefined);
});

t.test('who gives the blob is asked though no supernode named it, and by its new name after a restart', async (t) => {
  const giver = await startPeer(t, 'peer-giver-00', { ageMs: 10 });
  const before = { ...giver.target, instance: 'an-earlier-life' };
  const { vouchers: ours } = vouchers(t, [], [before]);
  t.match(await ours.ask(KEY, any, false, never), { peer: 'peer-giver-00' });
});
