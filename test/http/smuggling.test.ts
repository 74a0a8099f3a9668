import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { createApiServer } from '../../src/http/api-server.ts';
import { opsRoutes } from '../../src/http/ops-routes.ts';
import { makeImage } from '../support/hostile-registry.ts';
import { RECEIVER, SERVER, startPieceServer } from '../support/piece-rig.ts';
import { makeSupernode, serve } from '../support/swarm-rig.ts';
import { REGISTRY, Rig } from '../proxy/rig.ts';

/*
 * What each port answers to requests that two readers might understand differently. Behind each there is an ordinary request, the
 * sentinel: where the odd one was understood both are answered, where it was not the connection ends. There is never one answer more.
 */

/** Where a part of the request line depends on the port: `GET` to something that is there. */
type Odd = (target: string) => string | Buffer;

const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n';
const get = (target: string, ...headers: string[]) =>
  `GET ${target} HTTP/1.1\r\nHost: localhost\r\n${headers.map((header) => `${header}\r\n`).join('')}\r\n`;
const length = HIDDEN.length;

/** Framing that is wrong, or that is read in more than one way: refused, and nothing behind it is read. */
const REFUSED: Record<string, Odd> = {
  'a folded header': (to) => get(to, 'X-A: b\r\n c'),
  'a length and chunks': (to) =>
    get(to, `Content-Length: ${length}`, 'Transfer-Encoding: chunked') + `0\r\n\r\n${HIDDEN}`,
  'chunks and a length': (to) =>
    get(to, 'Transfer-Encoding: chunked', `Content-Length: ${length}`) + `0\r\n\r\n${HIDDEN}`,
  'two lengths': (to) => get(to, 'Content-Length: 0', `Content-Length: ${length}`) + HIDDEN,
  'one length twice': (to) => get(to, `Content-Length: ${length}`, `Content-Length: ${length}`) + HIDDEN,
  'a list of lengths': (to) => get(to, `Content-Length: 0, ${length}`) + HIDDEN,
  'a length with a sign': (to) => get(to, `Content-Length: +${length}`) + HIDDEN,
  'a length below zero': (to) => get(to, 'Content-Length: -1') + HIDDEN,
  'a length in hex': (to) => get(to, 'Content-Length: 0x2a') + HIDDEN,
  'a length that overflows': (to) => get(to, 'Content-Length: 18446744073709551617') + HIDDEN,
  'an empty length': (to) => get(to, 'Content-Length:') + HIDDEN,
  'a space before the colon': (to) => get(to, 'Transfer-Encoding : chunked') + `0\r\n\r\n${HIDDEN}`,
  'bare LF in the head': (to) => `GET ${to} HTTP/1.1\nHost: localhost\n\n${HIDDEN}`,
  'bare LF after one header': (to) => `GET ${to} HTTP/1.1\r\nHost: localhost\r\nX-A: b\n${HIDDEN}`,
  'bare CR in a header': (to) => get(to, 'X-A: b\rContent-Length: 5'),
  'a NUL in a header': (to) => get(to, 'X-A: b\0c'),
  'a NUL in the path': (to) => get(`${to}\0`),
  'a space in the path': (to) => get(`${to} x`),
  'a header without a name': (to) => get(to, ': x'),
  'a space in a name': (to) => get(to, 'X A: b'),
  'a header before the request line': (to) => `X-A: b\r\n${get(to)}`,
  'a folded first header': (to) => `GET ${to} HTTP/1.1\r\n Host: localhost\r\n\r\n`,
  'no host': (to) => `GET ${to} HTTP/1.1\r\n\r\n`,
  'the preface of HTTP/2': () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'a head without end': (to) => get(to, ...Array.from({ length: 9000 }, (_, n) => `X-${n}: 12345678`)),
};

/** A body that goes wrong behind a head that was clear, or another version: the request may be answered, nothing behind it is. */
const BROKEN: Record<string, Odd> = {
  'no version': (to) => `GET ${to}\r\n\r\n`,
  'another version': (to) => `GET ${to} HTTP/2.0\r\nHost: localhost\r\n\r\n`,
  'chunked, and something after it': (to) => get(to, 'Transfer-Encoding: chunked, identity') + `0\r\n\r\n${HIDDEN}`,
  'an unknown coding': (to) => get(to, 'Transfer-Encoding: xchunked') + `0\r\n\r\n${HIDDEN}`,
  'a chunk size in another notation': (to) => get(to, 'Transfer-Encoding: chunked') + `0x5\r\nhello\r\n0\r\n\r\n`,
  'a chunk size that overflows': (to) =>
    get(to, 'Transfer-Encoding: chunked') + `10000000000000005\r\nhello\r\n0\r\n\r\n`,
  'a chunk longer than it says': (to) => get(to, 'Transfer-Encoding: chunked') + `3\r\nhello\r\n0\r\n\r\n`,
  'chunks with bare LF': (to) => get(to, 'Transfer-Encoding: chunked') + `5\nhello\n0\n\n${HIDDEN}`,
};

/** What is clear, if odd: answered like the plain request, and its body is nothing but a body. */
const ANSWERED: Record<string, Odd> = {
  'nothing odd': (to) => get(to),
  'a request in a body': (to) => get(to, `Content-Length: ${length}`) + HIDDEN,
  'a request in chunks': (to) =>
    get(to, 'Transfer-Encoding: chunked') + `${length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`,
  'chunks with extensions': (to) => get(to, 'Transfer-Encoding: chunked') + `5;a=b\r\nhello\r\n0\r\n\r\n`,
  'chunks with a trailer': (to) =>
    get(to, 'Transfer-Encoding: chunked', 'Trailer: Authorization') +
    `0\r\nAuthorization: Bearer x\r\nHost: evil\r\n\r\n`,
  'an upgrade to WebSocket': (to) => get(to, 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'),
  'an upgrade to HTTP/2': (to) =>
    get(to, 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQ'),
  'a header that is called hop by hop': (to) => get(to, 'Connection: authorization, host, range, cookie'),
  'many headers': (to) => get(to, ...Array.from({ length: 300 }, (_, n) => `X-${n}: y`)),
  'two hosts': (to) => get(to, 'Host: evil.example'),
  'what proxies add': (to) =>
    get(
      to,
      'X-Forwarded-For: 127.0.0.1',
      'X-Original-URL: /hidden',
      'Forwarded: host=evil',
      'X-HTTP-Method-Override: PUT',
    ),
};

/** Sends both, and gives the statuses of the answers, in their order, when the connection has ended. */
async function statuses(port: number, odd: string | Buffer, sentinel: string): Promise<number[]> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(Buffer.concat([Buffer.from(odd), Buffer.from(sentinel)]));
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => socket.once('close', resolve));
  return [
    ...Buffer.concat(chunks)
      .toString('latin1')
      .matchAll(/HTTP\/1\.1 (\d{3}) /g),
  ].map(([, status]) => Number(status));
}

/** Some ports close without a word on what is no HTTP. */
function isRefusal(seen: readonly number[]): boolean {
  return seen.length === 0 || (seen.length === 1 && [400, 431].includes(seen[0]!));
}

/** Behind an offer to upgrade nothing is read. */
const answers = (what: string) => (what.startsWith('an upgrade') ? [200] : [200, 200]);

/** At most the request in front was answered, and the connection ended. */
function isCutOff(seen: readonly number[]): boolean {
  return seen.length <= 2 && seen.slice(1).every((status) => status === 400);
}

t.test('the mirror: no request reaches the origin that its client did not make', async (t) => {
  const rig = await Rig.start(t);
  rig.origin.addImage('org/app', 'v1', makeImage({ seed: 1, layers: [10] }));
  const target = `/v2/org/app/tags/list?ns=${REGISTRY}`;
  const sentinel = get('/v2/', 'Connection: close');
  for (const [what, odd] of Object.entries(REFUSED)) {
    const seen = await statuses(rig.port, odd(target), sentinel);
    t.ok(isRefusal(seen), `${what}: ${seen.join(', ')}`);
    t.same(rig.origin.requests, [], what);
  }
  /** What the origin has heard since, but for Hawker's own question how to log in. */
  const heard = () => rig.origin.requests.splice(0).filter(({ kind }) => kind !== 'ping');
  for (const [what, odd] of Object.entries(BROKEN)) {
    const seen = await statuses(rig.port, odd(target), sentinel);
    t.ok(isCutOff(seen), `${what}: ${seen.join(', ')}`);
    for (const { method, path } of heard()) t.same([method, path], ['GET', '/v2/org/app/tags/list'], what);
  }
  for (const [what, odd] of Object.entries(ANSWERED)) {
    t.same(await statuses(rig.port, odd(target), sentinel), answers(what), what);
    const [{ method, path, headers } = {} as never, ...more] = heard();
    t.same([method, path, more.length], ['GET', '/v2/org/app/tags/list', 0], what);
    const names = Object.keys(headers).filter((name) => !['host', 'connection', 'accept-encoding'].includes(name));
    t.same(names, [], `${what}: nothing of it goes on`);
    t.equal(headers.host, rig.origin.host, what);
  }
  t.notOk(rig.lines.some((line) => line.includes('INTERNAL')));
});

t.test('the mirror: paths that others would normalise go nowhere', async (t) => {
  const rig = await Rig.start(t);
  rig.origin.addImage('org/app', 'v1', makeImage({ seed: 1, layers: [10] }));
  for (const path of [
    '/v2/org%2fapp/tags/list',
    '/v2/org%252fapp/tags/list',
    '/v2/org/app/tags%2flist',
    '/v2/org/app/%74ags/list',
    '/v2/org/x/../app/tags/list',
    '/v2/org/x/%2e%2e/app/tags/list',
    '/v2/org/./app/tags/list',
    '/v2//org/app/tags/list',
    '//v2/org/app/tags/list',
    '/v2/org/app//tags/list',
    '/v2/org/app/tags/list/',
    '/v2/org\\app/tags/list',
    '/v2/org/app;x=y/tags/list',
    '/v2/org/app/tags/list%00',
    '/v2/org/app/tags/list%0d%0aX:%20y',
    '/v2/org/\u{ff0e}\u{ff0e}/app/tags/list',
    '/v2/org\u{2215}app/tags/list',
    '/V2/org/app/tags/list',
    '/%76%32/org/app/tags/list',
    '/v2/org/app/_ext/../tags/list',
    '/v2/org/app/_ext/%2e%2e/list',
  ]) {
    const seen = await statuses(rig.port, get(`${path}?ns=${REGISTRY}`), get('/v2/', 'Connection: close'));
    t.ok([400, 404].includes(seen[0]!) && seen.length <= 2, `${path}: ${seen.join(', ')}`);
    t.same(rig.origin.requests, [], path);
  }
});

t.test('the mirror: HTTP/1.0, and a query that goes on as it came', async (t) => {
  const rig = await Rig.start(t);
  rig.origin.addImage('org/app', 'v1', makeImage({ seed: 1, layers: [10] }));
  const target = `/v2/org/app/tags/list?ns=${REGISTRY}&last=%0d%0aX-Evil:%20y&x=%6es`;
  const old = `GET ${target} HTTP/1.0\r\nHost: localhost\r\n\r\n`;
  t.same(await statuses(rig.port, old, HIDDEN), [200], 'one answer, whatever follows');
  const oldChunks = `GET ${target} HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
  t.ok((await statuses(rig.port, oldChunks, HIDDEN)).length <= 1);
  for (const { kind, path, headers } of rig.origin.requests) {
    if (kind === 'ping') continue;
    t.equal(path, '/v2/org/app/tags/list?last=%0d%0aX-Evil:%20y&x=%6es');
    t.notOk('x-evil' in headers);
  }
});

t.test('the piece port', async (t) => {
  const { port, shelf } = await startPieceServer(t);
  const { digest, bytes } = makeImage({ seed: 1, layers: [10] }).layers[0]!;
  shelf.blobs.set(digest, bytes);
  const authorization = `Authorization: Hawker good.${RECEIVER}.${SERVER.peer}`;
  const sentinel = get('/v1/whoami?nonce=0123456789abcdef');
  for (const [what, odd] of Object.entries(REFUSED)) {
    const seen = await statuses(port, odd('/v1/whoami?nonce=0123456789abcdef'), sentinel);
    t.ok(isRefusal(seen), `${what}: ${seen.join(', ')}`);
  }
  for (const [what, odd] of Object.entries(BROKEN)) {
    const seen = await statuses(port, odd(`/v1/blobs/${digest}`), sentinel);
    t.ok(seen.length <= 1 && seen.every((status) => status === 403), `${what}: ${seen.join(', ')}`);
  }
  for (const [what, odd] of Object.entries(ANSWERED)) {
    const text = odd(`/v1/blobs/${digest}`).toString();
    t.same(await statuses(port, text, sentinel), [403], `a stranger, ${what}: no more is read`);
    const asMember = text.replace('\r\n', `\r\n${authorization}\r\n`);
    const seen = await statuses(port, asMember, sentinel);
    const isRefused = /Content-Length|Transfer-Encoding/.test(text);
    t.same(seen, isRefused ? [400] : answers(what), `a member, ${what}`);
  }
  t.equal(shelf.openCount, 0);
});

t.test('the APIs of a proxy and of a supernode', async (t) => {
  const proxyApi = createApiServer({ maxConnections: 10 });
  const about = { metrics: new Metrics(), notReady: () => [], status: () => ({}), access: 'loopback' as const };
  opsRoutes(proxyApi, about, () => undefined);
  await proxyApi.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => proxyApi.close());
  const supernode = makeSupernode(systemClock);
  const served = await serve(t, supernode);
  const proxyPort = (proxyApi.server.address() as { port: number }).port;
  const sentinel = get('/readyz', 'Connection: close');
  for (const port of [proxyPort, served.port]) {
    for (const [what, odd] of Object.entries(REFUSED)) {
      const seen = await statuses(port, odd('/livez'), sentinel);
      t.ok(isRefusal(seen), `${what}: ${seen.join(', ')}`);
    }
    for (const [what, odd] of Object.entries(BROKEN)) {
      const seen = await statuses(port, odd('/livez'), sentinel);
      t.ok(isCutOff(seen), `${what}: ${seen.join(', ')}`);
    }
    for (const [what, odd] of Object.entries(ANSWERED)) {
      const seen = await statuses(port, odd('/livez'), sentinel);
      const isUpgrade = port === served.port && what.startsWith('an upgrade');
      t.same(seen, isUpgrade ? [404] : answers(what), `${port} ${what}`);
    }
  }
});
