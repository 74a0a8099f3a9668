import fastify from 'fastify';
import t from 'tap';
import type { AuditEvent } from '../../src/base/audit.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { ApiAccess } from '../../src/http/api-access.ts';
import { opsRoutes } from '../../src/http/ops-routes.ts';

const OPERATOR = 'o'.repeat(32);
const READER = 'r'.repeat(32);
const DIGEST = `sha256:${'a'.repeat(64)}`;

function api(access: ApiAccess | 'loopback') {
  const events: AuditEvent[] = [];
  const app = fastify();
  app.post('/api/v1/change', async () => ({}));
  app.post('/api/v1/busy', async (_request, reply) => reply.code(409).send({}));
  const audit = { record: (event: AuditEvent) => void events.push(JSON.parse(JSON.stringify(event)) as AuditEvent) };
  opsRoutes(app, { metrics: new Metrics(), notReady: () => [], status: () => ({}), access, audit }, () => undefined);
  const post = (url: string, payload?: object, headers: Record<string, string> = {}) =>
    app.inject({ method: 'POST', url, headers, ...(payload && { payload }) });
  return { app, events, post };
}

const told = {
  role: 'api',
  client: '127.0.0.1',
  decision: 'allowed',
  method: 'POST',
  path: '/api/v1/change',
  status: 200,
};

t.test('on this machine: what a command was about, and what came of it', async (t) => {
  const { app, events, post } = api('loopback');
  await post('/api/v1/change?x=a-secret', { image: 'org/app:v1', zone: 'a' });
  await post('/api/v1/change', { what: DIGEST, dryRun: true });
  await post('/api/v1/change', { image: 'https://robot:hunter2@registry.example/app' });
  await post('/api/v1/change', { image: { of: 'another kind' }, dryRun: 'yes' });
  await post('/api/v1/change');
  await post('/api/v1/busy', { what: 'org/app' });
  t.same(events, [
    { ...told, reference: 'org/app:v1' },
    { ...told, digest: DIGEST, dryRun: true },
    { ...told, reference: 'https://…@registry.example/app' },
    told,
    told,
    { ...told, path: '/api/v1/busy', reference: 'org/app', status: 409 },
  ]);
  events.length = 0;
  for (const url of ['/api/v1/status', '/metrics', '/livez']) await app.inject(url);
  await post('/api/v1/nothing');
  t.same(events, [], 'what only asks, and what there is no command for');
  await post('/api/v1/change', {}, { origin: 'https://evil.example' });
  t.match(events, [{ decision: 'denied', code: 'BROWSER_REFUSED' }], 'and what is refused once');
  t.equal(events.length, 1);
});

t.test('from other machines: by the operator’s token, or denied', async (t) => {
  const { events, post } = api(new ApiAccess({ operator: [OPERATOR], reader: [READER] }));
  const body = { image: 'org/app:v1' };
  await post('/api/v1/change', body, { authorization: `Bearer ${OPERATOR}` });
  await post('/api/v1/change', body, { authorization: `Bearer ${READER}` });
  await post('/api/v1/change', body);
  const denied = { role: 'api', client: '127.0.0.1', decision: 'denied', method: 'POST', path: '/api/v1/change' };
  t.same(events, [
    { ...told, identity: 'operator', reference: 'org/app:v1' },
    { ...denied, code: 'OPERATOR_TOKEN_WRONG' },
    { ...denied, code: 'OPERATOR_TOKEN_NEEDED' },
  ]);
});
