import t, { type Test } from 'tap';
import type { AuditEvent } from '../../src/base/audit.ts';
import { MiB } from '../../src/base/units.ts';
import { RIGHT_MS } from '../../src/proxy/access.ts';
import { NEAR_BYTES, PROOF_BYTES, WRONG_MS } from '../../src/proxy/proofs.ts';
import { ClaimingRegistry, FRAUDS } from '../support/claiming-registry.ts';
import { makeImage, testBlob, type TestBlob } from '../support/hostile-registry.ts';
import { errorIn, REGISTRY, Rig, ShiftedClock, until, type Answer, type AskOptions, type RigOptions } from './rig.ts';

const SECRET = makeImage({ seed: 71, layers: [2000, 3 * MiB] });
const [SMALL, LARGE] = SECRET.layers as [TestBlob, TestBlob];
const MANIFEST = SECRET.manifests[0]!;
const EVIL = 'evil.test';
const NS = `?ns=${REGISTRY}`;

/** A mirror of a registry with an image, and of one that claims whatever it is asked for. */
async function start(t: Test, options: RigOptions = {}) {
  const clock = new ShiftedClock();
  const evil = await ClaimingRegistry.start();
  t.teardown(() => evil.close());
  const rig = await Rig.start(t, { clock, others: { [EVIL]: evil.url }, ...options });
  rig.origin.addImage('org/app', 'latest', SECRET);
  evil.tag = MANIFEST.digest;
  return { rig, clock, evil };
}

async function pull(rig: Rig): Promise<void> {
  for (const path of [
    'manifests/latest',
    `manifests/${MANIFEST.digest}`,
    ...SECRET.layers.map(({ digest }) => `blobs/${digest}`),
  ]) {
    const answer = await rig.ask(`/v2/org/app/${path}${NS}`);
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

for (const fraud of FRAUDS) {
  t.test(`I4: a registry that claims what it has not (${fraud}) gives its readers nothing that is here`, async (t) => {
    const { rig, evil } = await start(t);
    await pull(rig);
    evil.fraud = fraud;
    const tries = [
      [SMALL, `blobs/${SMALL.digest}`, {}],
      [LARGE, `blobs/${LARGE.digest}`, {}],
      [LARGE, `blobs/${LARGE.digest}`, { headers: { range: 'bytes=1000-1999' } }],
      [LARGE, `blobs/${LARGE.digest}`, { method: 'HEAD' }],
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
        t.notOk((await rig.refs.linkOf({ registry: EVIL, repository: 'x/y' }, secret.digest))?.confirmed);
      }
    }
    const asked = rig.origin.requests.length;
    for (const { digest, bytes } of SECRET.layers) {
      const answer = await rig.ask(`/v2/org/app/blobs/${digest}${NS}`);
      t.ok(answer.body.equals(bytes), 'others read it as ever');
    }
    t.equal(rig.origin.requests.length, asked);
  });
}

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

t.test('I4: what comes in for others is shown first, too', async (t) => {
  const { rig, evil } = await start(t);
  await rig.ask(`/v2/org/app/manifests/${MANIFEST.digest}${NS}`);
  evil.size = LARGE.bytes.length;
  rig.origin.faults.stall = { bytes: 2 * MiB, times: 1 };
  const coming = await rig.open(`/v2/org/app/blobs/${LARGE.digest}${NS}`);
  const answer = await steal(rig, `blobs/${LARGE.digest}`);
  t.notOk(answer.whole);
  t.notOk(isIn(answer.body, LARGE), 'its own bytes, which are not right');
  t.ok(rig.lines.some((line) => line.includes('BLOB_NOT_PROVED') && line.includes('than come in from elsewhere')));
  rig.origin.addBlob('org/other', LARGE);
  const other = await rig.open(`/v2/org/other/blobs/${LARGE.digest}${NS}`);
  t.equal(other.statusCode, 200, 'who has it there reads along');
  other.destroy();
  coming.destroy();
});

t.test('what a registry gives that is not it is in nobody else’s way', async (t) => {
  const { rig, evil } = await start(t);
  evil.size = LARGE.bytes.length;
  await steal(rig, `blobs/${LARGE.digest}`, { headers: { range: 'bytes=0-99' } });
  await rig.ask(`/v2/org/app/manifests/${MANIFEST.digest}${NS}`);
  const answer = await rig.ask(`/v2/org/app/blobs/${LARGE.digest}${NS}`);
  t.ok(answer.whole && answer.body.equals(LARGE.bytes), 'the bytes of its own registry');
  t.notOk((await rig.refs.linkOf({ registry: EVIL, repository: 'x/y' }, LARGE.digest))?.confirmed);
});

t.test('a wrong proof blames the registry, once, is audited, and is not tried again for a while', async (t) => {
  const events: AuditEvent[] = [];
  const { rig, evil, clock } = await start(t, { audit: { record: (event) => void events.push(event) } });
  await pull(rig);
  evil.size = LARGE.bytes.length;
  const lines = () => rig.lines.filter((line) => /"level":(?:40|"warn").*"code":"BLOB_NOT_PROVED".*"todo":/.test(line));
  const asks = async () => {
    const before = evil.requests.length;
    const answer = await steal(rig, `blobs/${LARGE.digest}`);
    t.match(errorIn(answer), { code: 'BLOB_UNKNOWN', detail: { code: 'BLOB_NOT_PROVED' } });
    return evil.requests.slice(before);
  };
  const [asked, ...more] = await asks();
  t.match(asked, { method: 'GET', path: `/v2/x/y/blobs/${LARGE.digest}`, range: /^bytes=\d+-\d+$/ });
  t.same(more, []);
  t.equal(lines().length, 1);
  t.match(JSON.parse(lines()[0]!), { upstream: EVIL, digest: LARGE.digest, msg: /evil\.test says that it has/ });
  await until(() => events.length === 1);
  t.match(events[0], { decision: 'denied', code: 'BLOB_NOT_PROVED', registry: EVIL, digest: LARGE.digest, status: 404 });
  t.same(await asks(), [], 'not asked again');
  clock.shift(WRONG_MS + 1);
  t.equal((await asks()).length, 1);
  clock.shift(WRONG_MS + 1);
  t.same(await asks(), [], 'for twice as long now');
  t.equal(lines().length, 2);
});

for (const how of ['ranges', 'no ranges', 'a redirect', 'gzip', 'one wrong range'] as const) {
  t.test(`a registry that has it shows it by one question, and is asked by HEAD later (${how})`, async (t) => {
    const { rig, clock } = await start(t);
    const { origin } = rig;
    await pull(rig);
    for (const blob of SECRET.layers) origin.addBlob('org/other', blob);
    const empty = testBlob(Buffer.alloc(0));
    for (const repository of ['org/app', 'org/other']) origin.addBlob(repository, empty);
    await rig.ask(`/v2/org/app/blobs/${empty.digest}${NS}`);
    if (how === 'no ranges') origin.faults.ignoreRange = true;
    if (how === 'a redirect') origin.redirectBlobs = { status: 307 };
    if (how === 'gzip') origin.faults.gzip = origin.faults.ignoreRange = true;
    if (how === 'one wrong range') origin.faults.contentRange = 'missing';
    for (const { digest, bytes } of [...SECRET.layers, empty]) {
      origin.requests.length = 0;
      const before = await rig.metric('hawker_origin_bytes_total');
      const path = `/v2/org/other/blobs/${digest}${NS}`;
      const answer = await rig.ask(path);
      t.equal(answer.status, 200);
      t.ok(answer.body.equals(bytes));
      t.equal(answer.headers['x-hawker-source'], 'store');
      const asked = origin.requests.map(({ kind, method }) => `${method} ${kind}`);
      const wanted = digest === empty.digest ? ['HEAD blob'] : ['GET blob'];
      if (digest !== empty.digest && how === 'a redirect') wanted.push('GET cdn');
      if (digest !== empty.digest && how === 'one wrong range') wanted.push('GET blob');
      t.same(asked, wanted);
      const read = (await rig.metric('hawker_origin_bytes_total')) - before;
      if (digest === LARGE.digest && (how === 'ranges' || how === 'a redirect')) t.equal(read, PROOF_BYTES);
      else t.ok(read < 4 * NEAR_BYTES, `${read} bytes: not the whole of a large one`);
      t.equal((await rig.ask(path)).status, 200);
      t.equal(origin.requests.length, wanted.length, 'and not again');
      clock.shift(RIGHT_MS + 1);
      t.equal((await rig.ask(path)).status, 200);
      t.equal(origin.requests.at(-1)!.method, 'HEAD');
    }
  });
}

t.test('a manifest is read as a whole, unless a peer has read it from there', async (t) => {
  const vouchers = {
    isAnybodyThere: true,
    word: undefined as { peer: string; ageMs: number } | undefined,
    async ask() {
      return this.word;
    },
  };
  const { rig } = await start(t, { vouchers });
  await pull(rig);
  for (const repository of ['org/one', 'org/two']) rig.origin.addImage(repository, 'v1', SECRET);
  const methods = async (repository: string) => {
    rig.origin.requests.length = 0;
    t.equal((await rig.ask(`/v2/${repository}/manifests/v1${NS}`)).status, 200);
    t.equal((await rig.ask(`/v2/${repository}/manifests/v1${NS}`)).status, 200);
    return rig.origin.requests.map(({ method }) => method);
  };
  t.same(await methods('org/one'), ['HEAD', 'GET', 'HEAD']);
  vouchers.word = { peer: 'peer-1', ageMs: 1000 };
  t.same(await methods('org/two'), ['HEAD', 'HEAD']);
});
