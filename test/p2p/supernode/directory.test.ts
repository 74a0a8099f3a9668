import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { GiB, MiB } from '../../../src/base/units.ts';
import { Directory } from '../../../src/p2p/supernode/directory.ts';
import { MAX_PIECES, MAX_PIECES_OVERALL, MAX_PIECES_PER_PEER } from '../../../src/p2p/supernode/limits.ts';
import { Swarm } from '../../../src/p2p/supernode/swarm.ts';

t.test('all peers’ parts together are bounded', async (t) => {
  const directory = new Directory(3);
  const [a, b] = [directory.peerOrNew('a')!, directory.peerOrNew('b')!];
  const first = directory.memberOrNew(a, digestOf('1'))!;
  t.ok(directory.memberOrNew(a, digestOf('2')));
  t.ok(directory.memberOrNew(b, digestOf('1')));
  t.equal(directory.memberOrNew(b, digestOf('2')), undefined);
  t.equal(directory.memberOrNew(b, digestOf('3')), undefined);
  t.notOk(directory.blobs.has(digestOf('3')));
  t.equal(directory.memberOrNew(a, digestOf('1')), first, 'what is there is there');
  directory.remove(first);
  t.ok(directory.memberOrNew(b, digestOf('2')));
});

t.test('I5: blobs that are said to be huge take no more memory than the limits mean', async (t) => {
  const swarm = new Swarm({ now: 0, random: Math.random, settleMs: 0 });
  for (const peer of ['liar', 'honest']) swarm.apply({ kind: 'peer', peer, reachable: true }, 0);
  const huge = 64 * GiB;
  const before = process.memoryUsage().arrayBuffers;
  const rejects = (n: number, peer: string) => {
    const digest = digestOf(`blob ${n}`);
    const decisions = swarm.apply({ kind: 'have', peer, digest, size: huge, pieces: [0], crcs: [[0, 1]] }, 0);
    return decisions.some((decision) => decision.kind === 'reject' && decision.code === 'LIMIT_REACHED');
  };
  const refused = Array.from({ length: 20_000 }, (_, n) => rejects(n, 'liar')).filter(Boolean).length;
  const taken = MAX_PIECES_PER_PEER / MAX_PIECES;
  t.equal(refused, 20_000 - taken);
  t.equal(swarm.stats().blobs, taken);
  const grown = process.memoryUsage().arrayBuffers - before;
  t.ok(grown < 32 * MiB, `${Math.round(grown / MiB)} MiB of tables`);
  t.notOk(rejects(0, 'honest'), 'others are not kept from the blobs that it has named,');
  t.notOk(rejects(20_001, 'honest'), 'nor from others');
  swarm.apply({ kind: 'lost', peer: 'liar', digest: digestOf('blob 1') }, 0);
  t.notOk(rejects(20_002, 'liar'), 'what is given up makes room');
  swarm.apply({ kind: 'gone', peer: 'liar' }, 0);
  t.equal(swarm.stats().blobs, 2);
  swarm.apply({ kind: 'peer', peer: 'liar', reachable: true }, 0);
  t.notOk(rejects(30_000, 'liar'));
});

t.test('all blobs’ pieces together are bounded', async (t) => {
  const directory = new Directory();
  const peers = Array.from({ length: 17 }, (_, n) => directory.peerOrNew(`peer ${n}`)!);
  let taken = 0;
  for (const [p, peer] of peers.entries()) {
    for (let n = 0; n < MAX_PIECES_PER_PEER / MAX_PIECES; n += 1) {
      const member = directory.memberOrNew(peer, digestOf(`${p} ${n}`))!;
      if (directory.learnSize(member.blob, 64 * GiB, peer) === undefined) taken += 1;
      else directory.remove(member);
    }
  }
  t.equal(taken, MAX_PIECES_OVERALL / MAX_PIECES);
});

t.test('a peer that has as many pieces as it may keeps nobody from learning a size', async (t) => {
  const directory = new Directory();
  const [full, other] = [directory.peerOrNew('full')!, directory.peerOrNew('other')!];
  const { blob } = directory.memberOrNew(full, digestOf('unsized'))!;
  full.pieces = MAX_PIECES_PER_PEER;
  directory.memberOrNew(other, digestOf('unsized'));
  t.equal(directory.learnSize(blob, 1, full), 'LIMIT_REACHED');
  t.equal(directory.learnSize(blob, 1, other), undefined);
  t.equal(directory.learnSize(blob, 2, other), 'SIZE_CONFLICT');
});
