import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { connect } from 'node:net';
import { buffer as bytesOf } from 'node:stream/consumers';
import { promisify } from 'node:util';
import t from 'tap';
import type { AuditEvent } from '../../../src/base/audit.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { Limiter } from '../../../src/base/limiter.ts';
import { KiB, MiB } from '../../../src/base/units.ts';
import { MAX_PIPELINED_REQUESTS, MAX_REQUESTS_PER_SECOND } from '../../../src/p2p/peer/piece-server.ts';
import { questionPath } from '../../../src/p2p/peer/readings.ts';
import type { OpenPart } from '../../../src/p2p/peer/upload.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { partOf, RECEIVER, SERVER, startPieceServer, until } from '../../support/piece-rig.ts';
import { sampleBlob } from '../../support/store-conformance.ts';
import { whenClosed } from '../../support/when-closed.ts';

const TOKEN = `good.${RECEIVER}.${SERVER.peer}`;
const AUTHORIZATION = `Hawker ${TOKEN}`;
const blob = sampleBlob(3 * MiB + 77);
const small = sampleBlob(2000, 'small');
const PATH = `/v1/blobs/${blob.digest}`;

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

async function open(port: number, path: string, options: RequestOptions = {}): Promise<IncomingMessage> {
  const headers = { authorization: AUTHORIZATION, ...(options.headers as Record<string, string>) };
  const request = httpRequest({ host: '127.0.0.1', port, path, agent: false, ...options, headers });
  request.on('error', () => undefined).end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

async function ask(port: number, path: string, options: RequestOptions = {}): Promise<Answer> {
  const response = await open(port, path, options);
  return { status: response.statusCode!, headers: response.headers, body: await bytesOf(response) };
}

const range = (value: string) => ({ headers: { range: value } });

t.test('gives ranges of what is on a shelf, and nothing more than needed', async (t) => {
  const { port, shelf, metrics, slots, pool } = await startPieceServer(t);
  shelf.blobs.set(blob.digest, blob.bytes);
  for (const [start, end] of [
    [0, 1],
    [0, MiB],
    [MiB + 5, 3 * MiB],
    [3 * MiB, blob.bytes.length],
  ] as const) {
    const answer = await ask(port, PATH, range(`bytes=${start}-${end - 1}`));
    t.equal(answer.status, 206);
    t.ok(answer.body.equals(blob.bytes.subarray(start, end)), `${start}-${end}`);
    t.strictSame(answer.headers, {
      'content-length': String(end - start),
      'content-range': `bytes ${start}-${end - 1}/${blob.bytes.length}`,
      connection: 'close',
    });
  }
  t.equal((await ask(port, PATH, range('bytes=-77'))).headers['content-length'], '77');
  t.equal((await ask(port, PATH, range('bytes=5-1000000000'))).body.length, blob.bytes.length - 5);
  const whole = await ask(port, PATH);
  t.equal(whole.status, 200);
  t.ok(whole.body.equals(blob.bytes));
  const head = await ask(port, PATH, { method: 'HEAD' });
  t.equal(head.status, 200);
  t.equal(head.headers['content-length'], String(blob.bytes.length));
  await until(() => shelf.openCount === 0);
  t.equal(slots.used, 0);
  t.equal(pool.available, 16);
  const text = await metrics.registry.metrics();
  const sum = 1 + MiB + (2 * MiB - 5) + 77 + 77 + (blob.bytes.length - 5) + blob.bytes.length;
  t.match(text, `hawker_peer_bytes_total{direction="out"} ${sum}\n`);
  t.match(text, 'hawker_http_requests_total{handler="pieces",status="206"} 6\n');
});

t.test('vouches for what it has read: to members, and to well-formed questions only', async (t) => {
  const reading = { ageMs: 5, size: 7, mediaType: 'text/x' };
  const proof = 'p'.repeat(43);
  const asked: unknown[] = [];
  const { port } = await startPieceServer(t, {
    vouch: async (key, nonce) => {
      asked.push({ ...key, nonce });
      return key.repository === 'library/alpine' ? { reading, proof } : undefined;
    },
  });
  const nonce = 'n'.repeat(22);
  const key = { registry: 'docker.io', repository: 'library/alpine', digest: blob.digest };
  const path = questionPath(key, nonce);
  const answer = await ask(port, path);
  t.equal(answer.status, 200);
  t.same(JSON.parse(answer.body.toString()), { ...reading, proof });
  t.same(asked, [{ ...key, nonce }]);
  t.equal((await ask(port, questionPath({ ...key, repository: 'library/other' }, nonce))).status, 404);

  asked.length = 0;
  t.equal((await ask(port, path, { headers: { authorization: 'Hawker wrong' } })).status, 403, 'a stranger');
  for (const bad of [
    path.replace('docker.io', '..%2F..'),
    path.replace('docker.io', 'Docker.io'),
    path.replace('library', '..'),
    path.replace(nonce, 'short'),
    path.replace('sha256', 'md5'),
    `${path}&nonce=${nonce}`,
    `${path}&more=1`,
    path.slice(0, path.indexOf('&')),
    path.slice(0, path.indexOf('?')),
    path.replace('library', 'x'.repeat(1000)),
  ]) {
    t.equal((await ask(port, bad)).status, 400, bad.slice(0, 200));
  }
  t.equal((await ask(port, path, { method: 'HEAD' })).status, 400);
  t.same(asked, []);
});

t.test('curl speaks it', async (t) => {
  const { url, shelf } = await startPieceServer(t);
  shelf.blobs.set(small.digest, small.bytes);
  const curl = async (...args: string[]) =>
    (await promisify(execFile)('curl', ['-sS', '--noproxy', '*', ...args], { encoding: 'buffer' })).stdout;
  const got = await curl('-H', `Authorization: ${AUTHORIZATION}`, '-r', '100-199', `${url}/v1/blobs/${small.digest}`);
  t.ok(got.equals(small.bytes.subarray(100, 200)));
  t.equal((await curl('-w', '%{http_code}', `${url}/v1/blobs/${small.digest}`)).toString(), '403');
});

t.test('what it does not have, and what cannot be asked', async (t) => {
  const { port, shelf } = await startPieceServer(t);
  t.equal((await ask(port, PATH, range('bytes=0-9'))).status, 404);
  t.equal((await ask(port, PATH)).status, 404);
  shelf.blobs.set(blob.digest, blob.bytes);
  t.equal((await ask(port, PATH, range(`bytes=${blob.bytes.length}-`))).status, 416);
  for (const [path, options] of [
    ['/', {}],
    ['/v1/blobs/', {}],
    ['/v1/blobs/sha256:../../etc/passwd', {}],
    [`/v1/blobs/${blob.digest}/x`, {}],
    [`/v1/blobs/${blob.digest}?x`, {}],
    [`/v2/blobs/${blob.digest}`, {}],
    [PATH, range('bytes=0-1,3-4')],
    [PATH, range('bytes=4-1')],
    [PATH, range('pieces=0-1')],
    [PATH, { method: 'POST' }],
    [PATH, { method: 'DELETE' }],
    [PATH, { headers: { 'content-length': '5' } }],
    [PATH, { headers: { expect: '100-continue', 'transfer-encoding': 'chunked' } }],
  ] as const) {
    const answer = await ask(port, path, options);
    t.equal(answer.status, 400, `${path} ${JSON.stringify(options)}`);
    t.equal(answer.body.length, 0);
    t.equal(answer.headers.connection, 'close');
  }
  t.equal(shelf.openCount, 0);
});

t.test('I4: without a good token 403 and nothing else, whatever is asked', async (t) => {
  const { port, shelf } = await startPieceServer(t, {
    incoming: { openPart: () => Promise.reject(new Error('not to be asked')) },
  });
  shelf.blobs.set(blob.digest, blob.bytes);
  const opened = t.capture(shelf, 'open');
  for (const authorization of [
    '',
    TOKEN,
    `Bearer ${TOKEN}`,
    'Hawker',
    'Hawker forged',
    `Hawker good.peer-x.${SERVER.peer}`,
    `Hawker good.${RECEIVER}.peer-x`,
    `Hawker ${TOKEN} x`,
    `Hawker ${'a'.repeat(600)}`,
  ]) {
    for (const [path, more] of [
      [PATH, {}],
      [PATH, { range: 'bytes=0-1,3-4' }],
      [`/v1/blobs/${small.digest}`, {}],
      ['/v1/blobs/nonsense', {}],
      ['/v1/whoami', {}],
      ['/v1/whoami?nonce=short', {}],
      ['/', {}],
    ] as const) {
      const answer = await ask(port, path, { headers: { authorization, ...more } });
      t.strictSame(
        { status: answer.status, headers: answer.headers, body: answer.body.length },
        { status: 403, headers: { connection: 'close', 'content-length': '0' }, body: 0 },
        `${authorization.slice(0, 30)} ${path}`,
      );
    }
  }
  t.equal((await ask(port, PATH, { method: 'PUT', headers: { authorization: '' } })).status, 403);
  t.strictSame(opened.args(), [], 'nothing was opened');
});

t.test('who was refused is told to the audit log, with the digest that they knew', async (t) => {
  const events: AuditEvent[] = [];
  const { port, shelf } = await startPieceServer(t, { audit: { record: (event) => void events.push(event) } });
  shelf.blobs.set(blob.digest, blob.bytes);
  await ask(port, PATH);
  await ask(port, '/v1/whoami?nonce=0123456789abcdef', { headers: { authorization: '' } });
  t.same(events, []);
  await ask(port, PATH, { headers: { authorization: 'Hawker forged' } });
  await ask(port, '/v1/blobs/nonsense', { headers: { authorization: '' } });
  const about = { role: 'pieces', client: '127.0.0.1', decision: 'denied', code: 'NOT_A_MEMBER', method: 'GET' };
  t.same(events, [
    { ...about, digest: blob.digest },
    { ...about, digest: undefined },
  ]);
});

t.test('what is no HTTP gets no answer', async (t) => {
  const { port } = await startPieceServer(t);
  for (const bytes of ['GET\r\n\r\n', `GET / HTTP/1.1\r\nX: ${'a'.repeat(9 * KiB)}\r\n\r\n`]) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    let got = '';
    socket.on('data', (chunk) => (got += chunk.toString()));
    socket.write(bytes);
    await whenClosed(socket);
    t.equal(got, '', JSON.stringify(bytes.slice(0, 20)));
  }
});

t.test('whoami answers the reachability test without a token', async (t) => {
  const { port } = await startPieceServer(t);
  const answer = await ask(port, '/v1/whoami?nonce=0123456789abcdef', { headers: { authorization: '' } });
  t.equal(answer.status, 200);
  t.strictSame(JSON.parse(answer.body.toString()), {
    peer: SERVER.peer,
    instance: SERVER.instance,
    proof: 'proof of 0123456789abcdef',
  });
});

t.test('gives checked parts of what is coming in, where first and last byte are named', async (t) => {
  const asked: unknown[] = [];
  let closed = 0;
  const { port, slots } = await startPieceServer(t, {
    incoming: {
      openPart: async (digest, start, end): Promise<OpenPart | undefined> => {
        asked.push([digest, start, end]);
        return end <= 2 * MiB ? partOf(blob.bytes, () => (closed += 1)) : undefined;
      },
    },
  });
  const answer = await ask(port, PATH, range(`bytes=${MiB}-${2 * MiB - 1}`));
  t.equal(answer.status, 206);
  t.equal(answer.headers['content-range'], `bytes ${MiB}-${2 * MiB - 1}/${blob.bytes.length}`);
  t.ok(answer.body.equals(blob.bytes.subarray(MiB, 2 * MiB)));
  t.equal((await ask(port, PATH, range(`bytes=${MiB}-${2 * MiB}`))).status, 404, 'not all of it is here');
  for (const open of ['bytes=0-', 'bytes=-5']) t.equal((await ask(port, PATH, range(open))).status, 404, open);
  t.equal((await ask(port, PATH)).status, 404);
  t.strictSame(asked, [
    [blob.digest, MiB, 2 * MiB],
    [blob.digest, MiB, 2 * MiB + 1],
  ]);
  await until(() => closed === 1);
  t.equal(slots.used, 0);
});

t.test('busy above twice its slots; a small blob has one more; who leaves makes room', async (t) => {
  const { port, shelf, slots } = await startPieceServer(t);
  shelf.blobs.set(blob.digest, blob.bytes);
  shelf.blobs.set(small.digest, small.bytes);
  let go = () => {};
  shelf.gate = {
    from: MiB,
    until: new Promise((resolve) => {
      go = resolve;
    }),
  };
  const uploads = await Promise.all(Array.from({ length: 8 }, () => open(port, PATH)));
  t.equal(slots.used, 8);
  const busy = await ask(port, PATH, range('bytes=0-9'));
  t.equal(busy.status, 503);
  t.equal(busy.headers['x-hawker-reason'], 'busy');
  t.equal(busy.headers.connection, 'close', 'as was asked: it is no reason to close');
  t.ok((await ask(port, `/v1/blobs/${small.digest}`)).body.equals(small.bytes));
  uploads[0]!.destroy();
  go();
  for (const upload of uploads.slice(1)) t.ok((await bytesOf(upload)).equals(blob.bytes));
  await until(() => slots.used === 0 && shelf.openCount === 0);
  t.equal((await ask(port, PATH, range('bytes=0-9'))).status, 206);
});

t.test('a shelf that fails: the connection breaks off, the slot is given back', async (t) => {
  const { port, shelf, slots } = await startPieceServer(t);
  shelf.blobs.set(blob.digest, blob.bytes);
  shelf.failFrom = 1_500_000;
  const response = await open(port, PATH);
  await t.rejects(bytesOf(response));
  await until(() => slots.used === 0 && shelf.openCount === 0);
  shelf.open = () => Promise.reject(new Error('no'));
  await t.rejects(
    new Promise((_, reject) => {
      httpRequest({ host: '127.0.0.1', port, path: PATH, headers: { authorization: AUTHORIZATION } })
        .on('error', reject)
        .end();
    }),
  );
});

t.test('connections are kept, up to a rate of requests', async (t) => {
  const { port, shelf } = await startPieceServer(t, { clock: new ManualClock() });
  shelf.blobs.set(small.digest, small.bytes);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  const path = `/v1/blobs/${small.digest}`;
  const first = await ask(port, path, { agent, ...range('bytes=0-9') });
  t.equal(first.headers.connection, 'keep-alive');
  for (let i = 1; i < MAX_REQUESTS_PER_SECOND; i += 1) await ask(port, path, { agent, method: 'HEAD' });
  const over = await ask(port, path, { agent, method: 'HEAD' });
  t.equal(over.status, 429);
  t.equal(over.headers.connection, 'close');
  t.equal((await ask(port, path, { agent })).status, 200, 'on another connection');
});

t.test('I5: a connection on which too much is asked at once is closed', async (t) => {
  const { port, shelf, slots } = await startPieceServer(t);
  shelf.blobs.set(blob.digest, blob.bytes);
  let go = () => {};
  shelf.gate = { from: MiB, until: new Promise((resolve) => (go = resolve)) };
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined).resume();
  const request = `GET ${PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: ${AUTHORIZATION}\r\n\r\n`;
  socket.write(request.repeat(MAX_PIPELINED_REQUESTS));
  await until(() => slots.used === MAX_PIPELINED_REQUESTS);
  socket.write(request);
  await until(() => socket.closed);
  go();
  await until(() => slots.used === 0 && shelf.openCount === 0);
});

t.test('the upload limit is shared by all', async (t) => {
  const clock = new ManualClock();
  const limiter = new Limiter({ bytesPerSecond: MiB, clock });
  const { port, shelf } = await startPieceServer(t, { limiter });
  shelf.blobs.set(blob.digest, blob.bytes);
  let bytes = 0;
  for (let i = 0; i < 2; i += 1) {
    void open(port, PATH).then((upload) => upload.on('data', (chunk: Buffer) => (bytes += chunk.length)));
  }
  await until(() => clock.waiting > 0);
  await clock.advance(500);
  await systemClock.sleep(50);
  const burst = MiB / 20;
  t.ok(bytes <= MiB / 2 + burst, `${bytes}`);
  await until(() => (void clock.advance(100), bytes === 2 * blob.bytes.length));
});

t.test('closes: no new requests, those that run may end, those that hang are cut', async (t) => {
  const clock = new ManualClock();
  const { server, port, shelf } = await startPieceServer(t, { clock });
  shelf.blobs.set(blob.digest, blob.bytes);
  let go = () => {};
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  shelf.gate = { from: MiB, until: gate };
  const running = await open(port, PATH, { agent: new Agent({ keepAlive: true }) });
  const closed = server.close();
  await t.rejects(
    open(port, PATH).then(() => 'answered'),
    'no new connection',
  );
  go();
  t.ok((await bytesOf(running)).equals(blob.bytes));
  await closed;

  const other = await startPieceServer(t, { clock });
  other.shelf.blobs.set(blob.digest, blob.bytes);
  other.shelf.gate = { from: MiB, until: new Promise(() => undefined) };
  const hanging = await open(other.port, PATH);
  const cut = other.server.close();
  await clock.advance(3000);
  await cut;
  await t.rejects(bytesOf(hanging));
});

t.test('a port that is taken is the system’s error', async (t) => {
  const { port, server } = await startPieceServer(t);
  t.ok(port > 0);
  await t.rejects(
    startPieceServer({ teardown: () => undefined }).then(async (other) => {
      await other.server.close();
      await other.server.listen({ host: '127.0.0.1', port });
    }),
    { code: 'EADDRINUSE' },
  );
  t.ok(server);
});

t.test('who is no member any more is cut off, in the middle of an upload too', async (t) => {
  const good = new Set(['one', 'two']);
  let letGo: () => void = () => undefined;
  const until = new Promise<void>((resolve) => (letGo = resolve));
  t.teardown(letGo);
  const { server, shelf, port } = await startPieceServer(t, {
    auth: { check: (token) => (good.has(token) ? token : undefined) },
  });
  shelf.blobs.set(blob.digest, blob.bytes);
  shelf.gate = { from: 2 * MiB, until };
  const answers = await Promise.all(
    ['one', 'two'].map((token) => open(port, PATH, { headers: { authorization: `Hawker ${token}` } })),
  );
  const [one, two] = answers.map((answer) =>
    bytesOf(answer).then(
      ({ length }) => length,
      (error: Error) => error,
    ),
  ) as [Promise<number | Error>, Promise<number | Error>];
  good.delete('one');
  server.recheck();
  t.match(await one, { code: 'ECONNRESET' });
  letGo();
  t.equal(await two, blob.bytes.length);
});
