import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { digestOf } from '../../src/base/digest.ts';
import { MiB } from '../../src/base/units.ts';
import { ABSENT_DIGEST, randomBytes, testBlob } from '../support/hostile-registry.ts';
import { errorIn, REGISTRY, Rig, until } from './rig.ts';

const BIG = testBlob(randomBytes('big', 3 * MiB + 77));
const SMALL = testBlob(randomBytes('small', 1000));
const EMPTY = testBlob(Buffer.alloc(0));

async function start(t: Parameters<typeof Rig.start>[0], options: Parameters<typeof Rig.start>[1] = {}): Promise<Rig> {
  const rig = await Rig.start(t, options);
  for (const blob of [BIG, SMALL, EMPTY]) rig.origin.addBlob('org/app', blob);
  return rig;
}

const at = (digest: string) => `/v2/org/app/blobs/${digest}?ns=${REGISTRY}`;

t.test('cold and warm, one read of the origin', async (t) => {
  const rig = await start(t);
  const cold = await rig.ask(at(BIG.digest));
  t.equal(cold.status, 200);
  t.ok(cold.body.equals(BIG.bytes));
  t.match(cold.headers, {
    'content-length': String(BIG.bytes.length),
    'content-type': 'application/octet-stream',
    'docker-content-digest': BIG.digest,
    etag: `"${BIG.digest}"`,
    'accept-ranges': 'bytes',
    'oci-namespace': REGISTRY,
    'x-hawker-source': 'origin',
    'cache-control': /public/,
    'docker-distribution-api-version': 'registry/2.0',
  });
  await until(() => rig.store.sizeOf(BIG.digest) !== undefined);
  const warm = await rig.ask(at(BIG.digest));
  t.ok(warm.body.equals(BIG.bytes));
  t.equal(warm.headers['x-hawker-source'], 'store');
  t.equal(rig.origin.of('blob', 'GET').length, 1);
  t.equal(await rig.metric('hawker_client_bytes_total', { source: 'origin' }), BIG.bytes.length);
  t.equal(await rig.metric('hawker_client_bytes_total', { source: 'store' }), BIG.bytes.length);
  await until(async () => (await rig.metric('hawker_http_requests_total', { handler: 'blobs', status: '200' })) === 2);
});

t.test('I3: many clients, one read', async (t) => {
  const rig = await start(t);
  const answers = await Promise.all(Array.from({ length: 8 }, () => rig.ask(at(BIG.digest))));
  t.ok(answers.every(({ body }) => body.equals(BIG.bytes)));
  t.equal(rig.origin.blobBytes(), BIG.bytes.length);
});

t.test('HEAD downloads nothing and says what GET says', async (t) => {
  const rig = await start(t);
  const head = await rig.ask(at(BIG.digest), { method: 'HEAD' });
  t.equal(head.status, 200);
  t.equal(head.headers['content-length'], String(BIG.bytes.length));
  t.equal(head.body.length, 0);
  t.equal(rig.origin.blobBytes(), 0);
  const { headers } = await rig.ask(at(BIG.digest));
  for (const name of [
    'content-length',
    'content-type',
    'docker-content-digest',
    'etag',
    'accept-ranges',
    'oci-namespace',
  ]) {
    t.equal(head.headers[name], headers[name], name);
  }
});

t.test('ranges, cold and warm', async (t) => {
  for (const warm of [false, true]) {
    const rig = await start(t);
    if (warm) await rig.ask(at(BIG.digest));
    const size = BIG.bytes.length;
    const cases: [string, number, number][] = [
      ['bytes=0-9', 0, 10],
      ['bytes=2000000-2000099', 2_000_000, 2_000_100],
      [`bytes=${size - 5}-`, size - 5, size],
      ['bytes=-100', size - 100, size],
      ['bytes=100-99999999', 100, size],
    ];
    for (const [range, start, end] of cases) {
      const answer = await rig.ask(at(BIG.digest), { headers: { range } });
      t.equal(answer.status, 206, range);
      t.equal(answer.headers['content-range'], `bytes ${start}-${end - 1}/${size}`);
      t.equal(answer.headers['content-length'], String(end - start));
      t.ok(answer.body.equals(BIG.bytes.subarray(start, end)), `${range} ${warm ? 'warm' : 'cold'}`);
    }
    const beyond = await rig.ask(at(BIG.digest), { headers: { range: `bytes=${size}-` } });
    t.equal(beyond.status, 416);
    t.equal(beyond.headers['content-range'], `bytes */${size}`);
    t.equal(errorIn(beyond).code, 'RANGE_INVALID');
    for (const range of ['bytes=x', 'items=0-1', 'bytes=5-4']) {
      t.equal((await rig.ask(at(BIG.digest), { headers: { range } })).status, 200, `${range} is ignored`);
    }
  }
});

t.test('many ranges: real multipart, or 400', async (t) => {
  const rig = await start(t);
  const answer = await rig.ask(at(BIG.digest), { headers: { range: 'bytes=0-4,3000000-3000009,-3' } });
  t.equal(answer.status, 206);
  const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(answer.headers['content-type']!)![1]!;
  t.equal(answer.headers['content-length'], String(answer.body.length));
  const parts = answer.body.toString('latin1').split(`--${boundary}`);
  t.equal(parts.length, 5, 'three parts, what is before them and after');
  t.equal(parts[4], '--\r\n');
  const size = BIG.bytes.length;
  for (const [index, [start, end]] of [
    [0, 5],
    [3_000_000, 3_000_010],
    [size - 3, size],
  ].entries()) {
    const [head, ...rest] = parts[index + 1]!.split('\r\n\r\n');
    t.match(head, `Content-Range: bytes ${start}-${end! - 1}/${size}`);
    t.equal(rest.join('\r\n\r\n'), `${BIG.bytes.subarray(start, end).toString('latin1')}\r\n`);
  }
  const overlapping = await rig.ask(at(BIG.digest), { headers: { range: 'bytes=0-4,3-9' } });
  t.equal(overlapping.status, 400);
  t.equal(errorIn(overlapping).detail.code, 'RANGES_REFUSED');
});

t.test('conditions', async (t) => {
  const rig = await start(t);
  const ask = async (headers: Record<string, string>) => (await rig.ask(at(SMALL.digest), { headers })).status;
  const etag = `"${SMALL.digest}"`;
  t.equal(await ask({ range: 'bytes=0-1', 'if-range': etag }), 206);
  t.equal(await ask({ range: 'bytes=0-1', 'if-range': '"other"' }), 200);
  t.equal(await ask({ 'if-none-match': etag }), 304);
  t.equal(await ask({ 'if-none-match': '"other"' }), 200);
});

t.test('an empty blob is a 200, also for a range (containerd 2.1)', async (t) => {
  const rig = await start(t);
  for (const headers of [{}, { range: 'bytes=0-' }]) {
    const answer = await rig.ask(at(EMPTY.digest), { headers });
    t.equal(answer.status, 200);
    t.equal(answer.headers['content-length'], '0');
  }
});

t.test('sha512', async (t) => {
  const rig = await start(t);
  const digest = digestOf(SMALL.bytes, 'sha512');
  rig.origin.addBlob('org/app', { ...SMALL, digest });
  t.ok((await rig.ask(at(digest))).body.equals(SMALL.bytes));
  t.equal(rig.store.sizeOf(digest), SMALL.bytes.length);
});

t.test('what is not there is a 404 that says why', async (t) => {
  const rig = await start(t);
  const answer = await rig.ask(at(ABSENT_DIGEST));
  t.equal(answer.status, 404);
  t.match(errorIn(answer), { code: 'BLOB_UNKNOWN', detail: { code: 'ORIGIN_NOT_FOUND', seen: String, todo: String } });
  await until(() => rig.lines.some((line) => line.includes('"code":"ORIGIN_NOT_FOUND"')));
});

t.test('I2: an origin that breaks off mid-blob is not noticed', async (t) => {
  const rig = await start(t);
  rig.origin.faults.cut = { bytes: MiB, times: 2 };
  const answer = await rig.ask(at(BIG.digest));
  t.ok(answer.body.equals(BIG.bytes));
});

t.test('I1: wrong bytes never complete, and the connection ends with FIN', async (t) => {
  const rig = await start(t);
  rig.origin.faults.flip = { offset: 2 * MiB, times: Infinity };
  const response = await rig.open(at(BIG.digest));
  t.equal(response.statusCode, 200);
  let received = 0;
  response.on('data', (chunk: Buffer) => (received += chunk.length));
  const error = await new Promise<Error>((resolve) => response.once('error', resolve));
  t.match(error, { message: 'aborted' });
  t.ok(received > 0 && received < BIG.bytes.length, `${received} bytes`);
  t.equal(rig.store.sizeOf(BIG.digest), undefined);
  await until(() =>
    rig.lines.some((line) => line.includes('"code":"BLOB_DIGEST_MISMATCH"') && line.includes('"whole":false')),
  );
  rig.origin.faults.flip = { offset: 5, times: Infinity };
  const small = await rig.ask(at(SMALL.digest));
  t.equal(small.status, 404, 'a small blob is verified before its head goes out');
});

t.test('I3: a client that hangs up does not end what another waits for', async (t) => {
  const rig = await start(t);
  rig.origin.faults.bytesPerSecond = 8 * MiB;
  const first = await rig.open(at(BIG.digest));
  const second = rig.ask(at(BIG.digest));
  await sleep(30);
  first.destroy();
  t.ok((await second).body.equals(BIG.bytes));
  t.equal(rig.origin.blobBytes(), BIG.bytes.length);
  await until(() => rig.lines.some((line) => line.includes('"whole":false')));
  t.notOk(
    rig.lines.some((line) => line.includes('CLIENT_GONE')),
    'not a failure',
  );
});

t.test('a manifest that is wrong about a size does not hold a range up', async (t) => {
  const rig = await start(t);
  rig.origin.addBlob('org/other', BIG);
  await rig.ask(at(SMALL.digest));
  await rig.refs.link({ registry: REGISTRY, repository: 'org/app' }, [
    { digest: BIG.digest, size: 10, at: Date.now(), anonymous: true, confirmed: true },
  ]);
  rig.origin.faults.bytesPerSecond = 8 * MiB;
  const running = await rig.open(`/v2/org/other/blobs/${BIG.digest}?ns=${REGISTRY}`);
  const answer = await rig.ask(at(BIG.digest), { headers: { range: 'bytes=-20' } });
  t.equal(answer.status, 206);
  t.ok(answer.body.equals(BIG.bytes.subarray(-20)));
  running.destroy();
});
