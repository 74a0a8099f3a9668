import fc from 'fast-check';
import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { Metrics } from '../../../src/base/metrics.ts';
import { MiB } from '../../../src/base/units.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { packCrcs, packPieces } from '../../../src/p2p/protocol/packed.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { Client } from '../../support/session-client.ts';
import { askFrom, makeSupernode, SECRET, serve, until, type Phonebook } from '../../support/swarm-rig.ts';

/** Few values, so that what is said hits what is there. */
const wish = fc.oneof(fc.nat(4), fc.constantFrom(2 ** 53 - 1, 2 ** 31));
const piece = fc.oneof(fc.nat(5), fc.constantFrom(16_383, 511));
const from = fc.integer({ min: -1, max: 6 });
const lease = fc.oneof(fc.nat(9), fc.constantFrom(2 ** 52 + 1, Number.MAX_SAFE_INTEGER));
const ms = fc.oneof(fc.nat(1000), fc.constantFrom(0, 1e-300, 1e300, 0.1));
const crc = fc.nat(0xffff_ffff);
const size = fc.constantFrom(0, 1, 5, MiB, 3 * MiB, 300 * MiB, 2 ** 36, 2 ** 36 + 1, 2 ** 53 - 1);
const digest = fc.constantFrom('honest', 'busy', 'x', 'y').map((name) => digestOf(name));
const pieces = fc.constantFrom('', '!', packPieces([0], 3), packPieces([0, 2], 3), packPieces([16_383], 16_384));
const crcs = fc.constantFrom('', '=', packCrcs([1]), packCrcs([1, 2, 3]));
const runs = fc.array(fc.tuple(piece, fc.constantFrom(0, 1, 3, 16_384)), { maxLength: 4 });
const epoch = fc.constantFrom('present', 'present', 'present', 'present', 'epoch-of-old');
const some = <T>(one: fc.Arbitrary<T>) => fc.option(fc.array(one, { maxLength: 5 }), { nil: undefined });
const maybe = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: undefined });

const want = fc.record({
  t: fc.constant('want'),
  epoch,
  w: fc.nat(6),
  digest,
  size: maybe(size),
  held: pieces,
  awaited: runs,
  origin: maybe(fc.constantFrom('a', 'b')),
  image: maybe(digest),
  reading: maybe(fc.array(fc.tuple(lease, piece, fc.constantFrom(0, 1, 300)), { maxLength: 3 })),
});
const reports = fc.record({
  t: fc.constant('r'),
  s: some(fc.tuple(wish, size)),
  n: some(wish),
  g: some(fc.tuple(wish, lease)),
  p: some(fc.tuple(wish, piece, from, ms, crc)),
  f: some(fc.tuple(wish, piece, from, fc.nat(4))),
  e: some(fc.tuple(wish, lease, fc.constantFrom('', 'ORIGIN_CUT'), fc.nat(1), ms)),
  x: some(fc.tuple(wish, piece)),
  q: some(fc.tuple(wish, lease, piece, crc, fc.constantFrom('A'.repeat(43), 'B'.repeat(43)))),
  d: some(wish),
  y: some(fc.tuple(wish, piece, crc)),
});
const announce = fc.record({
  t: fc.constant('announce'),
  epoch,
  blobs: some(fc.tuple(digest, size, crcs)),
  parts: some(fc.tuple(digest, size, pieces, crcs)),
  gone: some(digest),
});
const message: fc.Arbitrary<Record<string, unknown>> = fc.oneof(
  { arbitrary: want, weight: 4 },
  { arbitrary: reports, weight: 4 },
  { arbitrary: announce, weight: 2 },
  fc.record({ t: fc.constant('awaiting'), w: wish, awaited: runs }),
  fc.record({ t: fc.constant('leave'), w: wish }),
  fc.record({ t: fc.constant('beat'), n: fc.nat(), time: fc.double({ noNaN: true, noDefaultInfinity: true }) }),
  fc.record({
    t: fc.constant('preheating'),
    id: fc.constantFrom('order-of-nobody', '0123456789abcdef'),
    state: fc.constantFrom('running', 'done', 'failed', 'odd'),
    digest: maybe(digest),
    blobs: fc.nat(),
    blobsHere: fc.nat(),
    bytes: size,
    bytesHere: size,
    failure: maybe(fc.record({ code: fc.constantFrom('X', 'bad code'), message: fc.string(), todo: fc.string() })),
  }),
  fc.record({ t: fc.constant('dialed'), n: fc.nat(3), error: fc.string() }),
  fc.record({ t: fc.constantFrom('hello', 'bye', 'error', 'a', 'nothing') }),
);

/** A message as it is, with one field replaced, with one character changed, or something else altogether. */
const said: fc.Arbitrary<string | Uint8Array> = fc.oneof(
  { arbitrary: message.map((one) => JSON.stringify(one)), weight: 12 },
  fc.tuple(message, fc.nat(), fc.jsonValue({ maxDepth: 2 })).map(([one, at, value]) => {
    const names = Object.keys(one);
    return JSON.stringify({ ...one, [names[at % names.length]!]: value });
  }),
  fc.tuple(message, fc.nat(), fc.string({ minLength: 1, maxLength: 1 })).map(([one, at, character]) => {
    const text = JSON.stringify(one);
    const place = at % text.length;
    return text.slice(0, place) + character + text.slice(place + 1);
  }),
  fc.string(),
  fc.uint8Array({ maxLength: 50 }),
  fc.nat(20).map((depth) => '['.repeat(2 ** depth).slice(0, 200_000)),
);

/** Whom it registers as: itself, or an honest peer. */
const who = fc.constantFrom('peer-liar', 'peer-liar', 'peer-liar', 'peer-liar', 'peer-a-00');

/** What must be among what is tried, whatever chance brings. */
const telling: [string, (string | Uint8Array)[]][] = [
  ['peer-liar', [JSON.stringify({ t: 'announce', epoch: 'present', blobs: [[digestOf('honest'), 5, '']] })]],
  ['peer-liar', [JSON.stringify({ t: 'announce', epoch: 'present', blobs: [[digestOf('x'), 5, packCrcs([1, 2])]] })]],
  ['peer-liar', [JSON.stringify({ t: 'announce', epoch: 'epoch-of-old' })]],
  ['peer-liar', ['no JSON']],
  ['peer-a-00', ['no JSON']],
];

t.test('whatever a member says, the supernode lives, and serves honest peers as before', async (t) => {
  const clock = new ManualClock();
  const metrics = new Metrics();
  const book: Phonebook = new Map([
    ['a:1', { peer: 'peer-a-00', instance: 'instance-1' }],
    ['l:1', { peer: 'peer-liar', instance: 'instance-l' }],
  ]);
  const supernode = makeSupernode(clock, { metrics, ask: askFrom(book, new Membership(SECRET)) });
  const { url } = await serve(t, supernode, { metrics });
  const honest = async (peer: string, addresses: string[]) => {
    const client = new Client(t, url);
    await client.open({ peer, addresses });
    client.ws.on('message', (data: Buffer) => {
      if (String(data) === '{"t":"ping"}') client.say({ t: 'beat', n: 0, time: 0 });
    });
    return client;
  };
  const { epoch } = supernode;
  const [a, b] = [await honest('peer-a-00', ['a:1']), await honest('peer-b-00', [])];
  await until('it is ready', () => supernode.peers().peers[0]!.state === 'ready');
  a.say({ t: 'announce', epoch, blobs: [[digestOf('honest'), 3 * MiB, packCrcs([7, 8, 9])]] });
  b.say({
    t: 'want',
    epoch,
    w: 1,
    digest: digestOf('busy'),
    size: 300 * MiB,
    held: '',
    awaited: [[0, 0]],
    origin: 'a',
  });
  const [, reading] = (await b.next('a')).l![0]!;

  let round = 1;
  /** b gets a blob that only a holds, and goes on with its own origin read. */
  const isServed = async () => {
    round += 1;
    const size = 2 * MiB;
    const blob = digestOf(`blob ${round}`);
    a.say({ t: 'announce', epoch, blobs: [[blob, size, packCrcs([1, 2])]] });
    a.say({ t: 'beat', n: round, time: 0 });
    await a.next('beat');
    b.got.length = 0;
    b.say({ t: 'want', epoch, w: round, digest: blob, size, held: '', awaited: [[0, 0]] });
    const assigned = () => b.got.flatMap((one) => (one.t === 'a' ? (one.f ?? []) : [])).filter(([w]) => w === round);
    await until('b gets both pieces', () => assigned().length === 2);
    b.say({
      t: 'r',
      g: [[1, reading]],
      p: assigned().map(([w, piece, number, crc32]) => [w, piece, number, 5, crc32]),
    });
    b.say({ t: 'leave', w: round });
    for (const holder of [a, b]) holder.say({ t: 'announce', epoch, gone: [blob] });
    await until('nobody has it any more', () => [...supernode.blobs()].every(({ digest }) => digest !== blob));
  };

  const codes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(who, fc.array(said, { minLength: 1, maxLength: 25 }), async (peer, messages) => {
      const liar = new Client(t, url);
      await liar.hello({ peer, instance: 'instance-l', addresses: ['l:1'] });
      await until('it is answered', () => liar.got.length > 0);
      for (const one of messages) {
        if (typeof one === 'string') liar.say(one.replace('"epoch":"present"', `"epoch":"${epoch}"`));
        else liar.ws.send(one);
      }
      await isServed();
      for (const one of liar.got) if (one.t === 'error' || one.t === 'reject') codes.add(one.code);
      liar.ws.close();
      await until('the liar is gone', () =>
        supernode.peers().peers.every(({ id, state }) => id !== 'peer-liar' || state === 'left'),
      );
      await clock.advance(100);
      if (supernode.epoch !== epoch) throw new Error('it ran into a fault');
      if (a.closedWith !== undefined || b.closedWith !== undefined) throw new Error('an honest peer was closed out');
      const left = [...supernode.blobs()].map(({ digest, size, holders, downloading }) => [
        digest,
        size,
        holders,
        downloading,
      ]);
      const expected = [
        [digestOf('honest'), 3 * MiB, ['peer-a-00'], []],
        [digestOf('busy'), 300 * MiB, [], ['peer-b-00']],
      ];
      const found = JSON.stringify(left);
      if (found !== JSON.stringify(expected)) throw new Error(`it has left something behind: ${found}`);
    }),
    { numRuns: 100, examples: telling },
  );
  for (const code of ['MESSAGE_INVALID', 'IMPOSSIBLE', 'OLD_EPOCH', 'DUPLICATE_ID']) t.ok(codes.has(code), code);
  const text = await metrics.registry.metrics();
  t.match(text, 'hawker_supernode_faults_total 0');
  t.match(text, /hawker_swarm_rejected_total\{code="\w+"\} [1-9]/);
  b.say({ t: 'r', e: [[1, reading, '', 0, 0]] });
  const next = () => b.got.flatMap((one) => (one.t === 'a' ? (one.l ?? []) : []));
  await until('its origin read was its own all the time', () => next().length > 0);
});
