import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { MiB } from '../../../src/base/units.ts';
import { PIECE_FAILURES, type FromProxy, type Message } from '../../../src/p2p/protocol/messages.ts';
import { packCrcs, packPieces } from '../../../src/p2p/protocol/packed.ts';
import type { SwarmEvent } from '../../../src/p2p/supernode/events.ts';
import { SwarmWords } from '../../../src/p2p/supernode/swarm-words.ts';

const digest = digestOf('a blob');
const peer = 'peer-a-00';
const epoch = 'epoch-of-test';
const WANT: Message<FromProxy, 'want'> = { t: 'want', epoch, w: 1, digest, size: 3 * MiB, held: '', awaited: [] };

function rig() {
  const events: SwarmEvent[] = [];
  const words = new SwarmWords(
    { peer },
    { swarm: (event) => events.push(event), peerOf: (number) => (number === 7 ? 'peer-b-00' : undefined) },
  );
  return { words, take: () => events.splice(0) };
}

const IMPOSSIBLE = { name: 'Impossible' };

t.test('a wish: first what it is, then what it reads already, then what it waits for', async (t) => {
  const { words, take } = rig();
  words.want({
    ...WANT,
    held: packPieces([2], 3),
    awaited: [[0, 0]],
    origin: 'docker.io',
    image: digestOf('image'),
    reading: [[40, 1, 0]],
  });
  t.same(take(), [
    {
      kind: 'want',
      peer,
      digest,
      size: 3 * MiB,
      held: [2],
      awaited: [],
      origin: 'docker.io',
      image: digestOf('image'),
    },
    { kind: 'reading', peer, digest, lease: 40, run: { first: 1, count: Infinity } },
    { kind: 'awaiting', peer, digest, awaited: [{ first: 0, count: Infinity }] },
  ]);
  t.equal(words.wishOf(digest), 1);
  words.awaiting({ t: 'awaiting', w: 1, awaited: [[1, 2]] });
  words.leave({ t: 'leave', w: 1 });
  t.same(take(), [
    { kind: 'awaiting', peer, digest, awaited: [{ first: 1, count: 2 }] },
    { kind: 'leave', peer, digest },
  ]);
  words.awaiting({ t: 'awaiting', w: 1, awaited: [[1, 2]] });
  words.leave({ t: 'leave', w: 1 });
  words.report({ t: 'r', d: [1], p: [[1, 0, 0, 5, 9]] });
  t.same(take(), [], 'what was on its way when it left');
});

t.test('what it holds, with the check sums of just these pieces', async (t) => {
  const { words, take } = rig();
  const [part, gone] = [digestOf('part'), digestOf('gone')];
  words.announce({
    t: 'announce',
    epoch,
    blobs: [[digest, 2 * MiB, packCrcs([5, 6])]],
    parts: [
      [part, 3 * MiB, packPieces([0, 2], 3), packCrcs([8, 9])],
      [part, 3 * MiB, packPieces([1], 3), ''],
    ],
    gone: [gone],
  });
  const events = take().map((event) =>
    event.kind === 'have' && event.crcs ? { ...event, crcs: [...event.crcs] } : event,
  );
  t.same(events, [
    {
      kind: 'have',
      peer,
      digest,
      size: 2 * MiB,
      crcs: [
        [0, 5],
        [1, 6],
      ],
    },
    {
      kind: 'have',
      peer,
      digest: part,
      size: 3 * MiB,
      pieces: [0, 2],
      crcs: [
        [0, 8],
        [2, 9],
      ],
    },
    { kind: 'have', peer, digest: part, size: 3 * MiB, pieces: [1], crcs: undefined },
    { kind: 'lost', peer, digest: gone },
  ]);
});

t.test('a report: each of its lists, in the order in which they follow from each other', async (t) => {
  const { words, take } = rig();
  words.want(WANT);
  take();
  words.report({
    t: 'r',
    y: [[1, 2, 22]],
    d: [1],
    e: [
      [1, 40, '', 0, 0],
      [1, 41, 'ORIGIN_NOT_FOUND', 1, 500],
    ],
    q: [[1, 42, 0, 11, 's'.repeat(43)]],
    f: [
      [1, 0, 7, 0],
      [1, 0, 8, 0],
    ],
    p: [
      [1, 0, 0, 5, 11],
      [1, 1, 7, 6, 12],
      [1, 2, 8, 7, 13],
    ],
    x: [[1, 1]],
    g: [[1, 40]],
    n: [1],
    s: [[1, 3 * MiB]],
  });
  t.same(take(), [
    { kind: 'size', peer, digest, size: 3 * MiB },
    { kind: 'no-ranges', peer, digest },
    { kind: 'progress', peer, digest, lease: 40 },
    { kind: 'lost-piece', peer, digest, piece: 1 },
    { kind: 'piece', peer, digest, piece: 0, from: undefined, ms: 5, crc32: 11 },
    { kind: 'piece', peer, digest, piece: 1, from: 'peer-b-00', ms: 6, crc32: 12 },
    { kind: 'piece', peer, digest, piece: 2, from: '', ms: 7, crc32: 13 },
    { kind: 'failed', peer, digest, piece: 0, from: 'peer-b-00', reason: PIECE_FAILURES[0] },
    { kind: 'second-reading', peer, digest, lease: 42, piece: 0, crc32: 11, sha256: 's'.repeat(43) },
    { kind: 'ended', peer, digest, lease: 40, failure: undefined },
    { kind: 'ended', peer, digest, lease: 41, failure: { code: 'ORIGIN_NOT_FOUND', final: true, retryAfterMs: 500 } },
    { kind: 'mismatch', peer, digest },
    { kind: 'settled', peer, digest, piece: 2, crc32: 22 },
  ]);
});

t.test('what cannot be true changes nothing', async (t) => {
  const { words, take } = rig();
  words.want(WANT);
  take();
  const other = digestOf('other');
  t.throws(() => words.want({ ...WANT, digest: other }), IMPOSSIBLE, 'a number that was given');
  t.throws(() => words.want({ ...WANT, w: 2, digest: other, held: packPieces([3], 4) }), IMPOSSIBLE);
  t.equal(words.wishOf(other), undefined);
  words.want({ ...WANT, w: 2, digest: other });
  take();
  t.throws(() => words.report({ t: 'r', d: [1], y: [[3, 0, 0]] }), IMPOSSIBLE, 'a wish that there was not');
  t.throws(
    () =>
      words.announce({ t: 'announce', epoch, blobs: [[other, 1, '']], parts: [[digest, MiB, packPieces([1], 2), '']] }),
    IMPOSSIBLE,
  );
  t.same(take(), []);
});

t.test('wishes of the session before: those that are not made again are left', async (t) => {
  const [before, after] = [rig(), rig()];
  const other = digestOf('other');
  before.words.want(WANT);
  before.words.want({ ...WANT, w: 2, digest: other });
  after.words.inherit(before.words);
  after.words.want(WANT);
  after.take();
  after.words.leaveInherited();
  t.same(after.take(), [{ kind: 'leave', peer, digest: other }]);
  after.words.leaveInherited();
  t.same(after.take(), []);
});
