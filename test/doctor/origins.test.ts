import { execFile } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { createServer as createSocketServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { defaultSettings } from '../../src/config/defaults.ts';
import type { Finding } from '../../src/doctor/check.ts';
import { checkOrigins } from '../../src/doctor/origins.ts';
import { HostileRegistry, makeImage } from '../support/hostile-registry.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { NO_SUCH_HOST } from '../support/no-such-host.ts';
import { EgressProxy } from '../support/registry-egress.ts';
import { EXPIRED_TLS, TEST_TLS } from '../support/registry-tls.ts';
import { temporaryDirectory } from '../store/temporary.ts';
import { aroundWith, onlyUpstreams, withCode } from './node-rig.ts';

const NAME = 'registry.example';
const SECRET = 'correct horse battery staple';

async function registry(t: Test, options: Parameters<typeof HostileRegistry.start>[0] = {}): Promise<HostileRegistry> {
  const origin = await HostileRegistry.start(options);
  t.teardown(() => origin.close());
  return origin;
}

/** What is found of one registry, and of none that is built in. */
async function check(t: Test, upstream: object, name = NAME): Promise<readonly Finding[]> {
  const upstreams = onlyUpstreams(Object.keys(defaultSettings().upstreams), { [name]: upstream });
  const proxy = { defaultUpstream: name };
  const findings = await checkOrigins(await aroundWith(t, '/', { upstreams, proxy }));
  t.notOk(JSON.stringify(findings).includes(SECRET), 'no finding holds the secret');
  return findings;
}

async function secretFile(t: Test, text = SECRET): Promise<string> {
  const file = join(await temporaryDirectory(t), 'password');
  await writeFile(file, `${text}\n`, { mode: 0o600 });
  return file;
}

t.test('a registry that wants no login', async (t) => {
  const origin = await registry(t);
  const findings = await check(t, { url: origin.url });
  t.match(findings, [
    { code: 'ORIGIN', status: 'ok', seen: /127\.0\.0\.1 is an address; GET .*\/v2\/: status 200, in / },
    { code: 'ORIGIN_LOGIN', status: 'skipped', seen: /asks for no login/ },
  ]);
});

t.test('a token service', async (t) => {
  const origin = await registry(t);
  origin.auth.mode = 'bearer';
  origin.auth.users.set('me', SECRET);
  const login = async (more: object = {}) => withCode(await check(t, { url: origin.url, ...more }), 'ORIGIN_LOGIN');
  t.match(await login(), [{ status: 'ok', seen: /anonymously/ }]);
  const passwordFile = await secretFile(t);
  t.match(await login({ username: 'me', passwordFile }), [{ status: 'ok', seen: /password of .* was accepted/ }]);
  t.notOk(
    origin.of('token', 'GET').some(({ path }) => path.includes('scope')),
    'no repository is named',
  );
  t.match(await login({ username: 'you', passwordFile }), [
    { status: 'failed', error: 'ORIGIN_UNAUTHORIZED', meaning: /cannot read/, todo: /./ },
  ]);
  t.match(await login({ username: 'me', passwordFile: '/not/there' }), [
    { status: 'failed', error: 'ORIGIN_CREDENTIALS', seen: /\/not\/there cannot be read/ },
  ]);
  origin.auth.refreshTokens.set(SECRET, 'me');
  const dockerConfig = join(await temporaryDirectory(t), 'config.json');
  await writeFile(dockerConfig, JSON.stringify({ auths: { [NAME]: { identitytoken: SECRET } } }));
  t.match(await login({ dockerConfig }), [{ status: 'ok', seen: /identity token of/ }]);
  await writeFile(dockerConfig, '{}');
  t.match(await login({ dockerConfig }), [{ status: 'failed', seen: /has no credential/, todo: /docker login/ }]);
});

t.test('a token service that must not be asked, and one that cannot be', async (t) => {
  const origin = await registry(t);
  origin.auth.mode = 'bearer';
  const login = async () => withCode(await check(t, { url: origin.url }), 'ORIGIN_LOGIN');
  origin.auth.realm = 'https://tokens.elsewhere.test/token';
  t.match(await login(), [{ status: 'failed', error: 'ORIGIN_REALM_REFUSED', seen: /foreign host/, todo: /allow/ }]);
  origin.auth.realm = 'http://127.0.0.1:1/token';
  t.match(await login(), [{ status: 'failed', error: 'ORIGIN_UNREACHABLE', meaning: /no token/ }]);
  origin.auth.realm = undefined;
  origin.faults.on = ['token'];
  origin.faults.status = { code: 403, times: Infinity };
  t.match(await login(), [{ status: 'ok', seen: /by repository only/ }], 'as GitLab does');
});

t.test('a password for each request', async (t) => {
  const origin = await registry(t);
  origin.auth.mode = 'basic';
  origin.auth.users.set('me', SECRET);
  const login = async (more: object = {}) => withCode(await check(t, { url: origin.url, ...more }), 'ORIGIN_LOGIN');
  t.match(await login(), [{ status: 'failed', seen: /none is configured/ }]);
  t.match(await login({ username: 'me', passwordFile: await secretFile(t) }), [{ status: 'ok', seen: /accepted/ }]);
  const passwordFile = await secretFile(t, `${SECRET}, but wrong`);
  t.match(await login({ username: 'me', passwordFile }), [{ status: 'failed', error: 'ORIGIN_UNAUTHORIZED' }]);
  origin.auth.expiredStatus = 403;
  t.match(await login({ username: 'me', passwordFile }), [{ status: 'failed', error: 'ORIGIN_DENIED' }]);
});

t.test('a credential helper', async (t) => {
  const origin = await registry(t);
  origin.auth.mode = 'bearer';
  origin.auth.users.set('me', SECRET);
  const dir = await temporaryDirectory(t);
  const program = join(dir, 'docker-credential-doctor');
  await writeFile(program, `#!/bin/sh\necho '{"Username":"me","Secret":"${SECRET}"}'\n`);
  await chmod(program, 0o755);
  const before = process.env['PATH'];
  process.env['PATH'] = `${dir}:${before}`;
  t.teardown(() => void (process.env['PATH'] = before));
  const found = withCode(await check(t, { url: origin.url, credentialHelper: 'doctor' }), 'ORIGIN_LOGIN');
  t.match(found, [{ status: 'ok', seen: /docker-credential-doctor was accepted/ }]);
});

t.test('what stands before a registry', async (t) => {
  const origin = await registry(t);
  const first = async () => withCode(await check(t, { url: origin.url }), 'ORIGIN')[0];
  origin.faults.on = ['ping'];
  origin.faults.status = { code: 503, times: Infinity };
  t.match(await first(), { status: 'failed', seen: /status 503/, meaning: /no peer has cannot be fetched/ });
  origin.faults.status = { code: 429, times: Infinity };
  t.match(await first(), { status: 'failed', todo: /account/ });
  origin.faults.status = { code: 404, times: Infinity };
  t.match(await first(), { status: 'failed', meaning: /no registry/ });
  origin.faults.status = undefined;
  origin.auth.mode = 'bearer';
  origin.auth.challenges = ['Negotiate'];
  t.match(await first(), { status: 'failed', meaning: /no image client knows/ });
  await origin.close();
  t.match(await first(), { status: 'failed', error: 'ORIGIN_UNREACHABLE', seen: /nobody listens/, todo: /url/ });
});

t.test('a name that does not exist', async (t) => {
  const [found] = await check(t, { url: `https://${NO_SUCH_HOST}` });
  t.match(found, { status: 'failed', error: 'ORIGIN_UNREACHABLE', seen: /DNS/, todo: /resolv\.conf/ });
});

/** A certificate that is wrong in one way. */
async function certificate(t: Test, ...args: string[]): Promise<{ key: string; cert: string; file: string }> {
  const dir = await temporaryDirectory(t);
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=doctor'];
  await promisify(execFile)('openssl', ['req', ...kind, '-keyout', key, '-out', cert, ...args]);
  return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8'), file: cert };
}

t.test('certificates', async (t) => {
  const look = async (tls: { key: string; cert: string }, more: object = {}) => {
    const origin = await registry(t, { tls });
    return (await check(t, { url: origin.url, ...more }))[0];
  };
  t.match(await look(TEST_TLS), {
    status: 'failed',
    error: 'ORIGIN_TLS',
    seen: /authority that this node does not know/,
    todo: /\.ca/,
  });
  t.match(await look(TEST_TLS, { insecure: true }), { status: 'ok', seen: /not checked/ });
  const named = ['-addext', 'subjectAltName=IP:127.0.0.1'];
  const right = await certificate(t, '-days', '2', ...named);
  t.match(await look(right, { ca: right.file }), { status: 'ok' });
  const other = await certificate(t, '-days', '2', '-addext', 'subjectAltName=DNS:elsewhere.test');
  t.match(await look(other, { ca: other.file }), { status: 'failed', seen: /for another name/ });
  const old = join(await temporaryDirectory(t), 'old.pem');
  await writeFile(old, EXPIRED_TLS.cert);
  t.match(await look(EXPIRED_TLS, { ca: old }), { status: 'failed', seen: /clock is ahead/, todo: /renew/ });
  const plain = await registry(t);
  const found = (await check(t, { url: plain.url.replace('http:', 'https:') }))[0];
  t.match(found, { status: 'failed', error: 'ORIGIN_TLS', seen: /does not speak TLS/, todo: /http:\/\// });
  const lost = (await check(t, { url: plain.url, ca: '/not/there.pem' }))[0];
  t.match(lost, { status: 'failed', seen: /not\/there\.pem/, todo: /upstreams/ });
});

t.test('by an egress proxy', async (t) => {
  const proxy = await EgressProxy.start();
  t.teardown(() => proxy.close());
  const origin = await registry(t);
  const [found] = await check(t, {
    url: origin.url,
    egressProxy: `http://user:${encodeURIComponent(SECRET)}@${proxy.host}`,
  });
  t.match(found, { status: 'ok', seen: `resolved by the egress proxy ${proxy.host}` });
  t.same(proxy.targets, [origin.host]);
});

t.test('one that never answers is given up', async (t) => {
  const server = createSocketServer(() => {}).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const upstreams = onlyUpstreams(Object.keys(defaultSettings().upstreams), {
    [NAME]: { url: `http://127.0.0.1:${port}` },
  });
  const around = await aroundWith(t, '/', { upstreams, proxy: { defaultUpstream: NAME } });
  const clock = new ManualClock();
  const connected = new Promise((resolve) =>
    server.once('connection', (socket) => resolve(t.teardown(() => socket.destroy()))),
  );
  const found = checkOrigins({ ...around, clock });
  await connected;
  await clock.advance(10_000);
  t.match(await found, [{ status: 'failed', error: 'ORIGIN_TIMEOUT', seen: /no answer within 10/ }]);
});

t.test('pulls that Docker Hub still allows', async (t) => {
  const origin = await registry(t);
  origin.auth.mode = 'bearer';
  origin.faults.on = ['manifest'];
  const limit = async () => withCode(await check(t, { url: origin.url }, 'docker.io'), 'ORIGIN_RATE_LIMIT')[0];
  const told = async (remaining: number) => {
    origin.faults.headStatus = 200;
    origin.faults.status = undefined;
    origin.faults.headers = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': `${remaining};w=21600` };
    return await limit();
  };
  t.match(await limit(), { status: 'skipped', seen: /could not be asked/ }, 'the image is not there');
  origin.addImage('ratelimitpreview/test', 'latest', makeImage({ seed: 1, layers: [10] }));
  t.match(await limit(), { status: 'ok', seen: /no limit/ });
  t.match(await told(76), { status: 'ok', seen: /76 left of 100 in 360 min/ });
  t.match(await told(7), { status: 'failed', meaning: /when it is used up/, todo: /account/ });
  t.match(await told(0), { status: 'failed', seen: /0 left/ });
  t.same([...new Set(origin.of('manifest').map(({ method }) => method))], ['HEAD'], 'nothing that counts is asked');
  origin.faults.headers = {};
  origin.faults.status = { code: 429, times: Infinity };
  t.match(await limit(), { status: 'failed', error: 'ORIGIN_RATE_LIMITED' });
});

t.test('what is built in is not asked, nor patterns', async (t) => {
  const upstreams = { 'docker.io': false, '*.test': {} };
  const proxy = { defaultUpstream: 'ghcr.io' };
  const others = Object.fromEntries(Object.keys(defaultSettings().upstreams).map((key) => [key, false]));
  const around = await aroundWith(t, '/', {
    upstreams: { ...others, ...upstreams, 'ghcr.io': { url: (await registry(t)).url }, 'quay.io': {} },
    proxy,
  });
  const findings = await checkOrigins(around);
  t.match(findings.slice(-2), [
    { status: 'skipped', seen: /nothing is set for them: quay\.io/ },
    { status: 'skipped', seen: /a pattern names no host: \*\.test/ },
  ]);
});
