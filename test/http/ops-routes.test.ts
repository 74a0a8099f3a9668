import fastify from 'fastify';
import t from 'tap';
import { Metrics } from '../../src/base/metrics.ts';
import { opsRoutes } from '../../src/http/ops-routes.ts';

async function app(options: { loopbackOnly?: boolean; reasons?: string[] } = {}) {
  const metrics = new Metrics();
  metrics.clientBytes.inc({ source: 'store' }, 42);
  const server = fastify();
  await server.register(opsRoutes, {
    metrics,
    notReady: () => options.reasons ?? [],
    status: () => ({ version: '1.2.3' }),
    loopbackOnly: options.loopbackOnly ?? true,
  });
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
  const open = await app({ loopbackOnly: false });
  t.equal((await open.inject({ url: '/livez', headers: { host: 'node7.example' } })).statusCode, 200);
});
