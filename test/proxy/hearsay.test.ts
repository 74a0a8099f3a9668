import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RIGHT_MS } from '../../src/proxy/access.ts';
import type { ReadingKey } from '../../src/p2p/peer/readings.ts';
import type { PeerReading, Vouchers } from '../../src/p2p/peer/vouchers.ts';
import { makeImage } from '../support/hostile-registry.ts';
import { REGISTRY, Rig, ShiftedClock, type RigOptions } from './rig.ts';

const IMAGE = makeImage({ seed: 8, layers: [2000] });
const LAYER = IMAGE.layers[0]!;
const MANIFEST = IMAGE.manifests[0]!;
const NS = `?ns=${REGISTRY}`;
const BLOB = `/v2/org/app/blobs/${LAYER.digest}${NS}`;
const KEY = { registry: REGISTRY, repository: 'org/app' };
const HOUR_MS = 3_600_000;

/** The peers' word, as the test says it is. */
class SaidToUs implements Vouchers {
  isAnybodyThere = true;
  word: PeerReading | undefined;
  readonly asked: ReadingKey[] = [];

  async ask(key: ReadingKey, accepts: (reading: PeerReading) => boolean): Promise<PeerReading | undefined> {
    this.asked.push(key);
    return this.word && accepts(this.word) ? this.word : undefined;
  }
}

/** The layer is here, read through another repository; through `org/app` only the manifest was, which names it. */
async function start(t: Test, options: RigOptions = {}) {
  const clock = new ShiftedClock();
  const peers = new SaidToUs();
  const rig = await Rig.start(t, { clock, vouchers: peers, ...options });
  for (const repository of ['org/app', 'org/other']) rig.origin.addImage(repository, 'latest', IMAGE);
  t.equal((await rig.ask(`/v2/org/other/blobs/${LAYER.digest}${NS}`)).status, 200);
  for (const reference of ['latest', MANIFEST.digest])
    t.equal((await rig.ask(`/v2/org/app/manifests/${reference}${NS}`)).status, 200);
  return { rig, clock, peers };
}

const status = async (rig: Rig, path = BLOB) => (await rig.ask(path)).status;

t.test('the origin is down: what only a manifest names goes out on the word of a peer, and not without', async (t) => {
  const { rig, clock, peers } = await start(t);
  await rig.origin.close();
  t.equal(await status(rig), 404, 'nobody vouches for it');
  t.same(peers.asked.at(-1), { ...KEY, digest: LAYER.digest });
  peers.word = { peer: 'peer-1', ageMs: 24 * HOUR_MS + 1 };
  t.equal(await status(rig), 404, 'it was read too long ago');
  peers.word = { peer: 'peer-1', ageMs: HOUR_MS };
  t.equal(await status(rig), 200);
  t.ok(
    rig.lines.some((line) => line.includes('SERVED_STALE') && line.includes('60 min')),
    'which is logged, with its age',
  );
  t.notOk((await rig.refs.linkOf(KEY, LAYER.digest))?.confirmed, 'it is no word of the origin');

  const asked = peers.asked.length;
  peers.word = undefined;
  t.equal(await status(rig), 200, 'it is remembered');
  t.equal(peers.asked.length, asked);
  clock.shift(RIGHT_MS + 1);
  t.equal(await status(rig), 404, 'for minutes');
});

t.test('with no right left the answer says that it is stale', async (t) => {
  const { rig, clock, peers } = await start(t);
  await rig.origin.close();
  clock.shift(RIGHT_MS + 1);
  peers.word = { peer: 'peer-1', ageMs: HOUR_MS };
  const answer = await rig.ask(BLOB);
  t.equal(answer.status, 200);
  t.match(answer.headers['warning'], /^299 - "Hawker served this stale, as it was 60 min ago/);
  const head = await rig.ask(BLOB, { method: 'HEAD' });
  t.equal(head.status, 200);
  t.match(head.headers['warning'], /^299 /);
});

t.test('a manifest that was never read here too, and it links nothing', async (t) => {
  const { rig, peers } = await start(t);
  const path = `/v2/org/other/manifests/${MANIFEST.digest}${NS}`;
  await rig.origin.close();
  t.equal(await status(rig, path), 404);
  peers.word = { peer: 'peer-1', ageMs: 0, size: MANIFEST.bytes.length, mediaType: MANIFEST.mediaType };
  const answer = await rig.ask(path);
  t.equal(answer.status, 200);
  t.equal(answer.headers['content-type'], MANIFEST.mediaType);
  const other = { ...KEY, repository: 'org/other' };
  t.equal(await rig.refs.linkOf(other, MANIFEST.digest), undefined);
});

t.test('I4: what the origin has denied since a peer read it does not go out', async (t) => {
  const { rig, clock, peers } = await start(t);
  rig.origin.remove('org/app', LAYER.digest);
  peers.word = { peer: 'peer-1', ageMs: 0 };
  t.equal(await status(rig), 404, 'an answer of the origin needs nobody else’s word');
  t.same(peers.asked, []);
  await rig.origin.close();
  peers.word = { peer: 'peer-1', ageMs: HOUR_MS };
  t.equal(await status(rig), 404, 'read before that');
  clock.shift(2 * HOUR_MS);
  t.equal(await status(rig), 200, 'read after it');
});

t.test('I4: a denial of the repository ends what peers said of it', async (t) => {
  const { rig, clock, peers } = await start(t);
  rig.origin.faults.on = ['manifest', 'blob'];
  rig.origin.faults.status = { code: 503, times: Infinity };
  peers.word = { peer: 'peer-1', ageMs: 0 };
  t.equal(await status(rig), 200);
  rig.origin.faults.status = { code: 403, times: Infinity };
  clock.shift(60_000);
  t.equal(await status(rig), 404);
  rig.origin.faults.status = { code: 503, times: Infinity };
  peers.word = { peer: 'peer-1', ageMs: 120_000 };
  clock.shift(60_000);
  t.equal(await status(rig), 404);
});

t.test('I4: where a credential is configured nobody is asked', async (t) => {
  const refsDir = t.testdir();
  const passwordFile = join(refsDir, 'password');
  writeFileSync(passwordFile, 'correct horse\n', { mode: 0o600 });
  const { rig, peers } = await start(t, { refsDir, upstream: { username: 'joe', passwordFile } });
  await rig.origin.close();
  peers.word = { peer: 'peer-1', ageMs: 0 };
  t.equal(await status(rig), 404);
  t.same(peers.asked, []);
});

t.test('an origin that failed a moment ago is asked all the same where nobody vouches', async (t) => {
  const { rig, peers } = await start(t);
  rig.origin.faults.on = ['manifest', 'blob'];
  rig.origin.faults.status = { code: 503, times: Infinity };
  t.equal(await status(rig), 404);
  rig.origin.faults.status = undefined;
  t.equal(await status(rig), 200);
  t.equal(peers.asked.length, 3, 'twice while it failed, and before it was asked again');
  t.equal((await rig.refs.linkOf(KEY, LAYER.digest))?.confirmed, true);
});
