import t, { type Test } from 'tap';
import type { AuditEvent } from '../../src/base/audit.ts';
import { MiB } from '../../src/base/units.ts';
import { RIGHT_MS } from '../../src/proxy/access.ts';
import { NEAR_BYTES, PROOF_BYTES, WHOLE_BYTES, WRONG_MS } from '../../src/proxy/proofs.ts';
import { ClaimingRegistry, FRAUDS } from '../support/claiming-registry.ts';
import { makeImage, testBlob, type TestBlob } from '../support/hostile-registry.ts';
import { errorIn, REGISTRY, Rig, ShiftedClock, until, type Answer, type AskOptions, type RigOptions } from './rig.ts';

const SECRET = makeImage({ seed: 71, layers: [2000, 3 * MiB] });
const [SMALL, LARGE] = SECRET.layers as [TestBlob, TestBlob];
const MANIFEST = SECRET.manifests[0]!;
const EVIL = 'evil.test';
const NS = `?ns=${REGISTRY}`;
const ALICE = { authorization: `Basic ${Buffer.from('alice:password-of-alice').toString('base64')}` };

/** A mirror of a registry with an image that alice may read, and of one that claims whatever it is asked for. */
async function start(t: Test, options: RigOptions = {}) {
  const clock = new ShiftedClock();
  const evil = await ClaimingRegistry.start();
  t.teardown(() => evil.close());
  const rig = await Rig.start(t, { clock, others: { [EVIL]: evil.url }, ...options });
  const { auth } = rig.origin;
  auth.mode = 'bearer';
  auth.users.set('alice', 'password-of-alice');
  for (const repository of ['org/app', 'org/other']) auth.privateRepositories.add(repository);
  rig.origin.addImage('org/app', 'latest', SECRET);
  evil.tag = MANIFEST.digest;
  return { rig, clock, evil };
}

const asAlice = (rig: Rig, repository: string, path: string): Promise<Answer> =>
  rig.ask(`/v2/${repository}/${path}${NS}`, { headers: ALICE });

async function pull(rig: Rig): Promise<void> {
  for (const path of [
    'manifests/latest',
    `manifests/${MANIFEST.digest}`,
    ...SECRET.layers.map(({ digest }) => `blobs/${digest}`),
  ]) {
    const answer = await asAlice(rig, 'org/app', path);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.body.toString()}`);
  }
  await until(() => SECRET.layers.every(({ digest }) => rig.store.sizeOf(digest) !== undefined));
}

const steal = (rig: Rig, path: string, options?: AskOptions): Promise<Answer> =>
  rig.ask(`/v2/x/y/${path}?ns=${EVIL}`, options);

/** Whether any of the bytes, which begin at `start` of it, are the secret's. */
const isIn = (bytes: Buffer, secret: TestBlob, start = 0): boolean => {
  const part = 16;
  for (let at = 0; at + part <= bytes.length; at += part)
    if (secret.bytes.subarray(start + at, start + at + part).equals(bytes.subarray(at, at + part))) return true;
  return false;
};

const blobBytes = ({ origin }: Rig): number =>
  origin.requests.reduce((sum, { kind, bodyBytes }) => sum + (kind === 'blob' ? bodyBytes : 0), 0);

for (const fraud of FRAUDS) {
  t.test(`I4: a registry that claims what it has not (${fraud}) gives its readers nothing that is here`, async (t) => {
    const { rig, evil } = await start(t);
    await pull(rig);
    evil.fraud = fraud;
    const tries = [
      [SMALL, `blobs/${SMALL.digest}`, {}],
      [LARGE, `blobs/${LARGE.digest}`, {}],
      [LARGE, `blobs/${LARGE.digest}`, { headers: { range: 'bytes=1000-1999' } }],
      [MANIFEST, `blobs/${MANIFEST.digest}`, {}],
      [MANIFEST, `manifests/${MANIFEST.digest}`, {}],
      [MANIFEST, 'manifests/any', {}],
      [SMALL, `manifests/${SMALL.digest}`, {}],
    ] as const;
    for (const round of ['first', 'again']) {
      for (const [secret, path, options] of tries) {
        evil.size = secret.bytes.length;
        const answer = await steal(rig, path, options);
        // A registry that wants a credential is asked with one, where the client has one.
        t.match(answer.status, fraud === 'no right' ? /401|404/ : /404/, `${round}: ${path}`);
        t.notOk(isIn(answer.body, secret, 'headers' in options ? 1000 : 0));
      }
    }
    const asked = rig.origin.requests.length;
    for (const { digest, bytes } of SECRET.layers) {
      const answer = await asAlice(rig, 'org/app', `blobs/${digest}`);
      t.ok(answer.body.equals(bytes), 'others read it as ever');
    }
    t.equal(rig.origin.requests.length, asked);
  });
}

t.test('I4: a claim does not tell how large it is', async (t) => {
  const { rig, evil } = await start(t);
  await pull(rig);
  evil.size = 7;
  for (const path of [`blobs/${LARGE.digest}`, `manifests/${MANIFEST.digest}`]) {
    t.match(await steal(rig, path, { method: 'HEAD' }), { status: 200, headers: { 'content-length': '7' } });
  }
});

t.test('I4: a claim from before it was here opens nothing when it is', async (t) => {
  const { rig, evil } = await start(t);
  for (const { digest, bytes } of [SMALL, LARGE]) {
    evil.size = bytes.length;
    t.equal((await steal(rig, `blobs/${digest}`, { method: 'HEAD' })).status, 200, 'it is its own word');
    const answer = await steal(rig, `blobs/${digest}`);
    t.notOk(answer.whole && answer.status === 200, 'what it gives is not it');
  }
  t.equal((await steal(rig, 'manifests/any', { method: 'HEAD' })).status, 200);
  await pull(rig);
  for (const secret of [SMALL, LARGE]) {
    const answer = await steal(rig, `blobs/${secret.digest}`);
    t.equal(answer.status, 404);
    t.notOk(isIn(answer.body, secret));
  }
  for (const path of ['manifests/any', `manifests/${MANIFEST.digest}`]) {
    t.equal((await steal(rig, path)).status, 404);
  }
  await evil.close();
  t.equal((await steal(rig, 'manifests/any')).status, 404, 'nor stale');
});

t.test('I4: what comes in for others is proved first, too', async (t) => {
  const { rig, evil } = await start(t);
  await asAlice(rig, 'org/app', `manifests/${MANIFEST.digest}`);
  evil.size = LARGE.bytes.length;
  rig.origin.faults.stall = { bytes: 2 * MiB, times: 1 };
  const coming = await rig.open(`/v2/org/app/blobs/${LARGE.digest}${NS}`, { headers: ALICE });
  t.equal(coming.statusCode, 200);
  const answer = await steal(rig, `blobs/${LARGE.digest}`);
  t.notOk(answer.whole);
  t.notOk(isIn(answer.body, LARGE), 'its own bytes, which are not right');
  t.ok(rig.lines.some((line) => line.includes('BLOB_NOT_PROVED') && line.includes('than come in from elsewhere')));
  rig.origin.addBlob('org/other', LARGE);
  const other = await rig.open(`/v2/org/other/blobs/${LARGE.digest}${NS}`, { headers: ALICE });
  t.equal(other.statusCode, 200, 'who has it there reads along');
  other.destroy();
  coming.destroy();
});

t.test('a wrong proof blames the registry, once, is audited, and is not tried again for a while', async (t) => {
  const events: AuditEvent[] = [];
  const { rig, evil, clock } = await start(t, { audit: { record: (event) => void events.push(event) } });
  await pull(rig);
  events.length = 0;
  evil.size = LARGE.bytes.length;
  const lines = () => rig.lines.filter((line) => /"level":(?:40|"warn").*"code":"BLOB_NOT_PROVED".*"todo":/.test(line));
  const asks = async () => {
    const before = evil.requests.length;
    const answer = await steal(rig, `blobs/${LARGE.digest}`);
    t.match(errorIn(answer), { code: 'BLOB_UNKNOWN', detail: { code: 'BLOB_NOT_PROVED' } });
    return evil.requests.slice(before).filter(({ method }) => method === 'GET');
  };
  const [asked, ...more] = await asks();
  t.match(asked, { path: `/v2/x/y/blobs/${LARGE.digest}`, range: /^bytes=\d+-\d+$/ });
  t.same(more, []);
  t.equal(lines().length, 1);
  t.match(JSON.parse(lines()[0]!), { upstream: EVIL, digest: LARGE.digest, msg: /evil\.test says that it has/ });
  const { digest } = LARGE;
  await until(() => events.length === 1);
  t.match(events[0], { decision: 'denied', code: 'BLOB_NOT_PROVED', registry: EVIL, digest, status: 404 });
  t.same(await asks(), [], 'not asked again');
  clock.shift(WRONG_MS + 1);
  t.equal((await asks()).length, 1);
  clock.shift(WRONG_MS + 1);
  t.same(await asks(), [], 'for twice as long now');
  t.equal(lines().length, 2);
});

for (const how of ['ranges', 'no ranges', 'a redirect', 'gzip', 'one wrong range'] as const) {
  t.test(`a repository that has what is private proves it once, and is asked by HEAD later (${how})`, async (t) => {
    const { rig, clock } = await start(t);
    const { origin } = rig;
    await pull(rig);
    for (const blob of SECRET.layers) origin.addBlob('org/other', blob);
    const empty = testBlob(Buffer.alloc(0));
    for (const repository of ['org/app', 'org/other']) origin.addBlob(repository, empty);
    await asAlice(rig, 'org/app', `blobs/${empty.digest}`);
    if (how === 'no ranges') origin.faults.ignoreRange = true;
    if (how === 'a redirect') origin.redirectBlobs = { status: 307 };
    if (how === 'gzip') origin.faults.gzip = origin.faults.ignoreRange = true;
    if (how === 'one wrong range') origin.faults.contentRange = 'missing';
    for (const { digest, bytes } of [...SECRET.layers, empty]) {
      const before = await rig.metric('hawker_origin_bytes_total');
      origin.requests.length = 0;
      const answer = await asAlice(rig, 'org/other', `blobs/${digest}`);
      t.equal(answer.status, 200);
      t.ok(answer.body.equals(bytes));
      t.equal(answer.headers['x-hawker-source'], 'store');
      const gets = origin.requests.filter(
        ({ method, kind, status }) => method === 'GET' && kind === 'blob' && status < 400,
      );
      const wanted = digest === empty.digest ? 0 : 1;
      t.ok(gets.length >= wanted && gets.length <= 3 * wanted, `${gets.length} questions`);
      const read = (await rig.metric('hawker_origin_bytes_total')) - before;
      if (digest === LARGE.digest && (how === 'ranges' || how === 'a redirect')) t.equal(read, PROOF_BYTES);
      else t.ok(read < 4 * NEAR_BYTES, `${read} bytes: not the whole of a large one`);
      const asked = origin.requests.length;
      t.equal((await asAlice(rig, 'org/other', `blobs/${digest}`)).status, 200);
      t.equal(origin.requests.length, asked, 'and not again');
      clock.shift(RIGHT_MS + 1);
      t.equal((await asAlice(rig, 'org/other', `blobs/${digest}`)).status, 200);
      const later = origin.requests.slice(asked).filter(({ kind, status }) => kind === 'blob' && status < 400);
      t.same(
        later.map(({ method }) => method),
        ['HEAD'],
      );
    }
  });
}

t.test('I3: what anybody has read without a credential nobody has to prove', async (t) => {
  const { rig, evil } = await start(t);
  rig.origin.auth.mode = 'none';
  await pull(rig);
  rig.origin.addImage('org/other', 'latest', SECRET);
  const before = blobBytes(rig);
  for (const { digest, bytes } of SECRET.layers) {
    const answer = await asAlice(rig, 'org/other', `blobs/${digest}`);
    t.ok(answer.body.equals(bytes));
    t.ok((await steal(rig, `blobs/${digest}`)).body.equals(bytes), 'a claim gains nothing: it is for everybody');
  }
  t.equal(blobBytes(rig), before, 'no byte of a blob');
  t.notOk(evil.requests.some(({ method }) => method !== 'HEAD'));
});

t.test('what is proved without a credential is for everybody from then on', async (t) => {
  const { rig } = await start(t);
  await pull(rig);
  rig.origin.auth.mode = 'none';
  for (const repository of ['org/one', 'org/two']) rig.origin.addImage(repository, 'v1', SECRET);
  const read = async (repository: string) => {
    const before = blobBytes(rig);
    for (const { digest } of SECRET.layers)
      t.equal((await rig.ask(`/v2/${repository}/blobs/${digest}${NS}`)).status, 200);
    return blobBytes(rig) - before;
  };
  t.equal(await read('org/one'), SMALL.bytes.length + PROOF_BYTES);
  t.ok(SMALL.bytes.length <= WHOLE_BYTES);
  t.equal(await read('org/two'), 0);
});
