import fastify from 'fastify';
import t from 'tap';
import { ApiAccess } from '../../src/http/api-access.ts';
import type { AuditEvent } from '../../src/base/audit.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { opsRoutes } from '../../src/http/ops-routes.ts';

async function app(options: { access?: ApiAccess; reasons?: string[] } = {}) {
  const metrics = new Metrics();
  metrics.clientBytes.inc({ source: 'store' }, 42);
  const server = fastify();
  server.post('/api/v1/change', async () => ({}));
  const { access = 'loopback', reasons = [] } = options;
  const status = () => ({ version: '1.2.3' });
  opsRoutes(server, { metrics, notReady: () => reasons, status, access }, () => undefined);
  return server;
}

t.test('answers operators', async (t) => {
  const server = await app();
  t.same((await server.inject('/livez')).json(), { status: 'ok' });
  t.same((await server.inject('/readyz')).json(), { status: 'ok', reasons: [] });
  t.same((await server.inject('/api/v1/status')).json(), { version: '1.2.3' });
  const metrics = await server.inject('/metrics');
  t.match(metrics.body, 'hawker_client_bytes_total{source="store"} 42');
  t.match(metrics.headers['content-type'], /^text\/plain/);
  t.equal(metrics.headers['cache-control'], 'no-store');
});

t.test('says why it is not ready', async (t) => {
  const server = await app({ reasons: ['the store is being read'] });
  const answer = await server.inject('/readyz');
  t.equal(answer.statusCode, 503);
  t.same(answer.json(), { status: 'not ready', reasons: ['the store is being read'] });
});

t.test('on loopback, a foreign Host is refused (DNS rebinding)', async (t) => {
  const server = await app();
  for (const host of ['127.0.0.1:65003', '127.1.2.3', 'localhost:65003', 'LOCALHOST', '[::1]:65003']) {
    t.equal((await server.inject({ url: '/livez', headers: { host } })).statusCode, 200, host);
  }
  for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example:80']) {
    const answer = await server.inject({ url: '/api/v1/status', headers: { host } });
    t.equal(answer.statusCode, 403, host);
    t.notMatch(answer.body, '1.2.3');
  }
  const open = await app({ access: new ApiAccess({ operator: [], reader: [] }) });
  t.equal((await open.inject({ url: '/livez', headers: { host: 'node7.example' } })).statusCode, 200);
});

t.test('beyond loopback all but the probes need a token', async (t) => {
  const server = await app({ access: new ApiAccess({ operator: ['o'.repeat(32)], reader: ['r'.repeat(32)] }) });
  const ask = (url: string, authorization?: string, method: 'GET' | 'POST' = 'GET') =>
    server.inject({ url, method, headers: { host: 'node7.example', ...(authorization && { authorization }) } });
  for (const url of ['/livez', '/readyz']) t.equal((await ask(url)).statusCode, 200, url);
  for (const url of ['/api/v1/status', '/metrics', '/livez/x', '/nothing', '/']) {
    const answer = await ask(url);
    t.equal(answer.statusCode, 401, url);
    t.match(answer.json(), { code: 'OPERATOR_TOKEN_NEEDED', todo: /hawker token --operator/ });
    t.match(answer.headers['www-authenticate'], /^Basic /);
  }
  const bearer = (letter: string) => `Bearer ${letter.repeat(32)}`;
  const basic = `Basic ${Buffer.from(`anybody:${'o'.repeat(32)}`).toString('base64')}`;
  for (const good of [bearer('o'), bearer('r'), basic]) t.equal((await ask('/metrics', good)).statusCode, 200);
  for (const bad of [bearer('x'), 'Basic eHg=', 'Basic !', 'Bearer', `Digest ${'o'.repeat(32)}`]) {
    const answer = await ask('/api/v1/status', bad);
    t.equal(answer.statusCode, 401, bad);
    t.notMatch(answer.body, '1.2.3');
  }
  t.equal((await ask('/api/v1/change', bearer('o'), 'POST')).statusCode, 200);
  t.match((await ask('/api/v1/change', bearer('r'), 'POST')).json(), { code: 'OPERATOR_TOKEN_WRONG' }, 'members ask');
});

t.test('a page of another site changes nothing', async (t) => {
  const server = await app();
  const post = (origin: string) =>
    server.inject({ method: 'POST', url: '/api/v1/change', headers: { host: 'localhost:65003', origin } });
  t.equal((await post('http://localhost:65003')).statusCode, 200);
  for (const origin of ['http://evil.example', 'null', 'http://localhost:80', 'http://localhost:65003.evil.example']) {
    t.match((await post(origin)).json(), { code: 'BROWSER_REFUSED' }, origin);
  }
});

t.test('who was refused is told to the audit log', async (t) => {
  const events: AuditEvent[] = [];
  const server = fastify();
  const access = new ApiAccess({ operator: ['o'.repeat(32)], reader: [] });
  const audit = { record: (event: AuditEvent) => void events.push(event) };
  opsRoutes(server, { metrics: new Metrics(), notReady: () => [], status: () => ({}), access, audit }, () => undefined);
  await server.inject('/livez');
  await server.inject({ url: '/metrics', headers: { authorization: `Bearer ${'o'.repeat(32)}` } });
  t.same(events, []);
  await server.inject({ url: '/api/v1/status?token=secret', headers: { authorization: 'Bearer wrong' } });
  const about = { role: 'api', client: '127.0.0.1', decision: 'denied', code: 'OPERATOR_TOKEN_WRONG' };
  t.same(events, [{ ...about, method: 'GET', path: '/api/v1/status' }]);
});

t.test('who has shown a certificate may ask without a token, and command only with one', async (t) => {
  const access = new ApiAccess({ operator: ['o'.repeat(32)], reader: [] });
  t.equal(access.of('GET', undefined, true), 'granted');
  t.equal(access.of('HEAD', 'Bearer wrong', true), 'granted');
  t.equal(access.of('POST', undefined, true), 'needed');
  t.equal(access.of('POST', `Bearer ${'r'.repeat(32)}`, true), 'wrong');
  t.equal(access.of('POST', `Bearer ${'o'.repeat(32)}`, true), 'granted');
  t.equal(access.of('GET', undefined), 'needed');
});
