import { gzipSync } from 'node:zlib';
import t from 'tap';
import { digestOf } from '../../src/base/digest.ts';
import { MANIFEST_ACCEPT, SINGLE_MANIFEST_ACCEPT } from '../../src/registry/media-types.ts';
import type { OriginLimits } from '../../src/registry/limits.ts';
import { ABSENT_DIGEST, makeImage, testBlob } from '../support/hostile-registry.ts';
import { failureOf, KeepingSink, never, openUpstream, type Ends } from '../support/registry-client.ts';

const REPO = 'library/app';
const image = makeImage({ seed: 3, layers: [100] });
const OCI_INDEX = image.index.mediaType;
const TAG = { tag: 'v1' };

async function open(test: Ends, limits: Partial<OriginLimits> = {}) {
  const opened = await openUpstream(test, {}, { limits });
  opened.origin.addImage(REPO, 'v1', image);
  opened.origin.faults.on = ['manifest'];
  return opened;
}

t.test('HEAD and GET, by tag and by digest', async (t) => {
  const { upstream, origin, metrics } = await open(t);
  const head = await upstream.headManifest(REPO, TAG, SINGLE_MANIFEST_ACCEPT);
  t.strictSame(head, { digest: image.index.digest, size: image.index.bytes.length, mediaType: OCI_INDEX });
  for (const ref of [TAG, { digest: image.index.digest }]) {
    const got = await upstream.getManifest(REPO, ref, MANIFEST_ACCEPT);
    t.strictSame(got, { bytes: image.index.bytes, mediaType: OCI_INDEX, digest: image.index.digest });
  }
  t.strictSame(
    origin.of('manifest').map((r) => [r.method, r.headers.accept, r.headers['accept-encoding']]),
    [
      ['HEAD', SINGLE_MANIFEST_ACCEPT, 'identity'],
      ['GET', MANIFEST_ACCEPT, 'identity'],
      ['GET', MANIFEST_ACCEPT, 'identity'],
    ],
  );
  t.equal(new Set(origin.connections()).size, 1);
  const text = await metrics.registry.metrics();
  t.match(text, `hawker_origin_bytes_total{upstream="registry.test"} ${2 * image.index.bytes.length}`);
  t.match(text, 'hawker_origin_requests_total{upstream="registry.test",method="HEAD",status="200"} 1');
});

t.test('a HEAD that says little, or is not known', async (t) => {
  const { upstream, origin } = await open(t);
  origin.faults.digestHeader = false;
  t.notOk('digest' in (await upstream.headManifest(REPO, TAG, MANIFEST_ACCEPT)));
  origin.faults.gzip = true;
  t.strictSame(await upstream.headManifest(REPO, TAG, MANIFEST_ACCEPT), { mediaType: OCI_INDEX });
  origin.faults.headers = { 'docker-content-digest': 'md5:1', 'content-length': '0' };
  t.strictSame(await upstream.headManifest(REPO, TAG, MANIFEST_ACCEPT), { mediaType: OCI_INDEX });
  for (const status of [400, 405, 406, 501]) {
    origin.faults.headStatus = status;
    t.strictSame(await upstream.headManifest(REPO, TAG, MANIFEST_ACCEPT), {}, String(status));
  }
});

t.test('a manifest comes through the port of blobs too', async (t) => {
  const { upstream } = await open(t);
  const source = upstream.manifest(REPO, image.index.digest);
  t.equal(source.name, 'registry.test/library/app');
  for (const range of [{ start: 0 }, { start: 5, end: 10 }, { start: image.index.bytes.length }]) {
    const sink = new KeepingSink();
    await source.read(range, sink, never);
    t.ok(sink.bytes.equals(image.index.bytes.subarray(range.start, range.end)));
    t.strictSame(sink.heads, [{ total: image.index.bytes.length, mediaType: OCI_INDEX, ranges: true }]);
  }
  const reason = new Error('gone');
  t.equal(await failureOf(source.read({ start: 0 }, new KeepingSink(), AbortSignal.abort(reason))), reason);
});

t.test('bytes that are not those of the digest', async (t) => {
  const { upstream, origin } = await open(t);
  for (const ref of [TAG, { digest: image.index.digest }]) {
    origin.faults.flip = { offset: 3, times: 1 };
    const error = await failureOf(upstream.getManifest(REPO, ref, MANIFEST_ACCEPT));
    t.match(error, { code: 'ORIGIN_BAD_RESPONSE', final: true, message: /hash to sha256:/ });
  }
  origin.faults.digestHeader = false;
  origin.faults.flip = { offset: 3, times: 1 };
  const flipped = await upstream.getManifest(REPO, TAG, MANIFEST_ACCEPT);
  t.equal(
    flipped.digest,
    digestOf(flipped.bytes),
    'without anything to check against, the digest is that of the bytes',
  );
  const sha512 = digestOf(image.index.bytes, 'sha512');
  origin.faults.headers = { 'docker-content-digest': sha512 };
  t.equal((await upstream.getManifest(REPO, TAG, MANIFEST_ACCEPT)).digest, sha512);
});

t.test('compressed although nobody asked', async (t) => {
  const { upstream, origin } = await open(t);
  origin.faults.gzip = true;
  t.strictSame((await upstream.getManifest(REPO, TAG, MANIFEST_ACCEPT)).bytes, image.index.bytes);
  origin.faults.gzip = false;
  for (const coding of ['gzip', 'deflate', 'br', 'zstd']) {
    origin.faults.headers = { 'content-encoding': coding };
    t.match(await failureOf(upstream.getManifest(REPO, TAG, MANIFEST_ACCEPT)), { code: 'ORIGIN_BAD_RESPONSE' }, coding);
  }
});

t.test('types', async (t) => {
  const { upstream, origin } = await open(t);
  const type = async (body: object | string, mediaType: string) => {
    const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    origin.addManifest(REPO, testBlob(bytes, mediaType), 'odd');
    return (await upstream.getManifest(REPO, { tag: 'odd' }, MANIFEST_ACCEPT)).mediaType;
  };
  const child = { digest: ABSENT_DIGEST, size: 1 };
  const index = 'application/vnd.oci.image.index.v1+json';
  const manifest = 'application/vnd.oci.image.manifest.v1+json';
  t.equal(await type({ mediaType: index }, 'text/plain; charset=utf-8'), index);
  t.equal(await type({ manifests: [child] }, 'application/json'), index);
  t.equal(await type({ config: child, layers: [child] }, 'application/octet-stream'), manifest);
  t.equal(await type({}, 'application/vnd.custom+json'), 'application/vnd.custom+json');
  for (const [body, mediaType] of [
    [{}, 'text/plain'],
    ['<html>', 'text/html; charset=utf-8'],
    [{ schemaVersion: 1 }, 'application/json'],
    [{ schemaVersion: 1 }, 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
  ] as const) {
    t.match(await failureOf(type(body, mediaType)), { code: 'ORIGIN_BAD_RESPONSE', final: true }, mediaType);
  }
  origin.faults.html = true;
  t.match(await failureOf(upstream.headManifest(REPO, TAG, MANIFEST_ACCEPT)), { code: 'ORIGIN_BAD_RESPONSE' });
});

t.test('at most 4 MiB, on the wire and unpacked', async (t) => {
  const { upstream, origin } = await open(t);
  const big = testBlob(Buffer.alloc(4 * 1024 * 1024 + 1, 'x'), 'application/vnd.oci.image.manifest.v1+json');
  origin.addManifest(REPO, big, 'big');
  const message = /more than 4194304 bytes/;
  t.match(await failureOf(upstream.getManifest(REPO, { tag: 'big' }, MANIFEST_ACCEPT)), {
    code: 'ORIGIN_BAD_RESPONSE',
    message,
  });
  t.ok(gzipSync(big.bytes).length < 100_000);
  origin.faults.gzip = true;
  t.match(await failureOf(upstream.getManifest(REPO, { tag: 'big' }, MANIFEST_ACCEPT)), {
    code: 'ORIGIN_BAD_RESPONSE',
    message,
  });
});

t.test('what is worth another try gets one', async (t) => {
  const { upstream, origin } = await open(t);
  const get = () => upstream.getManifest(REPO, TAG, MANIFEST_ACCEPT);
  origin.faults.status = { code: 503, times: 2, retryAfter: '0' };
  await get();
  origin.faults.dropReused = { times: 1 };
  await get();
  origin.faults.cut = { bytes: 10, times: 1 };
  await get();
  t.equal(origin.of('manifest').length, 7);
  origin.faults.status = { code: 503, times: 9, retryAfter: '60' };
  t.match(await failureOf(get()), { code: 'ORIGIN_SERVER_ERROR', retryAfterMs: 60_000 });
  origin.faults.status = { code: 429, times: 9 };
  t.match(await failureOf(get()), { code: 'ORIGIN_RATE_LIMITED', answer: 429 });
  t.equal(origin.of('manifest').length, 9, 'neither of these two');
  origin.faults.status = undefined;
  t.match(await failureOf(upstream.getManifest(REPO, { tag: 'none' }, MANIFEST_ACCEPT)), { code: 'ORIGIN_NOT_FOUND' });
});

t.test('an answer that does not come, or not whole, is not waited for', async (t) => {
  const { upstream, origin } = await open(t, { headersMs: 300, stallMs: 300 });
  for (const bytes of [-1, 10]) {
    origin.faults.stall = { bytes, times: Infinity };
    t.match(await failureOf(upstream.getManifest(REPO, TAG, MANIFEST_ACCEPT)), { code: 'ORIGIN_TIMEOUT' });
  }
});

t.test('redirects of manifests (registry.k8s.io)', async (t) => {
  const { upstream, origin } = await open(t);
  const other = await open(t);
  origin.faults.status = { code: 307, times: 1 };
  origin.faults.headers = { location: `${other.origin.url}/v2/${REPO}/manifests/v1` };
  origin.auth.mode = 'bearer';
  t.equal((await upstream.getManifest(REPO, TAG, MANIFEST_ACCEPT)).digest, image.index.digest);
  t.equal(other.origin.requests[0]!.headers.authorization, undefined);
  origin.faults.status = { code: 307, times: 99 };
  origin.faults.headers = { location: `/v2/${REPO}/manifests/v1` };
  t.match(await failureOf(upstream.getManifest(REPO, TAG, MANIFEST_ACCEPT)), { code: 'ORIGIN_REDIRECT_REFUSED' });
});

t.test('is the blob there?', async (t) => {
  const { upstream, origin } = await open(t);
  const layer = image.layers[0]!.digest;
  origin.faults.on = ['blob'];
  t.strictSame(await upstream.confirmBlob(REPO, layer), { size: 100 });
  t.equal(origin.blobBytes(), 0);
  t.match(await failureOf(upstream.confirmBlob(REPO, ABSENT_DIGEST)), { code: 'ORIGIN_NOT_FOUND', answer: 404 });
  origin.redirectBlobs = { status: 302 };
  t.strictSame(await upstream.confirmBlob(REPO, layer), {});
  t.equal(origin.of('cdn').length, 0, 'not followed');
  origin.faults.headStatus = 405;
  t.strictSame(await upstream.confirmBlob(REPO, layer), {}, 'nor that of the GET');
  origin.redirectBlobs = undefined;
  t.strictSame(await upstream.confirmBlob(REPO, layer), { size: 100 });
  origin.faults.ignoreRange = true;
  t.strictSame(await upstream.confirmBlob(REPO, layer), { size: 100 });
  t.match(await failureOf(upstream.confirmBlob(REPO, ABSENT_DIGEST)), { code: 'ORIGIN_NOT_FOUND' });
  origin.faults.ignoreRange = false;
  const empty = testBlob(Buffer.alloc(0));
  origin.addBlob(REPO, empty);
  t.strictSame(await upstream.confirmBlob(REPO, empty.digest), { size: 0 }, '416 to the first byte of nothing');
  origin.faults.headStatus = undefined;
  t.strictSame(await upstream.confirmBlob(REPO, empty.digest), { size: 0 });
  origin.faults.headers = { 'content-length': '0' };
  t.strictSame(await upstream.confirmBlob(REPO, layer), {}, 'a size of 0 is not believed of another');
  origin.faults.headers = {};
  origin.faults.gzip = true;
  t.strictSame(await upstream.confirmBlob(REPO, layer), {});
  origin.faults.html = true;
  t.match(await failureOf(upstream.confirmBlob(REPO, layer)), { code: 'ORIGIN_BAD_RESPONSE' });
  origin.auth.mode = 'bearer';
  origin.auth.privateRepositories.add(REPO);
  t.match(await failureOf(upstream.confirmBlob(REPO, layer)), { code: 'ORIGIN_DENIED' });
});
