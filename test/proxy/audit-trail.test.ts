import t from 'tap';
import type { AuditEvent } from '../../src/base/audit.ts';
import { makeImage } from '../support/hostile-registry.ts';
import { REGISTRY, Rig, until, type AskOptions } from './rig.ts';

const SECRET = makeImage({ seed: 41, layers: [3000] });
const OPEN = makeImage({ seed: 42, layers: [10] });
const LAYER = SECRET.layers[0]!;
const NS = `?ns=${REGISTRY}`;
const basic = (user: string, password = `password-of-${user}`) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});

type Test = Parameters<typeof Rig.start>[0];

async function start(t: Test) {
  const events: AuditEvent[] = [];
  const rig = await Rig.start(t, { audit: { record: (event) => void events.push(event) } });
  const { origin } = rig;
  origin.addImage('org/secret', 'latest', SECRET);
  origin.addImage('org/open', 'latest', OPEN);
  origin.auth.mode = 'bearer';
  origin.auth.deny = 'at-registry';
  origin.auth.users.set('alice', 'password-of-alice').set('bob', 'password-of-bob');
  origin.auth.privateRepositories.add('org/secret');
  origin.auth.readers.set('org/secret', ['alice']);
  /** What is noted of one request. */
  const ask = async (path: string, options: AskOptions = {}): Promise<AuditEvent[]> => {
    events.length = 0;
    const before = await rig.metric('hawker_http_requests_total');
    await rig.ask(`/v2/org/${path}${NS}`, options);
    await until(async () => (await rig.metric('hawker_http_requests_total')) > before);
    return events.splice(0);
  };
  return { rig, events, ask };
}

t.test('who read what of a private repository, and who may not', async (t) => {
  const { ask } = await start(t);
  const about = { role: 'mirror', client: '127.0.0.1', registry: REGISTRY, repository: 'org/secret' };
  const blob = `secret/blobs/${LAYER.digest}`;

  const [stranger, ...more] = await ask(blob);
  t.match(stranger, { ...about, decision: 'denied', code: 'LOGIN_NEEDED', status: 401, method: 'GET' });
  t.match([stranger, more], [{ digest: LAYER.digest, identity: undefined, credential: undefined, bytes: 0 }, []]);

  const cold = (await ask(blob, { headers: basic('alice') }))[0]!;
  t.match(cold, { ...about, decision: 'allowed', identity: 'alice', status: 200, source: 'origin', bytes: 3000 });
  t.match(cold.credential, /^[\w-]{16}$/);
  t.equal(cold.code, undefined);
  const warm = (await ask(blob, { headers: { ...basic('alice'), range: 'bytes=0-9' } }))[0]!;
  t.match(warm, { source: 'store', bytes: 10, status: 206, credential: cold.credential });

  const [tag] = await ask('secret/manifests/latest', { headers: basic('alice') });
  t.match(tag, { decision: 'allowed', reference: 'latest', digest: SECRET.index.digest, method: 'GET' });
  const [head] = await ask('secret/manifests/latest', { method: 'HEAD', headers: basic('alice') });
  t.match(head, { decision: 'allowed', method: 'HEAD', digest: SECRET.index.digest, bytes: 0 });
  const [list] = await ask('secret/tags/list', { headers: basic('alice') });
  t.match(list, { decision: 'allowed', reference: 'tags/list', source: 'origin' });

  const bob = (await ask(blob, { headers: basic('bob') }))[0]!;
  t.match(bob, { ...about, decision: 'denied', identity: 'bob', digest: LAYER.digest, bytes: 0, source: undefined });
  t.not(bob.credential, cold.credential);
  t.ok(bob.code);
  const [elsewhere] = await ask(`open/blobs/${LAYER.digest}`, { headers: basic('bob') });
  t.match(elsewhere, { repository: 'org/open', decision: 'denied', identity: 'bob' }, 'by a repository that is open');
});

t.test('what anybody may read is not noted, nor what is nowhere', async (t) => {
  const { ask } = await start(t);
  t.same(await ask('open/manifests/latest'), []);
  t.same(await ask('open/manifests/latest', { headers: basic('alice') }), [], 'the credential is not needed');
  t.same(await ask(`open/blobs/${LAYER.digest}`), []);
  t.same(await ask('open/manifests/-bad'), []);
});

t.test('for whom a token is, where the registry has taken it', async (t) => {
  const { rig, ask } = await start(t);
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  let n = 0;
  rig.origin.auth.makeToken = () => `${part({})}.${part({ sub: 'robot$ci', n: (n += 1) })}.x`;
  const answer = await fetch(`${rig.origin.url}/token?scope=repository:org/secret:pull`, { headers: basic('alice') });
  const { token } = (await answer.json()) as { token: string };
  const [good] = await ask(`secret/blobs/${LAYER.digest}`, { headers: { authorization: `Bearer ${token}` } });
  t.match(good, { decision: 'allowed', subject: 'robot$ci', identity: undefined });
  const forged = `${part({})}.${part({ sub: 'admin' })}.x`;
  const [bad] = await ask(`secret/blobs/${LAYER.digest}`, { headers: { authorization: `Bearer ${forged}` } });
  t.match(bad, { decision: 'denied', subject: undefined });
});

t.test('pages in a browser are noted, a client that goes before anything is decided is not', async (t) => {
  const { rig, events, ask } = await start(t);
  t.match(await ask('open/manifests/latest', { headers: { origin: 'https://evil.example' } }), [
    { role: 'mirror', client: '127.0.0.1', decision: 'denied', code: 'BROWSER_REFUSED' },
  ]);
  rig.origin.faults.on = ['manifest'];
  rig.origin.faults.stall = { bytes: -1, times: 1 };
  const before = await rig.metric('hawker_http_requests_total');
  const { connect } = await import('node:net');
  const socket = connect(rig.port, '127.0.0.1');
  const { authorization } = basic('alice');
  socket.write(
    `GET /v2/org/secret/manifests/latest${NS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${authorization}\r\n\r\n`,
  );
  await until(() => rig.origin.of('manifest').length > 0);
  socket.destroy();
  await until(async () => (await rig.metric('hawker_http_requests_total')) > before);
  t.same(events, []);
});
