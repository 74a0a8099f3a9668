import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { MANIFEST_ACCEPT } from '../../src/registry/media-types.ts';
import { Upstreams, type UpstreamSettings } from '../../src/registry/upstreams.ts';
import { makeImage } from '../support/hostile-registry.ts';
import { HAS_IPV6 } from '../support/ipv6.ts';
import { NO_SUCH_HOST } from '../support/no-such-host.ts';
import { failureOf, KeepingSink, never, openUpstream, type Opened } from '../support/registry-client.ts';
import { TEST_TLS } from '../support/registry-tls.ts';

const REPO = 'library/app';
const image = makeImage({ seed: 4, layers: [50_000] });
const layer = image.layers[0]!;

function upstreamsOf(settings: Record<string, Partial<UpstreamSettings>>, log = silentLogger) {
  const full = Object.fromEntries(
    Object.entries(settings).map(([key, s]) => [key, { insecure: false, allow: [], ...s }]),
  );
  const upstreams = new Upstreams(full, { log, metrics: new Metrics(), clock: systemClock });
  t.teardown(() => upstreams.close());
  return upstreams;
}

/** A manifest by got, and a blob by undici. */
async function pull({ upstream }: Pick<Opened, 'upstream'>): Promise<void> {
  await upstream.getManifest(REPO, { tag: 'v1' }, MANIFEST_ACCEPT);
  const sink = new KeepingSink();
  await upstream.blob(REPO, layer.digest).read({ start: 0 }, sink, never);
  if (!sink.bytes.equals(layer.bytes)) throw new Error('wrong bytes');
}

async function codes({ upstream }: Pick<Opened, 'upstream'>): Promise<(string | undefined)[]> {
  const manifest = await failureOf(upstream.getManifest(REPO, { tag: 'v1' }, MANIFEST_ACCEPT));
  const blob = await failureOf(upstream.blob(REPO, layer.digest).read({ start: 0 }, new KeepingSink(), never));
  return [manifest.code, blob.code];
}

t.test('which upstream', async (t) => {
  const upstreams = upstreamsOf({
    'docker.io': {},
    'GHCR.io': {},
    '*.gcr.io': {},
    'eu.gcr.io': {},
    '*.dkr.ecr.*.amazonaws.com': {},
    'eu.*.io': {},
    '*.example:5000': {},
    '[::1]:5000': { url: 'http://[::1]:5000' },
  });
  for (const [host, key, canonical, url] of [
    ['docker.io', 'docker.io', 'docker.io', 'https://registry-1.docker.io/'],
    ['registry-1.docker.io', 'docker.io', 'docker.io', 'https://registry-1.docker.io/'],
    ['index.docker.io', 'docker.io', 'docker.io', 'https://registry-1.docker.io/'],
    ['ghcr.io:443', 'GHCR.io', 'ghcr.io', 'https://ghcr.io/'],
    ['eu.gcr.io', 'eu.gcr.io', 'eu.gcr.io', 'https://eu.gcr.io/'],
    ['US.gcr.io', '*.gcr.io', 'us.gcr.io', 'https://us.gcr.io/'],
    ['eu.gcr2.io', 'eu.*.io', 'eu.gcr2.io', 'https://eu.gcr2.io/'],
    ['1.dkr.ecr.eu-west-1.amazonaws.com', '*.dkr.ecr.*.amazonaws.com', '1.dkr.ecr.eu-west-1.amazonaws.com', undefined],
    ['a.example:5000', '*.example:5000', 'a.example:5000', 'https://a.example:5000/'],
    ['[::1]:5000', '[::1]:5000', '[::1]:5000', 'http://[::1]:5000/'],
  ] as const) {
    const upstream = upstreams.find(host);
    t.strictSame([upstream?.key, upstream?.host], [key, canonical], host);
    if (url !== undefined) t.equal(upstream?.baseUrl.href, url);
    t.equal(upstreams.find(host), upstream, 'the same one, with its tokens');
  }
  for (const host of [
    'quay.io',
    'a.b.gcr.io',
    '.gcr.io',
    'gcr.io',
    'xgcr.io',
    'a.example',
    'ghcr.io:80',
    'u@ghcr.io',
    '[::1]',
    '',
  ]) {
    t.equal(upstreams.find(host), undefined, host);
  }
  t.equal(upstreamsOf({ '*': {}, '*.io': {} }).find('quay.io')?.key, '*.io');
  t.equal(upstreamsOf({ '*': {} }).find('a.b.c:1')?.key, '*');
});

t.test('credentials are known to be used', async (t) => {
  const find = (settings: Partial<UpstreamSettings>) =>
    upstreamsOf({ 'r.test': settings }).find('r.test')!.usesCredentials;
  t.equal(find({}), false);
  t.ok(find({ username: 'u', passwordFile: '/x' }) && find({ dockerConfig: '/x' }) && find({ credentialHelper: 'x' }));
});

t.test('a pattern opens no private address; a name opens its own', async (t) => {
  const { origin } = await openUpstream(t);
  const port = origin.host.split(':')[1]!;
  const upstreams = upstreamsOf({ '*': {}, 'named.test': { url: `http://localhost:${port}` } });
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, '169.254.169.254', '[::1]:5000', '10.0.0.1']) {
    t.strictSame(await codes({ upstream: upstreams.find(host)! }), ['ADDRESS_REFUSED', 'ADDRESS_REFUSED'], host);
  }
  t.equal(origin.requests.length, 0);
  origin.addImage(REPO, 'v1', image);
  await pull({ upstream: upstreams.find('named.test')! });
  const { agent, target } = await upstreams.find('named.test')!.passThrough(REPO);
  t.ok(agent && target);
});

t.test('redirects to private addresses need to be allowed', async (t) => {
  for (const [allow, expected] of [
    [[], 'ADDRESS_REFUSED'],
    [['127.0.0.0/8'], undefined],
    [['127.0.0.2'], undefined],
    [['cdn.test', '10.0.0.0/8'], 'ADDRESS_REFUSED'],
  ] as const) {
    const opened = await openUpstream(t, { allow });
    opened.origin.addImage(REPO, 'v1', image);
    opened.origin.redirectBlobs = { status: 303 };
    const done = pull(opened);
    t.equal(expected === undefined ? await done : (await failureOf(done)).code, expected);
  }
});

t.test('TLS: trusted by ca, by insecure, or not', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'hawker-ca-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const ca = join(dir, 'ca.pem');
  await writeFile(ca, TEST_TLS.cert);
  const tls = { origin: { tls: TEST_TLS } };
  for (const settings of [{ ca }, { insecure: true }]) {
    const opened = await openUpstream(t, settings, tls);
    opened.origin.addImage(REPO, 'v1', image);
    opened.origin.redirectBlobs = { status: 307 };
    await pull(opened);
    opened.origin.redirectTo = () => 'http://127.0.0.2/x';
    t.match(await failureOf(pull(opened)), { code: 'ORIGIN_REDIRECT_REFUSED', message: /https to http/ });
  }
  const untrusted = await openUpstream(t, {}, tls);
  t.strictSame(await codes(untrusted), ['ORIGIN_TLS', 'ORIGIN_TLS']);
  t.equal(((await failureOf(untrusted.upstream.confirmBlob(REPO, layer.digest))) as { final?: boolean }).final, true);
  const plain = await openUpstream(t);
  const overPlain = upstreamsOf({ 'r.test': { url: plain.origin.url.replace('http:', 'https:') } });
  t.strictSame(await codes({ upstream: overPlain.find('r.test')! }), ['ORIGIN_TLS', 'ORIGIN_TLS']);
  t.throws(() => upstreamsOf({ 'r.test': { ca: join(dir, 'absent') } }), { code: 'ENOENT' });
  t.throws(() => upstreamsOf({ 'r.test': { allow: ['10.0.0.0/99'] } }), RangeError);
});

t.test('a certificate that nobody checks is said at start', async (t) => {
  const lines: string[] = [];
  const { createLogger } = await import('../../src/base/log.ts');
  const log = createLogger({ level: 'info', format: 'json', destination: { write: (line) => lines.push(line) } });
  upstreamsOf({ 'r.test': { insecure: true }, 's.test': {} }, log);
  t.equal(lines.length, 1);
  t.match(JSON.parse(lines[0]!), { level: 'warn', code: 'UPSTREAM_INSECURE', upstream: 'r.test' });
});

t.test('IPv6', HAS_IPV6 ? {} : { skip: 'this machine has no ::1' }, async (t) => {
  const opened = await openUpstream(t, {}, { origin: { address: '::1' } });
  opened.origin.addImage(REPO, 'v1', image);
  opened.origin.auth.mode = 'bearer';
  await pull(opened);
  t.match(opened.origin.requests[0]!.headers.host, /^\[::1\]:\d+$/);
});

t.test('connections that nobody accepts, or that lead nowhere', async (t) => {
  const silent = createTcpServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.teardown(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  const upstreams = new Upstreams(
    { 'r.test': { url: `https://127.0.0.1:${port}`, insecure: false, allow: [] } },
    { log: silentLogger, metrics: new Metrics(), clock: systemClock, limits: { connectMs: 100, headersMs: 3000 } },
  );
  t.strictSame(await codes({ upstream: upstreams.find('r.test')! }), ['ORIGIN_TIMEOUT', 'ORIGIN_TIMEOUT']);
  await upstreams.close();
  const nowhere = upstreamsOf({ 'r.test': { url: `https://${NO_SUCH_HOST}` } }).find('r.test')!;
  t.strictSame(await codes({ upstream: nowhere }), ['ORIGIN_UNREACHABLE', 'ORIGIN_UNREACHABLE']);
});

t.test('closed: nothing is left to keep the process alive', async (t) => {
  const opened = await openUpstream(t);
  opened.origin.addImage(REPO, 'v1', image);
  opened.origin.faults.stall = { bytes: 10, times: 1 };
  const cut = failureOf(opened.upstream.blob(REPO, layer.digest).read({ start: 0 }, new KeepingSink(), never));
  await opened.origin.until(() => opened.origin.of('blob').length === 1);
  await opened.upstreams.close();
  t.ok((await cut).code);
});

t.test('a changed list: who stays keeps what it has, others come and go, a faulty one changes nothing', async (t) => {
  const dir = t.testdir({ 'ca.pem': TEST_TLS.cert });
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const full = (settings: Record<string, Partial<UpstreamSettings>>) =>
    Object.fromEntries(Object.entries(settings).map(([key, s]) => [key, { insecure: false, allow: [], ...s }]));
  const first = { 'r.test': { ca: join(dir, 'ca.pem') }, 'gone.test': {}, '*.io': {}, 'i.test': { insecure: true } };
  const upstreams = upstreamsOf(first, log);
  const [stays, gone, quay, ghcr] = ['r.test', 'gone.test', 'quay.io', 'ghcr.io'].map((host) => upstreams.find(host)!);
  t.throws(() => upstreams.change(full({ 'new.test': {}, 'bad.test': { allow: ['10.0.0.0/99'] } })));
  t.throws(() => upstreams.change(full({ 'new.test': {}, 'bad.test': { ca: join(dir, 'none') } })), { code: 'ENOENT' });
  t.equal(upstreams.find('new.test'), undefined);
  t.equal(upstreams.find('gone.test'), gone);
  upstreams.change(full({ ...first, 'gone.test': { url: 'http://gone.test:81' } }));
  t.equal(upstreams.find('r.test'), stays, 'with its tokens and connections');
  t.equal(upstreams.find('quay.io'), quay, 'behind a pattern too');
  t.not(upstreams.find('gone.test'), gone);
  t.equal(upstreams.find('gone.test')?.baseUrl.href, 'http://gone.test:81/');
  t.equal(lines.length, 1, 'what was warned of before is not again');
  upstreams.change(full({ 'r.test': { ca: join(dir, 'ca.pem') }, 'ghcr.io': {}, '*.io': { allow: ['10.0.0.1'] } }));
  t.equal(upstreams.find('gone.test'), undefined);
  t.not(upstreams.find('quay.io'), quay, 'the pattern says something else now');
  t.not(upstreams.find('ghcr.io'), ghcr, 'it has an entry of its own now');
  t.equal(upstreams.find('ghcr.io')?.key, 'ghcr.io');
  await writeFile(join(dir, 'ca.pem'), `${TEST_TLS.cert}\n`);
  upstreams.change(full({ 'r.test': { ca: join(dir, 'ca.pem') } }));
  t.not(upstreams.find('r.test'), stays, 'another file of authorities');
});

t.test('what is being read from an upstream that is taken off goes on', async (t) => {
  const opened = await openUpstream(t);
  const { origin } = opened;
  origin.addImage(REPO, 'v1', image);
  const upstreams = upstreamsOf({ 'named.test': { url: `http://localhost:${origin.host.split(':')[1]!}` } });
  const upstream = upstreams.find('named.test')!;
  await pull({ upstream });
  upstreams.change({});
  t.equal(upstreams.find('named.test'), undefined);
  await pull({ upstream });
  upstreams.closeIdle();
});
