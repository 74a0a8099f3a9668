import t, { type Test } from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { MiB } from '../../../src/base/units.ts';
import {
  RemoteCoordinator,
  SILENCE_MS,
  SMALL_SILENCE_MS,
  type CoordinatorLink,
} from '../../../src/p2p/peer/remote-coordinator.ts';
import { SoloCoordinator } from '../../../src/p2p/peer/solo-coordinator.ts';
import { networkCandidates, type FindCandidates } from '../../../src/p2p/peer/supernode-dial.ts';
import type { Assignment, Want } from '../../../src/p2p/protocol/coordinator.ts';
import {
  encode,
  parseFromProxy,
  type FromProxy,
  type FromSupernode,
  type Message,
} from '../../../src/p2p/protocol/messages.ts';
import { packCrcs, packPieces } from '../../../src/p2p/protocol/packed.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import type { Supernode } from '../../../src/p2p/supernode/supernode.ts';
import { coordinatorConformance, settle } from '../../support/coordinator-conformance.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import {
  askFrom,
  makeSession,
  makeSupernode,
  pairedCandidates,
  SECRET,
  serve,
  until,
  WatchedCandidates,
  type Phonebook,
} from '../../support/swarm-rig.ts';

function connect(clock: ManualClock, url: string, candidates: FindCandidates) {
  const watched = new WatchedCandidates();
  const coordinator = new RemoteCoordinator({ solo: new SoloCoordinator({ clock, random: () => 0.5 }), clock });
  const session = makeSession({ clock, urls: [url], candidates: watched.watch(candidates) });
  session.start(coordinator);
  return { watched, coordinator, session };
}

/** A supernode for each rig, as the coordinators of the suite know nothing of each other. */
function rigOver(
  open: (clock: ManualClock, supernode: Supernode) => Promise<{ url: string; candidates: FindCandidates }>,
) {
  const ends: (() => void | Promise<void>)[] = [];
  const make = async () => {
    while (ends.length > 0) await ends.pop()!();
    const clock = new ManualClock();
    const supernode = makeSupernode(clock);
    const { url, candidates } = await open(clock, supernode);
    const { watched, coordinator, session } = connect(clock, url, candidates);
    ends.push(
      () => supernode.close(),
      () => session.close(),
    );
    await until('the session is open', () => session.link !== undefined);
    return { coordinator, clock, settle: () => watched.settle() };
  };
  return { make, ends };
}

const inProcess = rigOver(async (_clock, supernode) => ({
  url: 'http://here',
  candidates: pairedCandidates(() => supernode),
}));
coordinatorConformance(t, 'in process', inProcess.make);

const served: { close: () => Promise<void> }[] = [];
const overNetwork = rigOver(async (clock, supernode) => {
  await served.pop()?.close();
  const server = await serve(undefined, supernode);
  served.push(server);
  return { url: server.url, candidates: networkCandidates(clock) };
});
coordinatorConformance(t, 'over a WebSocket', overNetwork.make);
t.teardown(async () => {
  for (const end of [...inProcess.ends, ...overNetwork.ends]) await end();
  await served.pop()?.close();
});

/** A coordinator whose supernode is the test. */
class Scripted {
  readonly clock = new ManualClock();
  readonly closed: string[] = [];
  readonly coordinator = new RemoteCoordinator({
    solo: new SoloCoordinator({ clock: this.clock, random: () => 0.5 }),
    clock: this.clock,
    onClosed: (digest) => this.closed.push(digest),
  });
  sent: FromProxy[] = [];
  readonly assigned: Assignment[] = [];

  open(epoch = 'epoch-01', rttMs = 1): void {
    const link: CoordinatorLink = { epoch, rttMs, send: (message) => this.sent.push(parseFromProxy(encode(message))) };
    this.coordinator.opened(link);
  }

  want(want: Partial<Want> = {}) {
    const pieceCount = 'pieceCount' in want ? want.pieceCount : 10;
    const size = pieceCount === undefined ? undefined : pieceCount * MiB;
    return this.coordinator.want(
      { digest: digestOf('a blob'), pieceCount, size, held: [], origin: 'x', ...want },
      (assignment) => {
        this.assigned.push(assignment);
      },
    );
  }

  /** What was sent since it was last asked. */
  async take(): Promise<FromProxy[]> {
    await settle();
    await settle();
    const { sent } = this;
    this.sent = [];
    return sent;
  }

  async assign(fields: Omit<Message<FromSupernode, 'a'>, 't'>): Promise<void> {
    this.coordinator.assigned({ t: 'a', ...fields });
    await settle();
  }

  /** Time passes, and what follows from it. */
  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms);
    await settle();
  }

  takeAssigned(): Assignment[] {
    return this.assigned.splice(0);
  }
}

const allOf = (count: number) => [{ first: 0, count }];

t.test('what it says: the wish with all that is awaited, then only what changes, reports together', async (t) => {
  const rig = new Scripted();
  rig.open();
  const ticket = rig.want({ held: [3], image: digestOf('image') });
  t.same(await rig.take(), [], 'nothing before something is awaited');
  ticket.awaiting([
    { first: 0, count: 4 },
    { first: 2, count: Number.POSITIVE_INFINITY },
  ]);
  const want = { t: 'want', epoch: 'epoch-01', digest: digestOf('a blob'), size: 10 * MiB, held: packPieces([3], 10) };
  t.match(await rig.take(), [
    {
      ...want,
      awaited: [
        [0, 4],
        [2, 0],
      ],
      origin: 'x',
      image: digestOf('image'),
    },
  ]);
  ticket.awaiting([
    { first: 0, count: 4 },
    { first: 2, count: Number.POSITIVE_INFINITY },
  ]);
  t.same(await rig.take(), []);
  await rig.assign({
    p: [[7, 'peer-b-00', 'instance-b', ['b:1']]],
    l: [[1, 500, 0, 2]],
    f: [
      [1, 4, 7, 99],
      [1, 5, 7, -1],
      [1, 6, 8, 1],
      [77, 1, 7, 1],
    ],
    w: [1],
  });
  const from = { peer: 'peer-b-00', instance: 'instance-b', addresses: ['b:1'] };
  t.same(rig.takeAssigned(), [
    { kind: 'lease', lease: 1, run: { first: 0, count: 2 } },
    { kind: 'fetch', piece: 4, from, crc32: 99 },
    { kind: 'fetch', piece: 5, from, crc32: undefined },
  ]);
  ticket.report({ kind: 'no-ranges' });
  ticket.report({ kind: 'progress', lease: 1 });
  ticket.report({ kind: 'piece', piece: 0, crc32: 5, source: 'origin', ms: 12 });
  ticket.report({ kind: 'piece', piece: 4, crc32: 99, source: 'peers', from: 'peer-b-00', ms: 3 });
  ticket.report({ kind: 'piece', piece: 8, crc32: 1, source: 'peers', from: 'peer-of-old' });
  ticket.report({ kind: 'failed', piece: 5, from: 'peer-b-00', reason: 'gone' });
  ticket.report({ kind: 'ended', lease: 1, failure: { code: 'ORIGIN_CUT', final: false, retryAfterMs: 100 } });
  ticket.report({ kind: 'ended', lease: 1 });
  ticket.awaiting([{ first: 1, count: 2 }]);
  t.same(await rig.take(), [
    {
      t: 'r',
      n: [1],
      g: [[1, 500]],
      p: [
        [1, 0, 0, 12, 5],
        [1, 4, 7, 3, 99],
        [1, 8, -1, 0, 1],
      ],
      f: [[1, 5, 7, 3]],
      e: [[1, 500, 'ORIGIN_CUT', 0, 100]],
    },
    { t: 'awaiting', w: 1, awaited: [[1, 2]] },
  ]);
  ticket.close();
  ticket.close();
  ticket.report({ kind: 'piece', piece: 1, crc32: 0, source: 'origin' });
  ticket.awaiting(allOf(3));
  t.same(await rig.take(), [{ t: 'leave', w: 1 }]);
  t.same(rig.closed, [digestOf('a blob')]);
  await rig.assign({ l: [[1, 501, 0, 2]], n: [[1, 0, '']] });
  t.same(rig.takeAssigned(), [], 'a closed ticket is silent');
});

t.test('after 2 s of silence it goes on alone, and back when it hears of the supernode', async (t) => {
  const rig = new Scripted();
  rig.open();
  const ticket = rig.want();
  ticket.awaiting(allOf(10));
  await rig.take();
  await rig.advance(SILENCE_MS - 1);
  await rig.assign({ w: [1] });
  await rig.advance(SILENCE_MS - 1);
  t.same(rig.takeAssigned(), [], 'a word is enough');
  await rig.advance(1);
  t.same(rig.takeAssigned(), [{ kind: 'lease', lease: 1, run: { first: 0, count: 10 } }]);
  t.same(await rig.take(), [{ t: 'leave', w: 1 }]);
  ticket.report({ kind: 'progress', lease: 1 });
  ticket.report({ kind: 'piece', piece: 0, crc32: 5, source: 'origin' });
  t.same(await rig.take(), [], 'what comes now is told later');
  rig.coordinator.heard();
  const parts = [[digestOf('a blob'), 10 * MiB, packPieces([0], 10), packCrcs([5])]];
  const [announce, want] = await rig.take();
  t.same(
    announce,
    { t: 'announce', epoch: 'epoch-01', parts },
    'with the check sums: others are to check what they get',
  );
  t.match(want, { t: 'want', w: 2, held: packPieces([0], 10), reading: [[2 ** 52 + 1, 1, 9]] });
  await rig.assign({ c: [[2, 2 ** 52 + 1, 4]] });
  t.same(rig.takeAssigned(), [{ kind: 'cut', lease: 1, last: 4 }]);
  ticket.report({ kind: 'piece', piece: 1, crc32: 6, source: 'origin' });
  t.same(await rig.take(), [{ t: 'r', p: [[2, 1, 0, 0, 6]] }]);
  await rig.advance(60_000);
  t.same(rig.takeAssigned(), [], 'it has something to do: nobody has to say a word');
  for (const piece of [2, 3, 4]) ticket.report({ kind: 'piece', piece, crc32: 0, source: 'origin' });
  ticket.report({ kind: 'ended', lease: 1 });
  await rig.advance(SILENCE_MS);
  t.match(rig.takeAssigned(), [{ kind: 'lease', run: { first: 5, count: 5 } }], 'only now');
  ticket.close();
});

t.test('disputes: what is said of them, and what of them is under way when the session goes', async (t) => {
  const rig = new Scripted();
  rig.open();
  const ticket = rig.want({ held: [0, 1, 2], pieceCount: 3 });
  ticket.awaiting(allOf(3));
  await rig.take();
  t.ok(ticket.dispute());
  t.same(await rig.take(), [{ t: 'r', d: [1] }]);
  const sha256 = 'x'.repeat(43);
  await rig.assign({
    p: [[7, 'peer-b-00', 'instance-b', ['b:1']]],
    q: [[1, 500, 0, 2]],
    h: [
      [1, 2, 7, sha256],
      [1, 1, -1, sha256],
    ],
    o: [
      [1, 0],
      [1, 1],
    ],
  });
  t.same(rig.takeAssigned(), [
    { kind: 'read-again', lease: 1, run: { first: 0, count: 2 } },
    { kind: 'second-reading', piece: 2, by: 'peer-b-00', sha256 },
    { kind: 'second-reading', piece: 1, by: undefined, sha256 },
    { kind: 'dispute', isOver: false },
    { kind: 'dispute', isOver: true },
  ]);
  ticket.report({ kind: 'progress', lease: 1 });
  ticket.report({ kind: 'reading', lease: 1, piece: 0, crc32: 5, sha256 });
  ticket.report({ kind: 'ended', lease: 1 });
  ticket.report({ kind: 'lost', piece: 2 });
  ticket.report({ kind: 'settled', piece: 2, crc32: 6 });
  t.same(await rig.take(), [
    { t: 'r', g: [[1, 500]], q: [[1, 500, 0, 5, sha256]], e: [[1, 500, '', 0, 0]], x: [[1, 2]], y: [[1, 2, 6]] },
  ]);
  ticket.report({ kind: 'lost', piece: 1 });
  await rig.take();
  rig.coordinator.lost();
  rig.open('epoch-02');
  const [, want, reports] = await rig.take();
  t.match(want, { t: 'want', held: packPieces([0, 2], 3) }, 'what is lost is not here');
  t.same(reports, { t: 'r', d: [2] }, 'the next supernode is to help too');
  // It has nothing to do, and hears nothing.
  await rig.clock.advance(SILENCE_MS);
  t.same(rig.takeAssigned(), [
    { kind: 'dispute', isOver: true },
    { kind: 'lease', lease: 2, run: { first: 1, count: 1 } },
  ]);
  t.notOk(ticket.dispute(), 'alone nobody helps');
  ticket.close();
  t.notOk(ticket.dispute());
});

t.test('a blob of one piece waits a moment only', async (t) => {
  const rig = new Scripted();
  rig.open('epoch-01', 50);
  rig.want({ pieceCount: 1 }).awaiting(allOf(1));
  await rig.take();
  await rig.advance(199);
  t.same(rig.takeAssigned(), [], 'four times the way there and back');
  await rig.advance(1);
  t.match(rig.takeAssigned(), [{ kind: 'lease' }]);
  const near = new Scripted();
  near.open();
  near.want({ pieceCount: 1 }).awaiting(allOf(1));
  await near.take();
  await near.advance(SMALL_SILENCE_MS);
  t.match(near.takeAssigned(), [{ kind: 'lease' }]);
  const manifest = new Scripted();
  manifest.open();
  manifest.want({ pieceCount: undefined, isSmall: true }).awaiting(allOf(Number.POSITIVE_INFINITY));
  await manifest.take();
  await manifest.advance(SMALL_SILENCE_MS);
  t.match(manifest.takeAssigned(), [{ kind: 'lease' }], 'a manifest, whose size nobody knows yet, likewise');
});

t.test(
  'who is told to wait for a blob of one piece waits for the next word: not everybody is to read it',
  async (t) => {
    const rig = new Scripted();
    rig.open();
    const ticket = rig.want({ pieceCount: 1 });
    ticket.awaiting(allOf(1));
    await rig.take();
    await rig.assign({ w: [1] });
    await rig.advance(1000);
    await rig.assign({ w: [1] });
    await rig.advance(SILENCE_MS - 1);
    t.same(rig.takeAssigned(), [], 'somebody reads it');
    await rig.assign({ p: [[7, 'peer-b-00', 'instance-b', ['b:1']]], f: [[1, 0, 7, -1]] });
    t.match(rig.takeAssigned(), [{ kind: 'fetch' }]);
    ticket.report({ kind: 'failed', piece: 0, from: 'peer-b-00', reason: 'reset' });
    await rig.advance(SMALL_SILENCE_MS);
    t.match(rig.takeAssigned(), [{ kind: 'lease' }], 'after that, silence is silence again');
  },
);

t.test('with no session nobody is waited for; a lost one has 2 s to come back', async (t) => {
  const rig = new Scripted();
  const first = rig.want();
  first.awaiting(allOf(10));
  await rig.take();
  t.match(rig.takeAssigned(), [{ kind: 'lease' }], 'at once');
  first.close();
  rig.open();
  const second = rig.want();
  second.awaiting(allOf(10));
  await rig.take();
  rig.coordinator.lost();
  await rig.advance(SILENCE_MS - 1);
  t.same(rig.takeAssigned(), []);
  rig.open('epoch-02');
  t.match(await rig.take(), [{ t: 'want', epoch: 'epoch-02', w: 2 }]);
  rig.coordinator.lost();
  await rig.advance(SILENCE_MS);
  t.match(rig.takeAssigned(), [{ kind: 'lease' }]);
  await rig.advance(SILENCE_MS);
  const third = rig.want({ digest: digestOf('another') });
  third.awaiting(allOf(10));
  await rig.take();
  t.match(rig.takeAssigned(), [{ kind: 'lease' }], 'lost long ago');
  second.close();
  third.close();
});

t.test('a lease survives the loss of its session and is told to the next', async (t) => {
  const rig = new Scripted();
  rig.open();
  const ticket = rig.want({ pieceCount: undefined });
  ticket.awaiting([{ first: 0, count: Number.POSITIVE_INFINITY }]);
  t.match(await rig.take(), [{ t: 'want', held: '', awaited: [[0, 0]] }]);
  await rig.assign({ l: [[1, 9, 0, 0]] });
  t.same(rig.takeAssigned(), [{ kind: 'lease', lease: 1, run: { first: 0, count: Number.POSITIVE_INFINITY } }]);
  ticket.report({ kind: 'pieces', pieceCount: 4, size: 4 * MiB });
  t.same(await rig.take(), [{ t: 'r', s: [[1, 4 * MiB]] }]);
  rig.coordinator.lost();
  ticket.report({ kind: 'piece', piece: 0, crc32: 1, source: 'origin' });
  await rig.advance(60_000);
  t.same(rig.takeAssigned(), [], 'it is read on');
  rig.open('epoch-02');
  t.match(await rig.take(), [
    { t: 'announce' },
    { t: 'want', size: 4 * MiB, held: packPieces([0], 4), reading: [[2 ** 52 + 1, 1, 3]] },
  ]);
  // Alone again, and this time the read breaks off.
  await rig.assign({ n: [[2, 1, 'SIZE_CONFLICT']] });
  t.same(await rig.take(), [{ t: 'leave', w: 2 }]);
  t.same(rig.takeAssigned(), [], 'what is being read is not read twice');
  ticket.report({ kind: 'ended', lease: 1, failure: { code: 'ORIGIN_CUT', final: false } });
  await rig.take();
  t.same(rig.takeAssigned(), [{ kind: 'lease', lease: 2, run: { first: 1, count: 3 } }]);
  rig.coordinator.heard();
  t.same(await rig.take(), [], 'this supernode does not want to hear of this blob');
  ticket.close();
});

t.test('what the supernode cannot coordinate is decided here; what nobody has is given up', async (t) => {
  const rig = new Scripted();
  rig.open();
  const unsized = rig.want({ pieceCount: 3, size: undefined });
  unsized.awaiting(allOf(3));
  t.same(await rig.take(), [], 'its pieces cannot be told without its size');
  t.match(rig.takeAssigned(), [{ kind: 'lease' }]);
  unsized.close();
  const hopeless = rig.want();
  hopeless.awaiting(allOf(10));
  await rig.take();
  await rig.assign({ n: [[1, 0, 'ORIGIN_DENIED']] });
  t.same(rig.takeAssigned(), [{ kind: 'none' }]);
  hopeless.close();
  await rig.take();
  const many = Array.from({ length: 130 }, (_, n) => rig.want({ digest: digestOf(String(n)) }));
  for (const ticket of many) ticket.awaiting(allOf(10));
  t.equal((await rig.take()).length, 128, 'a session takes so many');
  t.equal(rig.takeAssigned().length, 2, 'the others go on alone');
  for (const ticket of many) ticket.close();
});
/** How far the time goes on at once. */
const STEP_MS = 20;

/**
 * Lets the time go on, but never before all that was said has been taken in: how long a session takes to come back is then the
 * same on any machine, and nobody takes the supernode to be silent because this process was.
 */
async function passUntil(clock: ManualClock, condition: () => boolean): Promise<void> {
  for (let n = 0; n < 400 && !condition(); n += 1) {
    await clock.advance(STEP_MS);
    for (let turns = 0; turns < 20; turns += 1) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Proxies that do what they are told, each piece in one step of the time or less. */
async function swarmOf(t: Test, count: number, supernode: () => Supernode, clock: ManualClock, book: Phonebook) {
  return Promise.all(
    Array.from({ length: count }, async (_, n) => {
      const peer = `peer-${n}-000`;
      book.set(`${peer}:1`, { peer, instance: 'instance-1' });
      const coordinator = new RemoteCoordinator({ solo: new SoloCoordinator({ clock }), clock });
      const session = makeSession({
        clock,
        urls: ['http://x'],
        candidates: pairedCandidates(supernode),
        peer,
        addresses: [`${peer}:1`],
        // They come back one after the other, and all before anyone takes the supernode to be silent.
        random: () => n / (2 * count),
      });
      session.start(coordinator);
      t.teardown(() => session.close());
      await until('it is open', () => session.link !== undefined);
      return { coordinator, held: new Set<number>(), fromOrigin: 0, fromPeers: 0 };
    }),
  );
}

t.test('several proxies, one supernode that is replaced midway: each piece comes from the origin once', async (t) => {
  const clock = new ManualClock();
  const book: Phonebook = new Map();
  const ask = askFrom(book, new Membership(SECRET));
  let supernode = makeSupernode(clock, { ask });
  const proxies = await swarmOf(t, 4, () => supernode, clock, book);
  await until('all are ready', () => supernode.peers().peers.every(({ state }) => state === 'ready'));
  const pieceCount = 40;
  const reads = new Map<number, { next: number; last: number }>();
  for (const proxy of proxies) {
    const leases = new Map<number, { next: number; last: number }>();
    const ticket = proxy.coordinator.want(
      { digest: digestOf('a blob'), pieceCount, size: pieceCount * MiB, held: [], origin: 'x' },
      (assignment) => {
        if (assignment.kind === 'lease') {
          const { first, count } = assignment.run;
          leases.set(assignment.lease, { next: first, last: first + count - 1 });
          reads.set(reads.size, leases.get(assignment.lease)!);
          const step = () => {
            const read = leases.get(assignment.lease)!;
            if (read.next > read.last) {
              ticket.report({ kind: 'ended', lease: assignment.lease });
              return;
            }
            const piece = read.next;
            read.next += 1;
            proxy.held.add(piece);
            proxy.fromOrigin += 1;
            ticket.report({ kind: 'progress', lease: assignment.lease });
            ticket.report({ kind: 'piece', piece, crc32: piece, source: 'origin', ms: 1 });
            clock.after(STEP_MS, step);
          };
          clock.after(STEP_MS, step);
        } else if (assignment.kind === 'cut') leases.get(assignment.lease)!.last = assignment.last;
        else if (assignment.kind === 'fetch') {
          const { piece, from, crc32 } = assignment;
          const sender = proxies[Number(from.peer.split('-')[1])]!;
          if (!sender.held.has(piece)) throw new Error('the sender does not have it');
          if (crc32 !== piece) throw new Error('the check sum is lost');
          clock.after(STEP_MS / 4, () => {
            proxy.held.add(piece);
            proxy.fromPeers += 1;
            ticket.report({ kind: 'piece', piece, crc32: piece, source: 'peers', from: from.peer, ms: 1 });
          });
        } else throw new Error('given up');
      },
    );
    ticket.awaiting(allOf(pieceCount));
  }
  await passUntil(clock, () => proxies[0]!.held.size >= pieceCount / 2);
  const before = supernode;
  supernode = makeSupernode(clock, { ask, settleMs: undefined });
  before.close();
  await passUntil(clock, () => proxies.every(({ held }) => held.size >= pieceCount));
  t.same(
    proxies.map(({ held }) => held.size),
    [pieceCount, pieceCount, pieceCount, pieceCount],
  );
  const fromOrigin = proxies.reduce((sum, proxy) => sum + proxy.fromOrigin, 0);
  // The reads that a change of supernode cuts short may cost a piece or two.
  t.ok(fromOrigin >= pieceCount && fromOrigin <= pieceCount + 8, `${fromOrigin} of ${pieceCount} from the origin`);
  t.match(supernode.peers().peers.length, 4);
});
