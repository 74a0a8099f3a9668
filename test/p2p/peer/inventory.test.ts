import t from 'tap';
import { digestOf, type Digest } from '../../../src/base/digest.ts';
import { MiB } from '../../../src/base/units.ts';
import { Inventory, type Announce } from '../../../src/p2p/peer/inventory.ts';
import { MAX_ANNOUNCED, MAX_BATCH, MAX_MESSAGE_BYTES } from '../../../src/p2p/protocol/limits.ts';
import { encode, parseFromProxy } from '../../../src/p2p/protocol/messages.ts';
import { packCrcs, packPieces } from '../../../src/p2p/protocol/packed.ts';

const [a, b, c] = ['a', 'b', 'c'].map((text) => digestOf(text)) as [Digest, Digest, Digest];
const EPOCH = 'epoch-01';

function shelf(...blobs: Digest[]) {
  const here = new Map(blobs.map((digest) => [digest, 3]));
  return { here, list: () => [...here].map(([digest, size]) => ({ digest, size })) };
}

async function all(messages: AsyncIterable<Announce>): Promise<Announce[]> {
  const list: Announce[] = [];
  for await (const message of messages) list.push(message);
  return list;
}

t.test('all of it to a new supernode, then what changes', async (t) => {
  const store = shelf(a);
  const other = shelf(b, a);
  const inventory = new Inventory({ shelves: [store, other] });
  t.same(await all(inventory.full(EPOCH)), [
    {
      t: 'announce',
      epoch: EPOCH,
      blobs: [
        [a, 3, ''],
        [b, 3, ''],
      ],
    },
  ]);
  t.same(await all(inventory.changes(EPOCH)), []);
  store.here.set(c, 3);
  other.here.delete(b);
  t.same(await all(inventory.changes(EPOCH)), [{ t: 'announce', epoch: EPOCH, gone: [b], blobs: [[c, 3, '']] }]);
  store.here.delete(a);
  t.same(await all(inventory.changes(EPOCH)), [], 'the other shelf still has it');
  other.here.delete(a);
  t.same(
    await all(inventory.full(EPOCH)),
    [{ t: 'announce', epoch: EPOCH, blobs: [[c, 3, '']], gone: [a] }],
    'what has gone meanwhile is said too',
  );
});

t.test('a download that has ended: what did not stay is told as gone', async (t) => {
  const store = shelf();
  const inventory = new Inventory({ shelves: [store] });
  await all(inventory.full(EPOCH));
  inventory.ended(a);
  inventory.ended(b);
  store.here.set(b, 3);
  t.same(await all(inventory.changes(EPOCH)), [{ t: 'announce', epoch: EPOCH, gone: [a], blobs: [[b, 3, '']] }]);
  t.same(await all(inventory.changes(EPOCH)), []);
});

t.test('parts, check sums, and what has to stay on this node', async (t) => {
  const pieces = new Map([
    [2, 22],
    [0, 11],
  ]);
  const inventory = new Inventory({
    shelves: [shelf(a, b)],
    isShared: (digest) => digest !== b,
    crcsOf: async () => [7],
    parts: () => [
      { digest: c, size: 3 * MiB, pieces },
      { digest: b, size: MiB, pieces },
      { digest: digestOf('none'), size: MiB, pieces: new Map() },
    ],
  });
  const parts = [[c, 3 * MiB, packPieces([0, 2], 3), packCrcs([11, 22])]];
  t.same(await all(inventory.full(EPOCH)), [{ t: 'announce', epoch: EPOCH, blobs: [[a, 3, packCrcs([7])]], parts }]);
});

t.test('many blobs are cut into messages that the protocol takes, and bounded', async (t) => {
  const many = Array.from({ length: MAX_ANNOUNCED + 100 }, (_, n) => ({
    digest: digestOf(String(n)),
    size: 200 * MiB,
  }));
  const inventory = new Inventory({
    shelves: [{ list: () => many }],
    crcsOf: async () => Array.from({ length: 200 }, () => 1),
  });
  const frames: Announce[] = await all(inventory.full(EPOCH));
  t.equal(
    frames.reduce((sum, frame) => sum + frame.blobs!.length, 0),
    MAX_ANNOUNCED,
  );
  t.ok(frames.every((frame) => frame.blobs!.length <= MAX_BATCH));
  t.ok(frames.every((frame) => encode(frame).length <= MAX_MESSAGE_BYTES));
  t.same(parseFromProxy(encode(frames[0]!)), frames[0]);
});

t.test('what is begun anew while check sums are looked up tells everything', async (t) => {
  const inventory = new Inventory({ shelves: [shelf(a, b)], crcsOf: async () => undefined });
  const first = inventory.full(EPOCH);
  const pending = first.next();
  const second = await all(inventory.full('epoch-02'));
  await pending;
  await first.return(undefined);
  t.same(second, [
    {
      t: 'announce',
      epoch: 'epoch-02',
      blobs: [
        [a, 3, ''],
        [b, 3, ''],
      ],
    },
  ]);
  t.same(await all(inventory.changes('epoch-02')), []);
});
