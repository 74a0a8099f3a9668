import fc from 'fast-check';
import t from 'tap';
import { codeOf } from '../../../src/base/errors.ts';
import { digestOf } from '../../../src/base/digest.ts';
import { MAX_BATCH, MAX_MESSAGE_BYTES } from '../../../src/p2p/protocol/limits.ts';
import {
  encode,
  parseFromProxy,
  parseFromSupernode,
  protocolOf,
  type FromProxy,
  type FromSupernode,
  prepareToHear,
} from '../../../src/p2p/protocol/messages.ts';

const id = fc.stringMatching(/^[0-9a-z][0-9a-z-]{7,20}$/);
const nonce = fc.stringMatching(/^[\w-]{22}$/);
const proof = fc.stringMatching(/^[\w-]{43}$/);
const digest = fc.string().map((text) => digestOf(text));
const piece = fc.nat(16_383);
const wish = fc.nat();
const lease = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const crc = fc.nat(0xffff_ffff);
const time = fc.integer({ min: 0 });
const address = fc.constantFrom('10.0.0.1:65002', '[::1]:1');
const addresses = fc.array(address, { maxLength: 8 });
const known = fc.array(fc.record({ id, instance: id, addresses, zone: fc.string({ maxLength: 20 }) }), {
  maxLength: 5,
});
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const list = <T>(arbitrary: fc.Arbitrary<T>) => optional(fc.array(arbitrary, { maxLength: 20 }));
const run = fc.tuple(piece, fc.nat(16_384));
const refusal = { code: fc.constantFrom('FULL', 'NOT_A_MEMBER'), message: fc.string({ maxLength: 100 }) };
const t_ = <T extends string>(type: T) => fc.constant(type);

const fromSupernode: fc.Arbitrary<FromSupernode> = fc.oneof(
  fc.record({
    t: t_('challenge'),
    nonce,
    epoch: id,
    protocol: fc.constant('1.0'),
    version: fc.constant('1.2.3'),
    membership: fc.boolean(),
    time,
  }),
  fc.record({ t: t_('welcome'), epoch: id, heartbeatMs: fc.nat(60_000), proof, time, peers: known }),
  fc.record({ t: t_('reject'), ...refusal }),
  fc.record({ t: t_('error'), ...refusal }),
  fc.record({ t: t_('ping') }),
  fc.record({ t: t_('beat'), n: fc.nat(), time }),
  fc.record({ t: t_('dial'), n: fc.nat(), peer: id, instance: id, nonce, addresses }),
  fc.record({
    t: t_('a'),
    p: list(fc.tuple(fc.integer({ min: 1 }), id, id, addresses)),
    c: list(fc.tuple(wish, lease, piece)),
    l: list(fc.tuple(wish, lease, piece, fc.nat(16_384))),
    f: list(fc.tuple(wish, piece, fc.integer({ min: 1 }), fc.integer({ min: -1, max: 0xffff_ffff }))),
    w: list(wish),
    q: list(fc.tuple(wish, lease, piece, fc.integer({ min: 1, max: 16_384 }))),
    h: list(fc.tuple(wish, piece, fc.integer({ min: -1 }), proof)),
    o: list(fc.tuple(wish, fc.nat(1))),
    n: list(fc.tuple(wish, fc.nat(1), fc.constantFrom('', 'ORIGIN_DENIED'))),
  }) as fc.Arbitrary<FromSupernode>,
);

const fromProxy: fc.Arbitrary<FromProxy> = fc.oneof(
  fc.record({
    t: t_('hello'),
    protocol: fc.constant('1.0'),
    version: fc.constant('1.2.3'),
    peer: id,
    instance: id,
    host: fc.string({ maxLength: 50 }),
    addresses,
    zone: fc.string({ maxLength: 20 }),
    uploadSlots: fc.integer({ min: 1, max: 64 }),
    nonce,
    proof,
    time,
  }),
  fc.record({ t: t_('beat'), n: fc.nat(), time }),
  fc.record({ t: t_('leave'), w: wish }),
  fc.record({ t: t_('bye') }),
  fc.record({ t: t_('awaiting'), w: wish, awaited: fc.array(run, { maxLength: 64 }) }),
  fc.record({
    t: t_('dialed'),
    n: fc.nat(),
    address: optional(address),
    proof: optional(proof),
    error: optional(fc.string({ maxLength: 99 })),
  }) as fc.Arbitrary<FromProxy>,
  fc.record({
    t: t_('announce'),
    epoch: id,
    gone: list(digest),
    blobs: list(fc.tuple(digest, fc.nat(), fc.base64String({ maxLength: 40 }))),
    parts: list(fc.tuple(digest, fc.nat(), fc.base64String({ maxLength: 40 }), fc.base64String({ maxLength: 40 }))),
  }) as fc.Arbitrary<FromProxy>,
  fc.record({
    t: t_('want'),
    epoch: id,
    w: wish,
    digest,
    size: optional(fc.nat()),
    held: fc.base64String({ maxLength: 40 }),
    awaited: fc.array(run, { maxLength: 8 }),
    origin: optional(fc.constant('docker.io')),
    image: optional(digest),
    reading: optional(fc.array(fc.tuple(lease, piece, fc.nat(16_384)), { maxLength: 8 })),
  }) as fc.Arbitrary<FromProxy>,
  fc.record({
    t: t_('r'),
    s: list(fc.tuple(wish, fc.nat())),
    n: list(wish),
    g: list(fc.tuple(wish, lease)),
    x: list(fc.tuple(wish, piece)),
    p: list(fc.tuple(wish, piece, fc.integer({ min: -1 }), fc.nat(), crc)),
    f: list(fc.tuple(wish, piece, fc.integer({ min: -1 }), fc.nat(4))),
    q: list(fc.tuple(wish, lease, piece, crc, proof)),
    e: list(fc.tuple(wish, lease, fc.constantFrom('', 'ORIGIN_CUT'), fc.nat(1), fc.nat())),
    d: list(wish),
    y: list(fc.tuple(wish, piece, crc)),
  }) as fc.Arbitrary<FromProxy>,
);

const plain = (value: unknown): string => JSON.stringify(value);

t.test('all messages of a side can be made ready before the first one comes', async (t) => {
  for (const side of ['supernode', 'proxy'] as const) {
    t.ok((await prepareToHear(side)) > 5);
    t.equal(await prepareToHear(side), 0, 'once');
  }
});

t.test('every message comes back as it was', async () => {
  fc.assert(fc.property(fromSupernode, (message) => plain(parseFromSupernode(encode(message))) === plain(message)));
  fc.assert(fc.property(fromProxy, (message) => plain(parseFromProxy(encode(message))) === plain(message)));
});

t.test('anything else is MESSAGE_INVALID and nothing but that', async (t) => {
  const parsers = [parseFromProxy, parseFromSupernode];
  const check = (text: string) => {
    for (const parse of parsers) {
      try {
        parse(text);
      } catch (error) {
        if (codeOf(error) !== 'MESSAGE_INVALID') throw error;
      }
    }
  };
  fc.assert(fc.property(fc.string(), check));
  fc.assert(fc.property(fc.json(), check));
  // Sound messages with one thing in them replaced.
  const broken = fc.tuple(fc.oneof(fromProxy, fromSupernode), fc.nat(), fc.json()).map(([message, at, json]) => {
    const entries = Object.entries(message);
    const name = entries[at % entries.length]![0];
    return JSON.stringify({ ...message, [name]: JSON.parse(json) as unknown });
  });
  fc.assert(fc.property(broken, check), { numRuns: 500 });
  for (const text of [
    '',
    '[]',
    'null',
    '1',
    '{}',
    '{"t":1}',
    '{"t":"toString"}',
    '{"t":"__proto__"}',
    '{"t":"a"',
    '{"t":"nope"}',
  ]) {
    for (const parse of parsers) t.throws(() => parse(text), { code: 'MESSAGE_INVALID' }, text);
  }
});

t.test('limits: size, batch, numbers and forms', async (t) => {
  const refuse = (message: unknown, what: string) =>
    t.throws(() => parseFromProxy(JSON.stringify(message)), { code: 'MESSAGE_INVALID' }, what);
  t.throws(() => parseFromProxy(`${' '.repeat(MAX_MESSAGE_BYTES)}{"t":"bye"}`), { message: /more than/ });
  refuse({ t: 'r', p: Array.from({ length: MAX_BATCH + 1 }, () => [0, 0, 0, 0, 0]) }, 'too many in one message');
  refuse({ t: 'r', p: [[0, 0, 0, 0]] }, 'too short a tuple');
  refuse({ t: 'r', p: [[0, 0, 0, 0, 0, 0]] }, 'too long a tuple');
  refuse({ t: 'r', p: [[0, 16_384, 0, 0, 0]] }, 'a piece that no blob has');
  refuse({ t: 'r', p: [[0, 0.5, 0, 0, 0]] }, 'half a piece');
  refuse({ t: 'r', p: [[0, 0, 0, -1, 0]] }, 'a negative time');
  refuse({ t: 'r', f: [[0, 0, 1, 5]] }, 'an unknown reason');
  refuse({ t: 'leave', w: 2 ** 60 }, 'a number that is not exact');
  refuse({ t: 'announce', epoch: 'epoch-00', gone: ['sha256:../../etc/passwd'] }, 'a digest that is none');
  t.same(
    parseFromProxy('{"t":"bye","later":1}'),
    { t: 'bye', later: 1 },
    'what a newer minor version adds is let through',
  );
});

t.test('the protocol version can be read of what cannot be understood otherwise', async (t) => {
  t.equal(protocolOf('{"t":"hello","protocol":"9.1","new":{}}'), '9.1');
  for (const text of ['', '{', 'null', '{}', '{"protocol":1}', `{"protocol":"${'9'.repeat(65)}"}`])
    t.equal(protocolOf(text), undefined, text);
});
