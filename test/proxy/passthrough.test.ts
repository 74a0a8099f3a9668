import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Clock } from '../../src/base/clock.ts';
import { FIRST_BYTE_MS } from '../../src/proxy/exchange.ts';
import { makeImage } from '../support/hostile-registry.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { errorIn, REGISTRY, Rig, until } from './rig.ts';

const NS = `?ns=${REGISTRY}`;
const IMAGE = makeImage({ seed: 9, layers: [100] });

type Test = Parameters<typeof Rig.start>[0];

/** An origin that answers as a test has it, and remembers what it was asked. */
async function scripted(
  t: Test,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  options: { clock?: Clock } = {},
) {
  const asked: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[] = [];
  const server: Server = createServer(async (request, response) => {
    if (request.url === '/v2/') {
      response.end('{}');
      return;
    }
    const entry = { method: request.method!, url: request.url!, headers: request.headers, body: '' };
    asked.push(entry);
    answer(request, response);
    request.on('data', (chunk: Buffer) => (entry.body += chunk.toString()));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const rig = await Rig.start(t, { upstream: { url }, ...options });
  return { rig, asked, server };
}

t.test('lists of tags, from the real thing', async (t) => {
  const rig = await Rig.start(t);
  rig.origin.addImage('library/app', 'v1', IMAGE);
  rig.origin.addImage('library/app', 'v2', IMAGE);
  rig.origin.auth.mode = 'bearer';
  const answer = await rig.ask('/v2/app/tags/list?n=10', { headers: { authorization: 'Basic c2VjcmV0' } });
  t.equal(answer.status, 200);
  t.same(JSON.parse(answer.body.toString()), { name: 'library/app', tags: ['v1', 'v2'] });
  t.equal(answer.headers['x-hawker-source'], 'origin');
  const seen = rig.origin.of('tags').at(-1)!;
  t.match(seen.headers.authorization, /^Bearer /, 'with a token of our own');
  t.equal(seen.path, '/v2/library/app/tags/list?n=10');
});

t.test('a private repository is one to log in for, or a 404 to those who could not', async (t) => {
  const rig = await Rig.start(t);
  rig.origin.addImage('org/app', 'v1', IMAGE);
  rig.origin.auth.mode = 'bearer';
  rig.origin.auth.privateRepositories.add('org/app');
  for (const deny of ['at-token', 'at-registry'] as const) {
    rig.origin.auth.deny = deny;
    t.equal((await rig.ask(`/v2/org/app/tags/list${NS}`)).status, 401);
    const answer = await rig.ask(`/v2/${REGISTRY}/org/app/tags/list`);
    t.equal(answer.status, 404);
    t.equal(errorIn(answer).code, 'NAME_UNKNOWN');
    t.notOk('www-authenticate' in answer.headers);
  }
});

t.test(
  'I4: the origin hears nothing of the client but what it needs, the client nothing of our connection',
  async (t) => {
    const { rig, asked } = await scripted(t, (_, response) => {
      response.writeHead(200, {
        'content-type': 'application/json',
        'set-cookie': 'session=1',
        'www-authenticate': 'Basic',
        'x-internal': 'secret',
        'strict-transport-security': 'max-age=1',
        etag: '"e"',
        'oci-filters-applied': 'artifactType',
        link: '</v2/org/app/referrers/x?n=2&last=abc>; rel="next"',
      });
      response.end('{"manifests":[]}');
    });
    const digest = IMAGE.index.digest;
    const answer = await rig.ask(`/v2/org/app/referrers/${digest}?artifactType=a%2Fb&ns=${REGISTRY}`, {
      headers: {
        accept: 'application/json',
        authorization: 'Basic c2VjcmV0',
        cookie: 'session=2',
        'proxy-authorization': 'Basic c2VjcmV0',
        'x-forwarded-for': '10.0.0.1',
        'user-agent': 'oras/1',
      },
    });
    t.equal(answer.status, 200);
    t.equal(answer.body.toString(), '{"manifests":[]}');
    t.match(answer.headers, {
      etag: '"e"',
      'oci-filters-applied': 'artifactType',
      'oci-namespace': REGISTRY,
      link: `</v2/org/app/referrers/x?n=2&last=abc&ns=${REGISTRY}>; rel="next"`,
    });
    for (const name of ['set-cookie', 'www-authenticate', 'x-internal', 'strict-transport-security']) {
      t.notOk(name in answer.headers, name);
    }
    const [request] = asked;
    t.equal(request!.url, `/v2/org/app/referrers/${digest}?artifactType=a%2Fb`);
    t.match(request!.headers, { accept: 'application/json', 'user-agent': 'oras/1', 'accept-encoding': 'identity' });
    t.equal(request!.headers.host, new URL(`http://${request!.headers.host}`).host);
    for (const name of ['authorization', 'cookie', 'proxy-authorization', 'x-forwarded-for']) {
      t.notOk(name in request!.headers, name);
    }
    t.notOk(rig.lines.some((line) => line.includes('c2VjcmV0')));
  },
);

t.test('a body that comes with a GET does not reach the origin', async (t) => {
  const { rig, asked } = await scripted(t, (_, response) => response.end('{}'));
  const smuggled = 'GET /v2/secret HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const answer = await rig.raw(
    `GET /v2/org/app/tags/list${NS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
  );
  t.match(answer, /^HTTP\/1\.1 200 /);
  t.equal(asked.length, 1);
  t.equal(asked[0]!.body, '');
});

t.test('digests of unknown kinds are passed on, redirects too', async (t) => {
  const { rig, asked } = await scripted(t, (request, response) => {
    if (request.url!.includes('/blobs/')) response.writeHead(307, { location: '/elsewhere?x=1' });
    response.end('bytes');
  });
  const manifest = await rig.ask(`/v2/org/app/manifests/blake3:abcd${NS}`);
  t.equal(manifest.body.toString(), 'bytes');
  const blob = await rig.ask(`/v2/org/app/blobs/blake3:abcd${NS}`);
  t.equal(blob.status, 307);
  t.match(blob.headers.location, /^http:\/\/127\.0\.0\.1:\d+\/elsewhere\?x=1$/);
  t.equal((await rig.ask(`/v2/org/app/tags/list${NS}`, { method: 'HEAD' })).status, 200);
  t.same(
    asked.map(({ method }) => method),
    ['GET', 'GET', 'HEAD'],
  );
});

t.test('what is no answer for a client is a 404', async (t) => {
  let status = 500;
  let type = 'application/json';
  const { rig } = await scripted(t, (_, response) => {
    response.writeHead(status, { 'content-type': type });
    response.end('{}');
  });
  for (status of [401, 403, 404, 429, 500, 502, 503]) {
    const answer = await rig.ask(`/v2/org/app/tags/list${NS}`);
    t.equal(answer.status, 404);
    t.match(errorIn(answer), { code: 'NAME_UNKNOWN', detail: { code: 'ORIGIN_ANSWERED', seen: `status ${status}` } });
  }
  status = 200;
  type = 'text/html; charset=utf-8';
  t.equal((await rig.ask(`/v2/org/app/tags/list${NS}`)).status, 404, 'a web page');
  status = 400;
  type = 'application/json';
  t.equal((await rig.ask(`/v2/org/app/tags/list${NS}`)).status, 400);
});

t.test('an origin that cannot be reached is a 404, one that breaks off ends the connection', async (t) => {
  const { rig, server } = await scripted(t, (request, response) => {
    if (request.url!.includes('cut')) {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('some', () => response.destroy());
    } else response.destroy();
  });
  const dropped = await rig.ask(`/v2/org/app/tags/list${NS}`);
  t.equal(dropped.status, 404);
  t.equal(errorIn(dropped).detail.code, 'ORIGIN_BROKEN');
  const cut = await rig.ask(`/v2/org/cut/tags/list${NS}`);
  t.equal(cut.whole, false);
  t.equal(cut.body.toString(), 'some');
  server.closeAllConnections();
  server.close();
  t.equal((await rig.ask(`/v2/org/app/tags/list${NS}`)).status, 404);
});

t.test('clients that go leave no request at the origin (http-proxy’s leak)', async (t) => {
  const open = new Set<ServerResponse>();
  const { rig, asked } = await scripted(t, (request, response) => {
    open.add(response);
    response.once('close', () => open.delete(response));
    // Half of them have had a head, half nothing.
    if (request.url!.includes('head')) response.write('some');
  });
  const clients = await Promise.all(Array.from({ length: 5 }, () => rig.open(`/v2/org/head/tags/list${NS}`)));
  const waiting = Array.from({ length: 5 }, () =>
    httpRequest({ port: rig.port, path: `/v2/org/app/tags/list${NS}`, agent: false })
      .on('error', () => undefined)
      .end(),
  );
  await until(() => asked.length === 10);
  t.equal(open.size, 10);
  for (const client of [...clients, ...waiting]) client.destroy();
  await until(() => open.size === 0);
  t.pass('all are gone');
});

t.test('an origin that does not answer in time is left alone', async (t) => {
  const open = new Set<ServerResponse>();
  const clock = new ManualClock();
  const { rig } = await scripted(
    t,
    (_, response) => {
      open.add(response);
      response.once('close', () => open.delete(response));
    },
    { clock },
  );
  const asked = rig.ask(`/v2/org/app/tags/list${NS}`);
  await until(() => open.size > 0);
  await clock.advance(FIRST_BYTE_MS);
  t.equal(errorIn(await asked).detail.code, 'FIRST_BYTE_LATE');
  await until(() => open.size === 0);
  t.pass('its connection is closed');
});

t.test('a password that has run out is renewed for a list, too', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'hawker-passthrough-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const passwordFile = join(dir, 'password');
  writeFileSync(passwordFile, 'one', { mode: 0o600 });
  const rig = await Rig.start(t, { upstream: { username: 'u', passwordFile } });
  rig.origin.addImage('org/app', 'v1', IMAGE);
  rig.origin.auth.mode = 'bearer';
  rig.origin.auth.privateRepositories.add('org/app');
  rig.origin.auth.users.set('u', 'one');
  const list = async () => (await rig.ask(`/v2/org/app/tags/list${NS}`)).status;
  t.equal(await list(), 200);
  rig.origin.auth.revokeTokens();
  t.equal(await list(), 200, 'with another token');
  rig.origin.auth.revokeTokens();
  rig.origin.auth.users.set('u', 'two');
  t.not(await list(), 200, 'nothing better is to be had');
  writeFileSync(passwordFile, 'two');
  t.equal(await list(), 200);
});
