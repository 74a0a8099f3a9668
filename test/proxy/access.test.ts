import { writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { RIGHT_MS } from '../../src/proxy/access.ts';
import { MiB } from '../../src/base/units.ts';
import { makeImage } from '../support/hostile-registry.ts';
import { PATIENCE_MS } from '../support/patience.ts';
import { OCI_MANIFEST, randomBytes, testBlob } from '../support/registry-images.ts';
import { errorIn, REGISTRY, Rig, ShiftedClock } from './rig.ts';

const IMAGE = makeImage({ seed: 8, layers: [2000] });
const LAYER = IMAGE.layers[0]!;
const MANIFEST = IMAGE.manifests[0]!;
const NS = `?ns=${REGISTRY}`;
const BLOB = `/v2/org/app/blobs/${LAYER.digest}${NS}`;
const KEY = { registry: REGISTRY, repository: 'org/app' };
const DAY_MS = 86_400_000;

type Test = Parameters<typeof Rig.start>[0];

async function start(
  t: Test,
  options: Parameters<typeof Rig.start>[1] = {},
): Promise<{ rig: Rig; clock: ShiftedClock }> {
  const clock = new ShiftedClock();
  const rig = await Rig.start(t, { clock, ...options });
  rig.origin.addImage('org/app', 'latest', IMAGE);
  return { rig, clock };
}

/** Pulls the whole image. */
async function pull(rig: Rig): Promise<void> {
  for (const path of [`manifests/latest`, `manifests/${MANIFEST.digest}`, `blobs/${LAYER.digest}`]) {
    const answer = await rig.ask(`/v2/org/app/${path}${NS}`);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.body.toString()}`);
  }
}

t.test('I4: a digest that is stored, but linked elsewhere, is asked for at the origin', async (t) => {
  const { rig } = await start(t);
  await pull(rig);
  const before = rig.origin.requests.length;
  t.equal((await rig.ask(`/v2/org/evil/blobs/${LAYER.digest}${NS}`)).status, 404);
  t.equal((await rig.ask(`/v2/org/evil/manifests/${MANIFEST.digest}${NS}`)).status, 404);
  t.equal((await rig.ask(`/v2/org/app/blobs/${LAYER.digest}?ns=docker.io`)).status, 200, 'the origin has it there too');
  t.ok(
    rig.origin.requests.slice(before).every((r) => r.method === 'HEAD'),
    'and it is not read again',
  );
});

t.test(
  'I4: a manifest that names a digest of another repository opens nothing that is stored, coming in, or half here',
  async (t) => {
    const { rig } = await start(t);
    const secret = testBlob(randomBytes('secret', 3 * MiB));
    rig.origin.addBlob('org/app', secret);
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        config: { mediaType: 'application/json', digest: secret.digest, size: secret.bytes.length },
        layers: [],
      }),
    );
    rig.origin.addManifest('org/evil', testBlob(manifest, OCI_MANIFEST), 'v1');
    const stolen = () => rig.ask(`/v2/org/evil/blobs/${secret.digest}${NS}`);
    const own = `/v2/org/app/blobs/${secret.digest}${NS}`;
    t.equal((await rig.ask(`/v2/org/evil/manifests/v1${NS}`)).status, 200);
    t.equal((await stolen()).status, 404, 'not here yet');

    rig.origin.faults.stall = { bytes: 2 * MiB, times: 1 };
    const coming = await rig.open(own);
    t.equal((await rig.ask(`/v2/org/evil/manifests/v1${NS}`)).status, 200);
    t.equal((await stolen()).status, 404, 'coming in, for somebody else');
    coming.destroy();

    t.equal((await rig.ask(own)).status, 200);
    t.equal((await rig.ask(`/v2/org/evil/manifests/v1${NS}`)).status, 200);
    t.equal((await stolen()).status, 404, 'stored');
    rig.origin.addBlob('org/evil', secret);
    t.equal((await rig.ask(`/v2/org/evil/manifests/v1${NS}`)).status, 200);
    t.equal((await stolen()).status, 200, 'the registry has it there: then it may be read');
  },
);

t.test('a right holds for minutes, then the origin is asked again', async (t) => {
  const { rig, clock } = await start(t);
  await pull(rig);
  const before = rig.origin.requests.length;
  clock.shift(RIGHT_MS - PATIENCE_MS);
  t.equal((await rig.ask(BLOB)).status, 200);
  t.equal(rig.origin.requests.length, before);
  clock.shift(PATIENCE_MS + 1000);
  t.equal((await rig.ask(BLOB)).status, 200);
  t.same(
    rig.origin.requests.slice(before).map((r) => r.method),
    ['HEAD'],
  );
  t.equal((await rig.ask(BLOB)).status, 200);
  t.equal(rig.origin.requests.length, before + 1, 'which gives a new right');
});

for (const deny of ['at-token', 'at-registry'] as const) {
  t.test(`401 and 403 end right and links, and are never covered by something stale (${deny})`, async (t) => {
    const { rig, clock } = await start(t);
    rig.origin.auth.mode = 'bearer';
    rig.origin.auth.deny = deny;
    await pull(rig);
    clock.shift(RIGHT_MS + 1000);
    rig.origin.auth.privateRepositories.add('org/app');
    rig.origin.auth.revokeTokens();
    const blob = await rig.ask(BLOB);
    t.equal(blob.status, 401);
    t.equal(errorIn(blob).detail.code, 'LOGIN_NEEDED');
    t.equal(await rig.refs.linkOf(KEY, LAYER.digest), undefined);
    t.equal(await rig.refs.linkOf(KEY, MANIFEST.digest), undefined, 'all of the repository is forgotten');
    t.equal((await rig.ask(`/v2/org/app/manifests/latest${NS}`)).status, 401);
    await rig.origin.close();
    for (const path of ['manifests/latest', `manifests/${MANIFEST.digest}`, `blobs/${LAYER.digest}`]) {
      t.equal((await rig.ask(`/v2/org/app/${path}${NS}`)).status, 404, `${path} with the origin down`);
    }
  });
}

t.test('404 ends the right and the link', async (t) => {
  const { rig, clock } = await start(t);
  await pull(rig);
  clock.shift(RIGHT_MS + 1000);
  rig.origin.remove('org/app', LAYER.digest);
  t.equal((await rig.ask(BLOB)).status, 404);
  t.equal(await rig.refs.linkOf(KEY, LAYER.digest), undefined);
  t.ok(await rig.refs.linkOf(KEY, MANIFEST.digest), 'but not the links of what was not asked for');
  await rig.origin.close();
  t.equal((await rig.ask(BLOB)).status, 404);
});

t.test('what a manifest names, but the origin has not, is a 404 and loses its link', async (t) => {
  const { rig } = await start(t);
  await rig.ask(`/v2/org/app/manifests/latest${NS}`);
  await rig.ask(`/v2/org/app/manifests/${MANIFEST.digest}${NS}`);
  rig.origin.remove('org/app', LAYER.digest);
  const answer = await rig.ask(BLOB);
  t.equal(answer.status, 404);
  t.equal(errorIn(answer).code, 'BLOB_UNKNOWN');
  t.equal(await rig.refs.linkOf(KEY, LAYER.digest), undefined);
});

for (const down of ['closed', '503', '429']) {
  t.test(`origin ${down}: what was read before is served, with a warning, for as long as it may be`, async (t) => {
    const { rig, clock } = await start(t);
    await pull(rig);
    clock.shift(RIGHT_MS + 1000);
    if (down === 'closed') await rig.origin.close();
    else {
      rig.origin.faults.on = ['manifest', 'blob'];
      rig.origin.faults.status = { code: Number(down), times: Infinity, retryAfter: '1' };
    }
    for (const path of ['manifests/latest', `manifests/${MANIFEST.digest}`, `blobs/${LAYER.digest}`]) {
      const answer = await rig.ask(`/v2/org/app/${path}${NS}`);
      t.equal(answer.status, 200, path);
      t.match(
        answer.headers['warning'],
        /^299 - "Hawker served this stale, as it was 5 min ago: origin\.test cannot be asked \([A-Z_]+\)"$/,
      );
      t.equal(answer.headers['x-hawker-source'], 'store');
    }
    const head = await rig.ask(`/v2/org/app/manifests/latest${NS}`, { method: 'HEAD' });
    t.equal(head.status, 200);
    t.match(head.headers['warning'], /^299 /);
    t.equal((await rig.ask(`/v2/org/other/manifests/latest${NS}`)).status, 404, 'and nothing else');
    clock.shift(DAY_MS);
    for (const path of ['manifests/latest', `blobs/${LAYER.digest}`]) {
      const answer = await rig.ask(`/v2/org/app/${path}${NS}`);
      t.equal(answer.status, 404, `${path} a day later`);
      t.match(errorIn(answer).detail.code, /^ORIGIN_/);
    }
  });
}

t.test('a right that holds needs no origin, and no warning', async (t) => {
  const { rig } = await start(t);
  await pull(rig);
  await rig.origin.close();
  const answer = await rig.ask(BLOB);
  t.equal(answer.status, 200);
  t.notOk('warning' in answer.headers);
});

t.test('after a restart, with the origin down, it is still known', async (t) => {
  const refsDir = t.testdir();
  const { rig } = await start(t, { refsDir });
  await pull(rig);
  await rig.close();
  await rig.origin.close();
  const { rig: again } = await start(t, { refsDir, origin: rig.origin, store: rig.store });
  for (const path of ['manifests/latest', `manifests/${MANIFEST.digest}`, `blobs/${LAYER.digest}`]) {
    const answer = await again.ask(`/v2/org/app/${path}${NS}`);
    t.equal(answer.status, 200, path);
    t.match(answer.headers['warning'], /^299 /);
  }
});

t.test('I4: what a configured credential reads goes to loopback clients only, and never stale', async (t) => {
  const refsDir = t.testdir();
  const passwordFile = join(refsDir, 'password');
  writeFileSync(passwordFile, 'correct horse\n', { mode: 0o600 });
  const { rig, clock } = await start(t, {
    refsDir,
    listenHost: '0.0.0.0',
    upstream: { username: 'joe', passwordFile },
  });
  rig.origin.auth.mode = 'basic';
  rig.origin.auth.users.set('joe', 'correct horse');
  rig.origin.auth.privateRepositories.add('org/app');
  await pull(rig);
  t.match((await rig.ask(BLOB)).headers['cache-control'], /private/);
  const outside = Object.values(networkInterfaces())
    .flat()
    .find((address) => address && !address.internal && address.family === 'IPv4')?.address;
  if (outside) {
    for (const path of ['manifests/latest', `manifests/${MANIFEST.digest}`, `blobs/${LAYER.digest}`, 'tags/list']) {
      const answer = await rig.ask(`/v2/org/app/${path}${NS}`, { host: outside });
      t.equal(answer.status, 404, path);
      t.equal(errorIn(answer).detail.code, 'LOOPBACK_ONLY');
    }
  }
  clock.shift(RIGHT_MS + 1000);
  await rig.origin.close();
  t.equal((await rig.ask(BLOB)).status, 404);
  t.equal((await rig.ask(`/v2/org/app/manifests/latest${NS}`)).status, 404);
  t.notOk(rig.lines.some((line) => line.includes('correct horse')));
});

t.test('an origin that has failed is not asked again and again for what may be served stale', async (t) => {
  const { rig, clock } = await start(t);
  await pull(rig);
  clock.shift(RIGHT_MS + 1000);
  rig.origin.faults.on = ['manifest', 'blob'];
  rig.origin.faults.status = { code: 503, times: Infinity };
  await rig.ask(BLOB);
  const asked = rig.origin.requests.length;
  for (let i = 0; i < 5; i += 1) t.equal((await rig.ask(BLOB)).status, 200);
  t.equal(rig.origin.requests.length, asked);
  rig.origin.faults.status = undefined;
  clock.shift(11_000);
  const answer = await rig.ask(BLOB);
  t.notOk('warning' in answer.headers, 'after a while it is asked again');
});

t.test('what only a manifest names is asked for however lately the origin has failed', async (t) => {
  const { rig, clock } = await start(t);
  for (const path of ['manifests/latest', `manifests/${MANIFEST.digest}`]) await rig.ask(`/v2/org/app/${path}${NS}`);
  await rig.ask(`/v2/org/app/manifests/latest${NS}`);
  clock.shift(RIGHT_MS + 1000);
  rig.origin.faults.on = ['manifest'];
  rig.origin.faults.status = { code: 503, times: Infinity };
  await rig.ask(`/v2/org/app/manifests/latest${NS}`);
  t.equal((await rig.ask(BLOB)).status, 200, 'the origin gives it');
});
