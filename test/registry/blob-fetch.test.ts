import t from 'tap';
import type { Digest } from '../../src/base/digest.ts';
import type { ByteRange } from '../../src/http/byte-sink.ts';
import { ORIGIN_LIMITS } from '../../src/registry/limits.ts';
import type { OriginBlob } from '../../src/registry/upstream.ts';
import { ABSENT_DIGEST, randomBytes, testBlob } from '../support/hostile-registry.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { type Ends, failureOf, KeepingSink, never, openUpstream, type Opened } from '../support/registry-client.ts';

const REPO = 'library/app';
const SIZE = 1_500_000;
const blob = testBlob(randomBytes(1, SIZE));

async function open(test: Ends, settings = {}, options: Parameters<typeof openUpstream>[2] = {}) {
  const opened = await openUpstream(test, settings, options);
  opened.origin.addBlob(REPO, blob);
  const source = opened.upstream.blob(REPO, blob.digest);
  return { ...opened, source };
}

async function readAll(source: OriginBlob, range: ByteRange = { start: 0 }, sink = new KeepingSink()) {
  await source.read(range, sink, never);
  return sink;
}

function read({ upstream }: Opened, digest: Digest = blob.digest, range: ByteRange = { start: 0 }) {
  return upstream.blob(REPO, digest).read(range, new KeepingSink(), never);
}

t.test('the whole of a blob is one plain GET, counted', async (t) => {
  const { source, origin, metrics } = await open(t);
  const sink = await readAll(source);
  t.ok(sink.bytes.equals(blob.bytes));
  t.strictSame(sink.heads, [{ total: SIZE, mediaType: 'application/octet-stream', ranges: true }]);
  t.equal(source.name, 'registry.test/library/app');
  const [request, ...others] = origin.of('blob');
  t.strictSame(others, []);
  t.equal(request!.headers.range, undefined);
  t.equal(request!.headers['accept-encoding'], 'identity');
  const text = await metrics.registry.metrics();
  t.match(text, `hawker_origin_bytes_total{upstream="registry.test"} ${SIZE}`);
  t.match(text, 'hawker_origin_requests_total{upstream="registry.test",method="GET",status="200"} 1');
});

t.test('ranges, over warm connections', async (t) => {
  const { source, origin } = await open(t);
  for (const [start, end] of [
    [0, 1],
    [10, 5000],
    [SIZE - 7, undefined],
    [1000, SIZE],
    [SIZE - 1, SIZE + 10_000],
  ] as const) {
    const sink = await readAll(source, { start, end });
    t.ok(sink.bytes.equals(blob.bytes.subarray(start, end)), `${start}-${end}`);
    t.strictSame(sink.heads, [{ total: SIZE, mediaType: 'application/octet-stream', ranges: true }]);
  }
  t.equal(origin.of('blob').at(-1)!.headers.range, `bytes=${SIZE - 1}-${SIZE + 9999}`);
  // undici takes a connection for free one turn of the loop after its answer: the next request may open a second.
  t.ok(new Set(origin.connections()).size <= 2);
});

t.test('a sink that holds back: nothing comes meanwhile, and it is no stall', async (t) => {
  const clock = new ManualClock();
  const { source } = await open(t, {}, { clock });
  const sink = new KeepingSink({ holdEvery: 200_000 });
  // Longer than the time without a byte that ends a read.
  sink.drain = () => clock.advance(3 * ORIGIN_LIMITS.stallMs);
  await readAll(source, { start: 0 }, sink);
  t.ok(sink.bytes.equals(blob.bytes));
  t.ok(sink.holds > 3);
});

t.test('what the sink throws ends the read, unchanged', async (t) => {
  const { source } = await open(t);
  const late = new KeepingSink();
  late.failure = { afterBytes: 100_000, error: new Error('enough') };
  t.equal(await failureOf(source.read({ start: 0 }, late, never)), late.failure.error);
  const early = new KeepingSink();
  early.headFailure = new Error('not this one');
  t.equal(await failureOf(source.read({ start: 0 }, early, never)), early.headFailure);
  const drain = new KeepingSink({ holdEvery: 1 });
  const broken = new Error('will not drain');
  drain.drain = () => Promise.reject(broken);
  t.equal(await failureOf(source.read({ start: 0 }, drain, never)), broken);
  t.ok((await readAll(source)).bytes.equals(blob.bytes), 'and the next read is fine');
});

t.test('the signal ends a read, before and amid it', async (t) => {
  const { source, origin } = await open(t);
  const reason = new Error('gone');
  t.equal(await failureOf(source.read({ start: 0 }, new KeepingSink(), AbortSignal.abort(reason))), reason);
  t.equal(origin.requests.length, 0);
  for (const bytes of [-1, 1000]) {
    origin.faults.stall = { bytes, times: 1 };
    const abort = new AbortController();
    const sink = new KeepingSink();
    const done = failureOf(source.read({ start: 0 }, sink, abort.signal));
    await origin.until(() => origin.requests.length > 0);
    setImmediate(() => abort.abort(reason));
    t.equal(await done, reason);
  }
});

t.test('an origin that does not know ranges', async (t) => {
  const { source, origin } = await open(t);
  origin.faults.ignoreRange = true;
  const sink = await readAll(source, { start: 1000, end: 50_000 });
  t.ok(sink.bytes.equals(blob.bytes.subarray(1000, 50_000)));
  t.strictSame(sink.heads, [{ total: SIZE, mediaType: 'application/octet-stream', ranges: false }]);
  const rest = await readAll(source, { start: SIZE - 100 });
  t.ok(rest.bytes.equals(blob.bytes.subarray(-100)));
  t.equal((await failureOf(source.read({ start: SIZE + 1 }, new KeepingSink(), never))).code, 'ORIGIN_BAD_RESPONSE');
});

t.test('a 206 that does not say what it was asked: refused, then the whole is asked for', async (t) => {
  for (const contentRange of ['wrong', 'missing'] as const) {
    const { source, origin } = await open(t);
    origin.faults.contentRange = contentRange;
    const error = await failureOf(source.read({ start: 5, end: 10 }, new KeepingSink(), never));
    t.match(error, { code: 'ORIGIN_BAD_RESPONSE', final: false, answer: undefined });
    const sink = await readAll(source, { start: 5, end: 10 });
    t.ok(sink.bytes.equals(blob.bytes.subarray(5, 10)));
    t.equal(sink.heads[0]!.ranges, false);
    t.equal(origin.of('blob').at(-1)!.headers.range, undefined);
  }
});

t.test('a 206 whose length and Content-Range differ is refused', async (t) => {
  const { source, origin } = await open(t);
  origin.faults.extraLength = 3;
  const error = await failureOf(source.read({ start: 5, end: 10 }, new KeepingSink(), never));
  t.match(error, { code: 'ORIGIN_BAD_RESPONSE', final: false });
  origin.faults.extraLength = 0;
  origin.faults.gzip = true;
  origin.faults.headers = { 'content-encoding': 'gzip' };
  const other = (await open(t)).source;
  t.ok((await readAll(other, { start: 5, end: 10 })).length === 5);
});

t.test('a registry that gives less than the range is asked for the rest', async (t) => {
  const { source, origin } = await open(t);
  origin.faults.maxRange = 400_000;
  const sink = await readAll(source, { start: 100 });
  t.ok(sink.bytes.equals(blob.bytes.subarray(100)));
  t.equal(sink.heads.length, 1);
  t.equal(origin.of('blob').length, 4);
  const part = await readAll(source, { start: 0, end: 450_000 });
  t.ok(part.bytes.equals(blob.bytes.subarray(0, 450_000)));
});

t.test('chunked: the size is not known; a blob read to its end before gives nothing more', async (t) => {
  const { source, origin } = await open(t);
  origin.faults.chunked = true;
  const sink = await readAll(source);
  t.ok(sink.bytes.equals(blob.bytes));
  t.strictSame(sink.heads, [{ total: undefined, mediaType: 'application/octet-stream', ranges: true }]);
  const none = await readAll(source, { start: SIZE });
  t.strictSame(none.heads, [{ total: SIZE, ranges: true }]);
  t.equal(none.length, 0);
  t.match(await failureOf(source.read({ start: SIZE + 1 }, new KeepingSink(), never)), {
    code: 'ORIGIN_BAD_RESPONSE',
    final: true,
  });
  origin.faults.cut = { bytes: 1000, times: 1 };
  t.equal((await failureOf(readAll(source))).code, 'ORIGIN_CUT');
});

t.test('Content-Encoding that nobody asked for is undone', async (t) => {
  const { source, origin } = await open(t);
  origin.faults.gzip = true;
  origin.faults.ignoreRange = true;
  const sink = await readAll(source, { start: 0 }, new KeepingSink({ holdEvery: 100_000 }));
  t.ok(sink.bytes.equals(blob.bytes));
  t.ok(sink.holds > 3);
  t.strictSame(sink.heads, [{ total: undefined, mediaType: 'application/octet-stream', ranges: true }]);
  const part = await readAll(source, { start: 700, end: 300_000 });
  t.ok(part.bytes.equals(blob.bytes.subarray(700, 300_000)));
  t.equal(part.heads[0]!.ranges, false);
  const failing = new KeepingSink();
  failing.failure = { afterBytes: 50_000, error: new Error('enough') };
  t.equal(await failureOf(source.read({ start: 0 }, failing, never)), failing.failure.error);
  const abort = new AbortController();
  const held = new KeepingSink({ holdEvery: 50_000 });
  const reason = new Error('gone');
  held.drain = () => {
    abort.abort(reason);
    return new Promise(() => undefined);
  };
  t.equal(await failureOf(source.read({ start: 0 }, held, abort.signal)), reason);
  t.match(await failureOf(source.read({ start: SIZE + 5 }, new KeepingSink(), never)), { code: 'ORIGIN_BAD_RESPONSE' });
  origin.faults.gzip = false;
  origin.faults.headers = { 'content-encoding': 'gzip' };
  t.match(await failureOf(readAll(source)), { code: 'ORIGIN_BAD_RESPONSE', final: true });
  origin.faults.headers = { 'content-encoding': 'zstd' };
  t.match(await failureOf(readAll(source)), { message: /zstd/, final: true });
});

t.test('a body that breaks off, stalls or never begins', async (t) => {
  const clock = new ManualClock();
  const opened = await open(t, {}, { clock });
  const { source, origin } = opened;
  for (const reset of [false, true]) {
    origin.faults.cut = { bytes: 500_000, times: 1, reset };
    const sink = new KeepingSink();
    const error = await failureOf(source.read({ start: 0 }, sink, never));
    t.match(error, { code: 'ORIGIN_CUT', final: false, answer: undefined });
    t.ok(sink.bytes.equals(blob.bytes.subarray(0, sink.length)), 'what came is good');
    const rest = await readAll(source, { start: sink.length });
    t.ok(Buffer.concat([sink.bytes, rest.bytes]).equals(blob.bytes));
  }
  origin.faults.stall = { bytes: 1000, times: 1 };
  const begun = new KeepingSink();
  const stalled = failureOf(readAll(source, { start: 0 }, begun));
  await origin.until(() => begun.length === 1000);
  await clock.advance(ORIGIN_LIMITS.stallMs);
  t.match(await stalled, { code: 'ORIGIN_STALLED', final: false });
  origin.faults.stall = { bytes: -1, times: 1 };
  const before = origin.requests.length;
  const unanswered = failureOf(readAll(source));
  await origin.until(() => origin.requests.length > before);
  await clock.advance(ORIGIN_LIMITS.headersMs);
  t.match(await unanswered, { code: 'ORIGIN_TIMEOUT', final: false });
  origin.faults.extraLength = 10;
  t.match(await failureOf(readAll(source)), { code: 'ORIGIN_CUT' }, 'shorter than it said');
  await origin.close();
  t.match(await failureOf(read(opened)), { code: 'ORIGIN_UNREACHABLE', final: false });
  t.match(await opened.metrics.registry.metrics(), 'method="GET",status="error"');
});

t.test('an idle connection that is closed as it is used again is no error', async (t) => {
  const { source, origin } = await open(t);
  await readAll(source, { start: 0, end: 10 });
  await readAll(source, { start: 0, end: 10 });
  origin.faults.dropReused = { times: 1 };
  t.equal((await readAll(source, { start: 0, end: 10 })).length, 10);
  t.equal(origin.faults.dropReused.times, 0);
  origin.faults.dropReused = undefined;
  origin.faults.cut = { bytes: 0, times: Infinity };
  t.match(await failureOf(readAll(source)), { code: 'ORIGIN_CUT' }, 'but not for ever');
});

t.test('every status is an error of its kind', async (t) => {
  const opened = await open(t);
  const { origin } = opened;
  for (const [code, expected] of [
    [401, { code: 'ORIGIN_UNAUTHORIZED', final: true, answer: 401 }],
    [403, { code: 'ORIGIN_DENIED', final: true, answer: 403 }],
    [404, { code: 'ORIGIN_NOT_FOUND', final: true, answer: 404 }],
    [410, { code: 'ORIGIN_NOT_FOUND', final: true, answer: 404 }],
    [429, { code: 'ORIGIN_RATE_LIMITED', final: false, answer: 429, retryAfterMs: 7000 }],
    [500, { code: 'ORIGIN_SERVER_ERROR', final: false, answer: undefined, retryAfterMs: 7000 }],
    [503, { code: 'ORIGIN_SERVER_ERROR', final: false }],
    [408, { code: 'ORIGIN_SERVER_ERROR', final: false }],
    [501, { code: 'ORIGIN_BAD_RESPONSE', final: true }],
    [418, { code: 'ORIGIN_BAD_RESPONSE', final: true }],
  ] as const) {
    origin.faults.status = { code, times: 1, retryAfter: '7' };
    t.match(await failureOf(read(opened)), expected, String(code));
  }
  t.match(await failureOf(read(opened, ABSENT_DIGEST)), {
    code: 'ORIGIN_NOT_FOUND',
    message: 'registry.test, reading a blob of library/app: status 404, BLOB_UNKNOWN: blob_unknown',
  });
  origin.faults.html = true;
  t.match(await failureOf(read(opened)), { code: 'ORIGIN_BAD_RESPONSE', final: true, message: /web page/ });
  origin.faults.html = false;
  origin.faults.status = { code: 500, times: 1, body: 'x'.repeat(100_000) };
  t.match(await failureOf(read(opened)), { code: 'ORIGIN_SERVER_ERROR' }, 'of a long body only the start is read');
  origin.faults.headers = { 'x-long': 'x'.repeat(70_000) };
  t.match(await failureOf(read(opened)), { code: 'ORIGIN_BAD_RESPONSE' });
  origin.faults.headers = { 'x-long': 'x'.repeat(50_000) };
  await read(opened);
});

t.test('a redirect to a CDN: the signed URL is kept, and asked for again when it has expired', async (t) => {
  const { source, origin } = await open(t);
  origin.auth.mode = 'bearer';
  origin.redirectBlobs = { status: 307 };
  await readAll(source, { start: 0, end: 1000 });
  await readAll(source, { start: 1000, end: 2000 });
  t.equal(origin.of('cdn').length, 2);
  t.strictSame(
    origin.of('blob').map((r) => r.status),
    [401, 307],
  );
  for (const request of origin.of('cdn')) {
    t.equal(request.headers.authorization, undefined);
    t.match(request.headers.range, /^bytes=/);
  }
  for (const status of [400, 401, 403, 404, 410]) {
    origin.expiredStatus = status;
    origin.expireSignedUrls();
    const before = origin.of('blob').length;
    t.equal((await readAll(source, { start: 7, end: 9 })).length, 2, `after ${status}`);
    t.equal(origin.of('blob').length, before + 1);
  }
  origin.signedUrlTtlMs = -1;
  origin.expireSignedUrls();
  const error = await failureOf(readAll(source));
  t.match(error, { code: 'ORIGIN_BAD_RESPONSE', final: true, answer: undefined }, 'but once a read');
  t.match(error.message, origin.cdnHost);
  t.notMatch(error.message, /signature/);
});

t.test('redirects that are not followed', async (t) => {
  const { source, origin, upstream } = await open(t);
  origin.redirectBlobs = { status: 302 };
  const refusals: [string, RegExp][] = [
    ['', /without a target/],
    ['http://[', /no URL/],
    ['ftp://127.0.0.2/x', /ftp/],
    [`/v2/${REPO}/blobs/${blob.digest}`, /more than 10/],
  ];
  for (const [location, message] of refusals) {
    origin.redirectTo = () => location;
    t.match(await failureOf(readAll(source)), { code: 'ORIGIN_REDIRECT_REFUSED', final: true, message });
  }
  for (const location of ['http://127.0.0.3:1/x?secret=1', 'http://localhost/x', 'http://[::ffff:10.0.0.1]/x']) {
    origin.redirectTo = () => location;
    const error = await failureOf(readAll(source));
    t.match(error, { code: 'ADDRESS_REFUSED', final: true, answer: undefined });
    t.notMatch(error.message, /secret/);
  }
  t.equal(upstream.key, 'registry.test');
});
