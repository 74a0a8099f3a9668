import fc from 'fast-check';
import t from 'tap';
import { digestOf, type Digest } from '../../../src/base/digest.ts';
import { silentLogger } from '../../../src/base/log.ts';
import {
  encodeAnswer,
  isQuestion,
  parseAnswer,
  parseQuestion,
  questionPath,
  readingOf,
  saidIn,
} from '../../../src/p2p/peer/readings.ts';
import { Refs } from '../../../src/store/refs.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const digest = digestOf('a blob');
const KEY = { registry: 'docker.io', repository: 'library/alpine', digest };
const NONCE = 'n'.repeat(22);
const PROOF = 'p'.repeat(43);
const STALE_MS = 60_000;

t.test('vouched for is what its registry gave here, without a credential, lately', async (t) => {
  const clock = new ManualClock();
  const refs = await Refs.open({ dir: t.testdir(), log: silentLogger, clock });
  t.teardown(() => refs.close());
  const kept = new Set<Digest>();
  const deps = { refs, isShared: (of: Digest) => !kept.has(of), clock, staleMs: STALE_MS };
  const link = { digest, size: 42, mediaType: 'text/x', at: clock.now(), anonymous: true, confirmed: true };
  t.equal(await readingOf(KEY, deps), undefined, 'never read');

  await refs.link(KEY, [link]);
  await clock.advance(STALE_MS);
  t.same(await readingOf(KEY, deps), { ageMs: STALE_MS, size: 42, mediaType: 'text/x' });
  t.equal(await readingOf({ ...KEY, repository: 'library/other' }, deps), undefined, 'not through that repository');
  t.equal(await readingOf({ ...KEY, registry: 'ghcr.io' }, deps), undefined, 'not at that registry');
  await clock.advance(1);
  t.equal(await readingOf(KEY, deps), undefined, 'too long ago');

  const now = { ...link, at: clock.now() };
  for (const [why, changed] of [
    ['read with a credential', { ...now, anonymous: false }],
    ['named by a manifest only', { ...now, confirmed: false }],
  ] as const) {
    await refs.link(KEY, [changed]);
    t.equal(await readingOf(KEY, deps), undefined, why);
  }
  await refs.link(KEY, [{ ...now, at: clock.now() + 5000 }]);
  t.match(await readingOf(KEY, deps), { ageMs: 0 }, 'the clock was set back');
  kept.add(digest);
  t.equal(await readingOf(KEY, deps), undefined, 'it stays on this node');
  // Written now, not while its directory is taken away.
  await refs.close();
});

t.test('a question says the same on both sides', async (t) => {
  for (const key of [KEY, { ...KEY, registry: '[::1]:5000', repository: 'a/b__c/d-e' }]) {
    const path = questionPath(key, NONCE);
    t.ok(isQuestion(path));
    t.same(parseQuestion(path), { key, nonce: NONCE });
  }
});

t.test('whatever is asked, names are sound or nothing is understood', async () => {
  const part = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('..', 'docker.io', 'a/b', NONCE, '%00', digest));
  fc.assert(
    fc.property(part, part, part, part, (of, registry, repository, nonce) => {
      const path = `/v1/readings/${of}?${new URLSearchParams({ registry, repository, nonce }).toString()}`;
      const question = parseQuestion(path);
      if (!question) return;
      const { key } = question;
      if (/\.\.|[^\w./:[\]-]/.test(`${key.registry}${key.repository}`)) throw new Error('a name that is none');
      if (!/^[\w-]{16,64}$/.test(question.nonce)) throw new Error('a nonce that is none');
    }),
  );
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (path) => void parseQuestion(path)));
});

t.test('an answer is read back, and nothing else is taken for one', async (t) => {
  const reading = { ageMs: 3, size: 4, mediaType: 'text/x' };
  t.same(parseAnswer(encodeAnswer(reading, PROOF)), { reading, proof: PROOF });
  t.same(parseAnswer(encodeAnswer({ ageMs: 0 }, PROOF)), { reading: { ageMs: 0 }, proof: PROOF });
  for (const changed of [
    { ageMs: -1 },
    { ageMs: '3' },
    { ageMs: 1e300 },
    { size: 1.5 },
    { mediaType: 5 },
    { mediaType: 'x'.repeat(256) },
    { proof: 'short' },
    { proof: undefined },
  ]) {
    t.equal(parseAnswer(JSON.stringify({ ...reading, proof: PROOF, ...changed })), undefined, JSON.stringify(changed));
  }
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), (body) => parseAnswer(body) === undefined));
  t.not(saidIn({ ageMs: 1, size: 2 }), saidIn({ ageMs: 1 }));
});
