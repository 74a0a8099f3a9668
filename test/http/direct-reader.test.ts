import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';
import { AddressGate } from '../../src/http/address-gate.ts';
import type { BulkHandler, BulkRead } from '../../src/http/bulk-reader.ts';
import { DirectReader } from '../../src/http/direct-reader.ts';
import { until } from '../support/piece-rig.ts';
import { TEST_TLS } from '../support/registry-tls.ts';
import { whenClosed } from '../support/when-closed.ts';

/** An origin that answers the n-th request on all its connections with the n-th text; undefined: it says nothing. */
class Origin {
  readonly requests: string[] = [];
  readonly sockets: Socket[] = [];
  connections = 0;
  url = '';

  static async start(t: Test, answers: readonly (string | undefined)[], tls = false): Promise<Origin> {
    const origin = new Origin();
    const take = (socket: Socket) => origin.#take(socket, answers);
    const server: Server = tls ? createTlsServer({ cert: TEST_TLS.cert, key: TEST_TLS.key }, take) : createServer(take);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    origin.url = `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`;
    t.teardown(() => {
      for (const socket of origin.sockets) socket.destroy();
      server.close();
    });
    return origin;
  }

  #take(socket: Socket, answers: readonly (string | undefined)[]): void {
    this.connections += 1;
    this.sockets.push(socket);
    socket.on('error', () => socket.destroy());
    socket.on('data', (data) => {
      const answer = answers[this.requests.length];
      this.requests.push(data.toString());
      if (answer !== undefined) socket.write(answer, 'latin1');
      if (answer?.endsWith('\u0000')) socket.end();
    });
  }
}

/** What a read has brought. */
class Got implements BulkHandler {
  status = 0;
  headers: IncomingHttpHeaders = {};
  text = '';
  error: Error | undefined;
  isOver = false;
  read: BulkRead | undefined;
  #resolve: () => void = () => undefined;
  readonly over = new Promise<void>((resolve) => {
    this.#resolve = resolve;
  });

  head(status: number, headers: IncomingHttpHeaders): void {
    Object.assign(this, { status, headers });
  }
  data(chunk: Uint8Array): void {
    this.text += Buffer.from(chunk).toString('latin1');
  }
  end(): void {
    this.isOver = true;
    this.#resolve();
  }
  failed(error: Error): void {
    this.error = error;
    this.end();
  }
}

function open(t: Test, options: { insecure?: boolean; connectTimeoutMs?: number } = {}) {
  const gate = new AddressGate({ open: undefined, allow: ['127.0.0.1', '192.0.2.1'] });
  const { connectTimeoutMs = 60_000, insecure = false } = options;
  const reader = new DirectReader({ gate, tls: { rejectUnauthorized: !insecure }, connectTimeoutMs });
  t.teardown(() => reader.close());
  const start = (url: string, headers: Record<string, string> = {}): Got => {
    const got = new Got();
    got.read = reader.get(new URL(url), headers, got);
    return got;
  };
  const get = async (url: string, headers: Record<string, string> = {}): Promise<Got> => {
    const got = start(url, headers);
    await got.over;
    return got;
  };
  return { reader, start, get };
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc';

t.test('one answer after the other over one connection, however their bodies end', async (t) => {
  const chunked = 'HTTP/1.1 206 Partial\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n';
  const interim = 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n';
  const empty = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
  const origin = await Origin.start(t, [OK, chunked, interim + OK, empty, 'HTTP/1.1 200 OK\r\n\r\nto the end\u0000']);
  const { get } = open(t);
  const first = await get(`${origin.url}/v2/a?b=c`, { range: 'bytes=0-2' });
  t.match(first, { status: 200, text: 'abc', error: undefined });
  t.match(
    origin.requests[0],
    /^GET \/v2\/a\?b=c HTTP\/1\.1\r\nhost: 127\.0\.0\.1:\d+\r\nconnection: keep-alive\r\nrange: /,
  );
  t.match(await get(origin.url), { status: 206, text: 'def', error: undefined });
  t.match(
    await get(origin.url),
    { status: 200, text: 'abc', error: undefined },
    'what comes before the answer is none',
  );
  t.match(await get(origin.url), { status: 200, text: '', error: undefined });
  t.match(await get(origin.url), { text: 'to the end\u0000', error: undefined });
  t.equal(origin.connections, 1);
});

t.test('what breaks off, and what is no answer', async (t) => {
  const cut = 'HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc\u0000';
  const rubbish = 'SSH-2.0-OpenSSH_9.2p1\r\n\r\n';
  const switching = 'HTTP/1.1 101 Switching Protocols\r\n\r\n';
  const badChunk = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n';
  const origin = await Origin.start(t, [cut, rubbish, switching, badChunk, '\u0000']);
  const { get } = open(t);
  t.match(await get(origin.url), { text: 'abc\u0000', error: { code: 'ECONNRESET' } });
  for (let n = 0; n < 3; n += 1) t.match(await get(origin.url), { error: { code: 'BAD_RESPONSE_HEAD' } });
  t.match(await get(origin.url), { status: 0, error: { code: 'ECONNRESET' } });
  t.equal(origin.connections, 5, 'none of these connections is used again');
});

t.test('what comes behind an answer never becomes the next one', async (t) => {
  const poisoned = `${OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`;
  const origin = await Origin.start(t, [poisoned, OK, OK]);
  const { get } = open(t);
  t.match(await get(origin.url), { text: 'abc', error: undefined });
  t.match(await get(origin.url), { text: 'abc' });
  t.equal(origin.connections, 2);
  origin.sockets[1]!.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil');
  await whenClosed(origin.sockets[1]!);
  t.match(await get(origin.url), { text: 'abc' }, 'nor what comes while nothing is asked');
});

t.test('paused, no more comes than had come; aborted, nothing does', async (t) => {
  const size = 8 * 1024 * 1024;
  const big = `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`;
  const origin = await Origin.start(t, [big, big, undefined]);
  const { start } = open(t);
  const got = start(origin.url);
  const paused = new Promise<void>((resolve) => {
    const data = got.data.bind(got);
    got.data = (chunk) => {
      data(chunk);
      got.read!.pause();
      resolve();
    };
  });
  await paused;
  const had = got.text.length;
  for (let n = 0; n < 20; n += 1) await new Promise((resolve) => setImmediate(resolve));
  t.equal(got.text.length, had);
  got.data = Got.prototype.data.bind(got);
  got.read!.resume();
  await got.over;
  t.equal(got.text.length, size);

  const aborted = start(origin.url);
  aborted.data = (chunk) => {
    aborted.text += String(chunk.length);
    aborted.read!.abort();
  };
  const silent = start(origin.url);
  await until(() => origin.requests.length === 3);
  silent.read!.abort();
  for (const socket of origin.sockets) await whenClosed(socket);
  t.match([aborted.isOver, silent.isOver, /^\d+$/.test(aborted.text)], [false, false, true]);
});

t.test('more than its connections wait for their turn', async (t) => {
  const origin = await Origin.start(
    t,
    Array.from({ length: 200 }, () => OK),
  );
  const { start } = open(t);
  const all = Array.from({ length: 200 }, () => start(origin.url));
  await Promise.all(all.map(({ over }) => over));
  t.ok(all.every(({ text, error }) => text === 'abc' && !error));
  t.ok(origin.connections <= 64, `${origin.connections} connections`);
});

t.test('an idle connection that the origin closes is not used; its word on how long is heeded', async (t) => {
  const brief = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nKeep-Alive: timeout=1\r\n\r\nabc';
  const origin = await Origin.start(t, [OK, brief, OK]);
  const { get } = open(t);
  await get(origin.url);
  origin.sockets[0]!.end();
  await whenClosed(origin.sockets[0]!);
  t.match(await get(origin.url), { text: 'abc', error: undefined });
  t.match(await get(origin.url), { text: 'abc', error: undefined });
  t.equal(origin.connections, 3);
});

t.test('TLS: verified, unless told otherwise; and the gate before all', async (t) => {
  const origin = await Origin.start(t, [OK, OK], true);
  t.match(await open(t).get(origin.url), { error: { code: /SELF_SIGNED|UNABLE_TO_VERIFY/ } });
  const { get, start } = open(t, { insecure: true });
  t.match(await get(origin.url), { text: 'abc', error: undefined });
  t.match(await get('http://127.0.0.2:1/'), { error: { code: 'ADDRESS_REFUSED' } });
  t.match(await get('http://127.0.0.1:1/'), { error: { code: 'ECONNREFUSED' } });
  t.throws(() => start(origin.url, { authorization: 'a\r\nb' }), TypeError);
  const slow = open(t, { connectTimeoutMs: 50 });
  const plain = await Origin.start(t, []);
  t.match(await slow.get(plain.url.replace('http:', 'https:')), { error: { code: 'ETIMEDOUT' } }, 'no TLS in time');
});

t.test('closing ends what runs and what waits', async (t) => {
  const origin = await Origin.start(t, []);
  const { reader, start } = open(t);
  const all = Array.from({ length: 70 }, () => start(origin.url));
  await reader.close();
  await Promise.all(all.map(({ over }) => over));
  t.ok(all.every(({ error }) => error !== undefined));
});

/** Reads bodies into memory of its own. */
class Roomy extends Got {
  readonly memory = Buffer.alloc(10);
  #fill = 0;

  room(): Uint8Array | undefined {
    return this.#fill < this.memory.length ? this.memory.subarray(this.#fill) : undefined;
  }
  override data(chunk: Uint8Array): void {
    if (chunk.buffer === this.memory.buffer) this.#fill += chunk.length;
    super.data(chunk);
  }
  get filled(): string {
    return this.memory.subarray(0, this.#fill).toString();
  }
}

for (const tls of [false, true]) {
  t.test(`a body is read right into its handler's room${tls ? ', over TLS too' : ''}`, async (t) => {
    const origin = await Origin.start(t, ['HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nab', OK], tls);
    const { reader, get } = open(t, { insecure: tls });
    const got = new Roomy();
    reader.get(new URL(origin.url), {}, got);
    for (const part of ['cdefgh', 'ijklmn', 'op']) {
      const before = got.text.length;
      await until(() => got.text.length > 1 && origin.sockets.length === 1);
      origin.sockets[0]!.write(part);
      await until(() => got.text.length > before);
    }
    await got.over;
    t.equal(got.text, 'abcdefghijklmnop');
    t.equal(got.filled, 'cdefghijkl', 'what came with the head, or found no room, came otherwise');
    t.match(await get(origin.url), { text: 'abc' });
    t.equal(origin.connections, 1);
    t.equal(got.filled, 'cdefghijkl', 'the next answer is not read into it');
  });
}
