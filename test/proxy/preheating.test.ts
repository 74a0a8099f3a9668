import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { PreheatProgress } from '../../src/p2p/peer/preheat-orders.ts';
import { makeImage, testBlob } from '../support/hostile-registry.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { PATIENCE_MS } from '../support/patience.ts';
import { REGISTRY, Rig, until, type RigOptions } from './rig.ts';

const IMAGE = makeImage({ seed: 8, layers: [300_000, 1_500_000, 2_000] });
const [AMD64, ARM64] = IMAGE.manifests as [(typeof IMAGE.manifests)[0], (typeof IMAGE.manifests)[0]];
const NS = `?ns=${REGISTRY}`;

async function start(t: Test, options: RigOptions = {}): Promise<Rig> {
  const rig = await Rig.start(t, options);
  rig.origin.addImage('org/app', 'latest', IMAGE);
  return rig;
}

async function preheat(rig: Rig, image = `${REGISTRY}/org/app`, platforms = ['linux/amd64'], signal?: AbortSignal) {
  const progress: PreheatProgress = { digest: undefined, blobs: 0, blobsHere: 0, bytes: 0, bytesHere: 0 };
  const work = { image, digest: undefined, platforms };
  await rig.preheating.fetch(work, progress, signal ?? AbortSignal.timeout(PATIENCE_MS));
  return progress;
}

t.test('what was preheated is pulled without another byte of the origin', async (t) => {
  const rig = await start(t);
  const progress = await preheat(rig);
  const blobs = IMAGE.layers.length + 1;
  t.match(progress, { digest: IMAGE.index.digest, blobs: blobs + 2, blobsHere: blobs + 2 });
  t.equal(progress.bytes, progress.bytesHere);
  const gets = () => rig.origin.of('manifest', 'GET').length + rig.origin.of('blob', 'GET').length;
  const before = gets();
  for (const reference of ['latest', AMD64.digest]) {
    t.equal((await rig.ask(`/v2/org/app/manifests/${reference}${NS}`)).status, 200);
  }
  for (const layer of IMAGE.layers) {
    const answer = await rig.ask(`/v2/org/app/blobs/${layer.digest}${NS}`);
    t.ok(answer.body.equals(layer.bytes));
    t.equal(answer.headers['x-hawker-source'], 'store');
  }
  t.equal(gets(), before);
  t.equal(rig.store.sizeOf(ARM64.digest), undefined, 'the other platform is not here');
});

t.test('platforms: those that are named, all, and none that is not there', async (t) => {
  const rig = await start(t);
  await preheat(rig, undefined, ['linux/arm64']);
  t.ok(rig.store.sizeOf(ARM64.digest));
  t.notOk(rig.store.sizeOf(AMD64.digest));
  const all = await preheat(rig, undefined, ['all']);
  t.equal(all.blobs, 3 + IMAGE.blobs.length);
  for (const { digest } of IMAGE.blobs) t.ok(rig.store.sizeOf(digest));
  await t.rejects(preheat(rig, undefined, ['linux/s390x']), {
    code: 'PREHEAT_NO_PLATFORM',
    message: /linux\/amd64, linux\/arm64/,
  });
  await t.rejects(preheat(rig, undefined, ['odd']), { code: 'PREHEAT_PLATFORM_INVALID' });
  const own = await preheat(rig, undefined, []);
  t.equal(own.blobsHere, own.blobs);
});

t.test('by digest, of a manifest that is no index', async (t) => {
  const rig = await start(t);
  const progress = await preheat(rig, `${REGISTRY}/org/app@${ARM64.digest}`);
  t.equal(progress.digest, ARM64.digest);
  t.ok(rig.store.sizeOf(ARM64.digest));
});

t.test('what cannot be: no image, no such upstream, no such tag, an origin that is gone', async (t) => {
  const rig = await start(t);
  await t.rejects(preheat(rig, 'No Image'), { code: 'PREHEAT_IMAGE_INVALID' });
  await t.rejects(preheat(rig, 'elsewhere.test/org/app'), { code: 'UPSTREAM_UNKNOWN' }, 'the allow-list holds');
  await t.rejects(preheat(rig, `${REGISTRY}/org/app:none`), { code: 'ORIGIN_NOT_FOUND' });
  await preheat(rig);
  rig.origin.faults.on = ['manifest'];
  rig.origin.faults.status = { code: 503, times: 1000 };
  await t.rejects(preheat(rig), { code: 'PREHEAT_STALE' }, 'a tag of yesterday is not spread');
  t.equal(
    (await preheat(rig, `${REGISTRY}/org/app@${IMAGE.index.digest}`)).blobs,
    6,
    'what a digest names is what it is',
  );
});

t.test('a layer that the registry lost', async (t) => {
  const rig = await start(t);
  rig.origin.remove('org/app', IMAGE.layers[1]!.digest);
  await t.rejects(preheat(rig), { message: /404/ });
});

t.test('too large for the quota, for the disk, a disk that fails, a store that does not take it', async (t) => {
  const room = (usage: object, disk: object = {}) => ({
    usage: () => ({ quota: 1e9, ...usage }),
    disk: async () => ({ roomBytes: 1e9, reserveBytes: 0, failure: undefined, ...disk }),
  });
  const cases: [string, RigOptions, { code: string; message?: RegExp }][] = [
    ['the quota', { room: room({ quota: 1_000_000 }) }, { code: 'PREHEAT_TOO_LARGE' }],
    ['what is pinned', { room: room({ pinned: 999_000_000 }) }, { code: 'PREHEAT_TOO_LARGE' }],
    ['the disk', { room: room({}, { roomBytes: 1_000_000 }) }, { code: 'PREHEAT_DISK_FULL' }],
    ['its failure', { room: room({}, { failure: 'EROFS' }) }, { code: 'PREHEAT_DISK_FULL', message: /EROFS/ }],
    ['the store', { store: new MemoryStore({ quotaBytes: 400_000 }) }, { code: 'PREHEAT_NO_ROOM' }],
  ];
  for (const [name, options, error] of cases) {
    await t.test(name, async (t) => void (await t.rejects(preheat(await start(t, options)), error)));
  }
});

t.test('I4: a private image is read with the configured credential, and stays private', async (t) => {
  const dir = t.testdir({ refs: {}, password: 'hunter2-hunter2' });
  const passwordFile = join(dir, 'password');
  const rig = await start(t, { refsDir: join(dir, 'refs'), upstream: { username: 'robot', passwordFile } });
  rig.origin.auth.mode = 'bearer';
  rig.origin.auth.users.set('robot', 'hunter2-hunter2');
  rig.origin.auth.privateRepositories.add('org/app');
  await preheat(rig);
  const link = await rig.refs.linkOf({ registry: REGISTRY, repository: 'org/app' }, IMAGE.layers[0]!.digest);
  t.equal(link?.anonymous, false);
  t.notOk(rig.lines.some((line) => line.includes('hunter2')));
  rig.origin.auth.users.clear();
  rig.origin.auth.revokeTokens();
});

t.test('told to stop in the middle it stops, and what came is kept', async (t) => {
  const rig = await start(t);
  rig.origin.faults.delayMs = 400;
  const stop = new AbortController();
  const fetching = preheat(rig, undefined, undefined, stop.signal);
  setImmediate(() => stop.abort(new Error('enough')));
  await t.rejects(fetching, { message: 'enough' });
});

t.test('told to stop, nothing more is asked for of a blob that nobody else reads', async (t) => {
  const rig = await start(t);
  rig.origin.faults.on = ['blob'];
  rig.origin.faults.bytesPerSecond = 200_000;
  const stop = new AbortController();
  const fetching = preheat(rig, undefined, undefined, stop.signal);
  await until(() => rig.origin.of('blob', 'GET').length >= 3);
  t.notOk(rig.lines.some((line) => line.includes('nobody reads this blob')));
  stop.abort(new Error('enough'));
  await t.rejects(fetching, { message: 'enough' });
  await until(() => rig.lines.some((line) => line.includes('nobody reads this blob')));
});

t.test('an index of indexes has an end', async (t) => {
  const rig = await start(t);
  const type = 'application/vnd.oci.image.index.v1+json';
  let child = IMAGE.index;
  for (let depth = 0; depth < 6; depth += 1) {
    const manifests = [{ mediaType: type, digest: child.digest, size: child.bytes.length }];
    child = testBlob(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, manifests })), type);
    rig.origin.addManifest('org/app', child, depth === 5 ? 'deep' : undefined);
  }
  t.equal((await preheat(rig, `${REGISTRY}/org/app:deep`)).blobs, 4);
});
