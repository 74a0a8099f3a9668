import t from 'tap';
import { MANIFEST_ACCEPT, SINGLE_MANIFEST_ACCEPT } from '../../src/registry/media-types.ts';
import { ABSENT_DIGEST, makeImage, testBlob } from '../support/hostile-registry.ts';
import { errorIn, REGISTRY, Rig, until } from './rig.ts';

const IMAGE = makeImage({ seed: 7, layers: [2000, 3000] });
const NAME = '/v2/org/app/manifests';
const NS = `?ns=${REGISTRY}`;

async function start(t: Parameters<typeof Rig.start>[0], options: Parameters<typeof Rig.start>[1] = {}): Promise<Rig> {
  const rig = await Rig.start(t, options);
  rig.origin.addImage('org/app', 'latest', IMAGE);
  rig.origin.addImage('library/app', 'latest', IMAGE);
  return rig;
}

t.test('by tag: HEAD at the origin each time, GET once', async (t) => {
  const rig = await start(t);
  for (const source of ['origin', 'store']) {
    const answer = await rig.ask(`${NAME}/latest${NS}`);
    t.equal(answer.status, 200);
    t.ok(answer.body.equals(IMAGE.index.bytes));
    t.match(answer.headers, {
      'content-type': IMAGE.index.mediaType,
      'content-length': String(IMAGE.index.bytes.length),
      'docker-content-digest': IMAGE.index.digest,
      etag: `"${IMAGE.index.digest}"`,
      'oci-namespace': REGISTRY,
      'x-hawker-source': source,
    });
  }
  t.equal(rig.origin.of('manifest', 'HEAD').length, 2);
  t.equal(rig.origin.of('manifest', 'GET').length, 1);
  const named = await rig.ask('/v2/app/manifests/latest');
  t.equal(named.status, 200, 'library/ is added for Docker Hub');
  t.notOk('oci-namespace' in named.headers);
});

t.test('I3: many clients ask for a tag at once, the origin hears it once', async (t) => {
  const rig = await start(t);
  rig.origin.faults.on = ['manifest'];
  rig.origin.faults.delayMs = 50;
  const answers = await Promise.all(Array.from({ length: 6 }, () => rig.ask(`${NAME}/latest${NS}`)));
  t.ok(answers.every(({ body }) => body.equals(IMAGE.index.bytes)));
  t.equal(rig.origin.of('manifest', 'HEAD').length, 1);
  t.equal(rig.origin.of('manifest', 'GET').length, 1);
});

t.test('HEAD says what GET says, and reads nothing that Docker Hub counts', async (t) => {
  const rig = await start(t);
  for (const reference of ['latest', IMAGE.manifests[0]!.digest]) {
    const head = await rig.ask(`${NAME}/${reference}${NS}`, { method: 'HEAD' });
    t.equal(head.status, 200);
    t.equal(rig.origin.of('manifest', 'GET').length, reference === 'latest' ? 0 : 1);
    const get = await rig.ask(`${NAME}/${reference}${NS}`);
    for (const name of ['content-length', 'content-type', 'docker-content-digest', 'etag', 'oci-namespace']) {
      t.equal(head.headers[name], get.headers[name], name);
    }
  }
});

t.test('by digest, as containerd goes on after its HEAD; Range is ignored', async (t) => {
  const rig = await start(t);
  const { digest, bytes, mediaType } = IMAGE.manifests[0]!;
  const headers = { range: 'bytes=0-' };
  const answer = await rig.ask(`${NAME}/${digest}${NS}`, { headers });
  t.equal(answer.status, 200);
  t.ok(answer.body.equals(bytes));
  t.equal(answer.headers['content-type'], mediaType);
});

t.test('what a manifest names is linked to its repository, and to no other', async (t) => {
  const rig = await start(t);
  await rig.ask(`${NAME}/latest${NS}`);
  await rig.ask(`${NAME}/${IMAGE.manifests[0]!.digest}${NS}`);
  const asked = rig.origin.requests.length;
  const layer = IMAGE.layers[0]!;
  const answer = await rig.ask(`/v2/org/app/blobs/${layer.digest}${NS}`);
  t.ok(answer.body.equals(layer.bytes));
  t.same(
    rig.origin.requests.slice(asked).map((r) => r.method),
    ['GET'],
    'a linked blob is read without asking first',
  );
  const elsewhere = await rig.ask(`/v2/org/evil/blobs/${layer.digest}${NS}`);
  t.equal(elsewhere.status, 404, 'I4: a digest is no right');
});

t.test('If-None-Match', async (t) => {
  const rig = await start(t);
  const headers = { 'if-none-match': `"${IMAGE.index.digest}"` };
  const answer = await rig.ask(`${NAME}/latest${NS}`, { headers });
  t.equal(answer.status, 304);
  t.equal(answer.body.length, 0);
  t.equal(answer.headers.etag, `"${IMAGE.index.digest}"`);
});

t.test('what an origin gives by Accept is kept apart', async (t) => {
  const rig = await start(t);
  await rig.ask(`${NAME}/latest${NS}`, { headers: { accept: 'application/vnd.docker.distribution.manifest.v2+json' } });
  t.equal(rig.origin.of('manifest', 'HEAD')[0]!.headers.accept, SINGLE_MANIFEST_ACCEPT);
  const key = { registry: REGISTRY, repository: 'org/app' };
  t.ok(await rig.refs.tagOf(key, 'latest', 'single'));
  t.notOk(await rig.refs.tagOf(key, 'latest', 'any'));
  await rig.ask(`${NAME}/latest${NS}`, { headers: { accept: '*/*' } });
  t.equal(rig.origin.of('manifest', 'HEAD')[1]!.headers.accept, MANIFEST_ACCEPT);
});

t.test('a registry that does no HEAD, or says no digest, is read by tag, once', async (t) => {
  for (const fault of [{ headStatus: 405 }, { digestHeader: false }]) {
    const rig = await start(t);
    Object.assign(rig.origin.faults, { on: ['manifest'], ...fault });
    const answer = await rig.ask(`${NAME}/latest${NS}`);
    t.ok(answer.body.equals(IMAGE.index.bytes));
    t.equal(answer.headers['docker-content-digest'], IMAGE.index.digest);
    t.equal(rig.origin.of('manifest', 'GET').length, 1);
    const { digest, bytes } = IMAGE.manifests[1]!;
    t.ok((await rig.ask(`/v2/app/manifests/${digest}`)).body.equals(bytes), 'by digest, not linked yet');
    const gone = await rig.ask(`${NAME}/${ABSENT_DIGEST}${NS}`);
    t.equal(gone.status, 404);
    const head = await rig.ask(`${NAME}/latest${NS}`, { method: 'HEAD' });
    t.equal(head.headers['content-length'], String(IMAGE.index.bytes.length));
  }
});

t.test('a manifest called text/plain is served as what it is', async (t) => {
  const rig = await start(t);
  const manifest = { ...IMAGE.manifests[0]!, mediaType: 'text/plain' };
  rig.origin.addManifest('org/plain', manifest, 'latest');
  for (const reference of ['latest', manifest.digest]) {
    const answer = await rig.ask(`/v2/org/plain/manifests/${reference}${NS}`);
    t.equal(answer.headers['content-type'], IMAGE.manifests[0]!.mediaType);
    const head = await rig.ask(`/v2/org/plain/manifests/${reference}${NS}`, { method: 'HEAD' });
    t.equal(head.headers['content-type'], IMAGE.manifests[0]!.mediaType);
  }
});

t.test('HEAD of a manifest whose type only its bytes tell', async (t) => {
  const rig = await start(t);
  const manifest = { ...IMAGE.manifests[0]!, mediaType: 'text/plain' };
  rig.origin.addManifest('org/plain', manifest, 'latest');
  const head = await rig.ask(`/v2/org/plain/manifests/${manifest.digest}${NS}`, { method: 'HEAD' });
  t.equal(head.status, 200);
  t.equal(head.headers['content-type'], IMAGE.manifests[0]!.mediaType);
  t.equal(head.headers['content-length'], String(manifest.bytes.length));
});

t.test('schema 1 and unknown types are passed through, never kept', async (t) => {
  const rig = await start(t);
  for (const mediaType of [
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
    'application/vnd.odd.v1+json',
  ]) {
    const odd = testBlob(Buffer.from(`{"schemaVersion":1,"of":"${mediaType}"}`), mediaType);
    rig.origin.addManifest('org/odd', odd, 'v1');
    for (const reference of ['v1', odd.digest]) {
      const answer = await rig.ask(`/v2/org/odd/manifests/${reference}${NS}`);
      t.ok(answer.body.equals(odd.bytes));
      t.equal(answer.headers['content-type'], mediaType);
      t.equal(rig.store.sizeOf(odd.digest), undefined);
    }
  }
});

t.test('a manifest that is too large is refused', async (t) => {
  const rig = await start(t);
  const huge = testBlob(Buffer.alloc(5 * 1024 * 1024, ' '), IMAGE.index.mediaType);
  rig.origin.addBlob('org/app', huge);
  rig.origin.addManifest('org/app', huge, 'huge');
  // It has come in as a blob, where no such limit is.
  await rig.ask(`/v2/org/app/blobs/${huge.digest}${NS}`);
  await until(() => rig.store.sizeOf(huge.digest) !== undefined);
  const answer = await rig.ask(`${NAME}/huge${NS}`);
  t.equal(answer.status, 404);
  t.equal(errorIn(answer).detail.code, 'MANIFEST_TOO_LARGE');
});

t.test('unknown tags, digests and repositories are 404s that say why', async (t) => {
  const rig = await start(t);
  for (const path of [`${NAME}/absent`, `${NAME}/${ABSENT_DIGEST}`, '/v2/org/absent/manifests/latest']) {
    const answer = await rig.ask(`${path}${NS}`);
    t.equal(answer.status, 404);
    t.match(errorIn(answer), { code: 'MANIFEST_UNKNOWN', detail: { code: 'ORIGIN_NOT_FOUND' } });
    const head = await rig.ask(`${path}${NS}`, { method: 'HEAD' });
    t.equal(head.status, 404);
    t.equal(head.body.length, 0);
  }
});

t.test('I1: a manifest whose bytes are wrong is not served', async (t) => {
  const rig = await start(t);
  Object.assign(rig.origin.faults, { on: ['manifest'], flip: { offset: 3, times: Infinity } });
  const answer = await rig.ask(`${NAME}/latest${NS}`);
  t.equal(answer.status, 404);
  t.equal(rig.store.sizeOf(IMAGE.index.digest), undefined);
});
