import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { UpstreamSettings } from '../../src/registry/upstreams.ts';
import { MANIFEST_ACCEPT } from '../../src/registry/media-types.ts';
import { makeImage } from '../support/hostile-registry.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { failureOf, KeepingSink, never, openUpstream, type Ends, type Opened } from '../support/registry-client.ts';

const REPO = 'org/app';
const image = makeImage({ seed: 2, layers: [5000] });
const layer = image.layers[0]!.digest;

async function open(
  test: Ends,
  settings: Partial<UpstreamSettings> = {},
  options: Parameters<typeof openUpstream>[2] = {},
) {
  const opened = await openUpstream(test, settings, options);
  opened.origin.addImage(REPO, 'v1', image);
  opened.origin.auth.mode = 'bearer';
  return opened;
}

const head = ({ upstream }: Opened, repository = REPO) =>
  upstream.headManifest(repository, { tag: 'v1' }, MANIFEST_ACCEPT);

async function blob({ upstream }: Opened): Promise<number> {
  const sink = new KeepingSink();
  await upstream.blob(REPO, layer).read({ start: 0 }, sink, never);
  return sink.length;
}

async function file(test: Ends, name: string, text: string): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'hawker-credentials-'));
  test.teardown(() => rm(dir, { recursive: true }));
  await writeFile(join(dir, name), text, { mode: 0o600 });
  return join(dir, name);
}

/** Puts a credential helper `docker-credential-<name>` that runs `script` onto the PATH. */
async function helper(test: Ends, name: string, script: string): Promise<void> {
  const path = await file(test, `docker-credential-${name}`, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o700);
  const before = process.env['PATH'];
  process.env['PATH'] = `${join(path, '..')}:${before}`;
  test.teardown(() => {
    process.env['PATH'] = before;
  });
}

t.test('anonymous: one token a repository, for everything in it', async (t) => {
  const opened = await open(t);
  const { origin } = opened;
  t.equal((await head(opened)).digest, image.index.digest);
  t.equal(await blob(opened), 5000);
  const [token, ...others] = origin.of('token');
  t.strictSame(others, []);
  const query = new URLSearchParams(token!.path.split('?')[1]);
  t.strictSame(
    [...query],
    [
      ['service', 'hostile'],
      ['scope', `repository:${REPO}:pull`],
    ],
  );
  t.equal(token!.headers.authorization, undefined);
  t.strictSame(
    origin.of('manifest').map((r) => r.status),
    [401, 200],
  );
  t.equal(opened.upstream.usesCredentials, false);
});

t.test('many at once share one token', async (t) => {
  const opened = await open(t);
  opened.origin.faults.on = ['token'];
  opened.origin.faults.delayMs = 50;
  await Promise.all([head(opened), head(opened), blob(opened), blob(opened)]);
  t.equal(opened.origin.of('token').length, 1);
});

t.test('a challenge without a scope, an access_token, no expiry', async (t) => {
  const opened = await open(t);
  Object.assign(opened.origin.auth, { challengeScope: false, tokenField: 'access_token', expiresIn: undefined });
  await head(opened);
  t.match(opened.origin.of('token')[0]!.path, /scope=repository%3Aorg%2Fapp%3Apull/);
});

t.test('the scope of the challenge counts, but never for more than pulling', async (t) => {
  const opened = await open(t);
  const { origin } = opened;
  const scope = 'repository:other/name:pull,push registry:catalog:* repository(plugin):p:pull';
  origin.auth.challenges = [`Basic realm="x", Bearer realm="${origin.url}/token?x=1",service="s",scope="${scope}"`];
  await failureOf(head(opened));
  const query = new URLSearchParams(origin.of('token')[0]!.path.split('?')[1]);
  t.strictSame(query.getAll('scope'), ['repository:other/name:pull', 'repository(plugin):p:pull']);
  t.equal(query.get('x'), '1');
});

t.test('gcr.io: the challenge is at /v2/ only', async (t) => {
  const opened = await open(t);
  opened.origin.auth.challengeAtPingOnly = true;
  t.equal(await blob(opened), 5000);
  t.equal(opened.origin.of('ping').length, 1);
});

t.test('a token is renewed at nine tenths of its life, which is a minute at least', async (t) => {
  for (const [expiresIn, usedS] of [
    [undefined, 54],
    [5, 54],
    [600, 540],
  ] as const) {
    const clock = new ManualClock();
    const opened = await open(t, {}, { clock });
    opened.origin.auth.expiresIn = expiresIn;
    await head(opened);
    await clock.advance((usedS - 1) * 1000);
    await head(opened);
    t.equal(opened.origin.of('token').length, 1);
    await clock.advance(2000);
    await head(opened);
    t.equal(opened.origin.of('token').length, 2);
  }
});

t.test('a token that the registry takes no longer is replaced', async (t) => {
  const opened = await open(t);
  await head(opened);
  opened.origin.auth.revokeTokens();
  t.equal(await blob(opened), 5000);
  t.equal(opened.origin.of('token').length, 2);
});

t.test('no from the token endpoint, and no from the registry', async (t) => {
  const opened = await open(t);
  const { origin } = opened;
  origin.auth.privateRepositories.add(REPO);
  t.match(await failureOf(head(opened)), {
    code: 'ORIGIN_DENIED',
    answer: 403,
    final: true,
    message: `registry.test, asking ${origin.host} for a token: status 403, DENIED: requested access is denied`,
  });
  origin.auth.deny = 'at-registry';
  t.match(await failureOf(head(opened)), { code: 'ORIGIN_UNAUTHORIZED', answer: 401, final: true });
  t.equal(origin.of('token').length, 2);
  origin.auth.challenges = [];
  t.match(await failureOf(blob(opened)), { code: 'ORIGIN_UNAUTHORIZED' }, 'no challenge anywhere');
  origin.auth.challenges = ['Negotiate'];
  t.match(await failureOf(blob(opened)), { code: 'ORIGIN_UNAUTHORIZED' }, 'none that is known');
  origin.auth.challenges = ['Basic realm="x"'];
  t.match(await failureOf(blob(opened)), { code: 'ORIGIN_UNAUTHORIZED' }, 'no credential');
});

t.test('a token endpoint that fails: tried again, then said', async (t) => {
  const clock = new ManualClock();
  const opened = await open(t, {}, { clock });
  const { origin } = opened;
  origin.faults.on = ['token'];
  origin.faults.status = { code: 503, times: 1, retryAfter: '0' };
  await head(opened);
  t.equal(origin.of('token').length, 2);
  for (const [body, message] of [
    ['{}', /without a token/],
    ['[]', /without a token/],
    ['no json', /without a token/],
    ['{"token":"a b"}', /without a token/],
    [`{"token":"${'x'.repeat(300_000)}"}`, /more than 262144 bytes/],
  ] as const) {
    origin.auth.revokeTokens();
    origin.faults.status = { code: 200, times: 1, body };
    t.match(await failureOf(head(opened)), { code: 'ORIGIN_BAD_RESPONSE', message }, body.slice(0, 20));
  }
});

t.test('where a token may be asked for', async (t) => {
  const opened = await open(t);
  const { origin } = opened;
  const ports = origin.url.split(':')[2]!;
  for (const realm of [
    'http://token.test/t',
    'https://user:pw@127.0.0.1/t',
    'ftp://127.0.0.1/t',
    'no url',
    `http://localhost:${ports}/token`,
  ]) {
    origin.auth.realm = realm;
    const error = await failureOf(head(opened));
    t.match(error, { code: 'ORIGIN_REALM_REFUSED', final: true, answer: undefined }, realm);
    t.notMatch(error.message, /pw/);
  }
  origin.auth.challenges = ['Bearer service="s"'];
  t.match(await failureOf(head(opened)), { code: 'ORIGIN_REALM_REFUSED' });
  origin.auth.challenges = undefined;
  origin.auth.realm = `${origin.cdnUrl}/token`;
  t.ok(await head(opened), 'a host in allow');
});

t.test('a password file: POST, read again when it changes', async (t) => {
  const passwordFile = await file(t, 'password', 'old password:1\n');
  const opened = await open(t, { username: 'me', passwordFile });
  const { origin } = opened;
  origin.auth.privateRepositories.add(REPO);
  origin.auth.users.set('me', 'old password:1');
  t.ok(opened.upstream.usesCredentials);
  await head(opened);
  t.strictSame(
    origin.of('token').map((r) => r.method),
    ['POST'],
  );
  origin.auth.users.set('me', 'new');
  origin.auth.revokeTokens();
  const error = await failureOf(head(opened));
  t.match(error, { code: 'ORIGIN_UNAUTHORIZED', answer: 401 });
  t.notMatch(error.message, /old password/);
  await writeFile(passwordFile, 'new');
  await head(opened);
  await writeFile(passwordFile, '');
  t.match(await failureOf(head(opened)), { code: 'ORIGIN_CREDENTIALS', final: true, message: /is empty/ });
  await rm(passwordFile);
  t.match(await failureOf(head(opened)), { code: 'ORIGIN_CREDENTIALS', message: /ENOENT/ });
});

t.test('a token endpoint that knows only GET is asked so', async (t) => {
  for (const postStatus of [400, 401, 404, 405]) {
    const opened = await open(t, { username: 'me', passwordFile: await file(t, 'password', 'pw') });
    const { origin } = opened;
    origin.addImage('org/other', 'v1', image);
    origin.auth.users.set('me', 'pw');
    origin.auth.postStatus = postStatus;
    await head(opened);
    await head(opened, 'org/other');
    t.strictSame(
      origin.of('token').map((r) => r.method),
      ['POST', 'GET', 'GET'],
      String(postStatus),
    );
    t.match(origin.of('token')[1]!.headers.authorization, /^Basic /);
  }
});

t.test('Basic, sent to the registry alone', async (t) => {
  const opened = await open(t, { username: 'AWS', passwordFile: await file(t, 'password', 'pw') });
  const { origin } = opened;
  origin.auth.mode = 'basic';
  origin.auth.users.set('AWS', 'pw');
  origin.redirectBlobs = { status: 307 };
  t.equal(await blob(opened), 5000);
  await head(opened);
  t.strictSame(
    origin.of('blob').map((r) => r.status),
    [401, 307],
  );
  t.strictSame(
    origin.of('manifest').map((r) => r.status),
    [200],
    'what is known is sent at once',
  );
  t.equal(origin.of('cdn')[0]!.headers.authorization, undefined);
  origin.auth.users.set('AWS', 'other');
  t.match(await failureOf(head(opened)), { code: 'ORIGIN_UNAUTHORIZED' });
});

t.test('a helper whose password has expired is asked again', async (t) => {
  const counter = await file(t, 'count', '');
  await helper(
    t,
    'hawker-ecr',
    `read server; echo x >> ${counter}; n=$(wc -l < ${counter}); echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"AWS\\",\\"Secret\\":\\"pw$n\\"}"`,
  );
  for (const expired of [401, 403]) {
    await writeFile(counter, '');
    const opened = await open(t, { credentialHelper: 'hawker-ecr' });
    const { origin } = opened;
    origin.auth.mode = 'basic';
    origin.auth.expiredStatus = expired as 401 | 403;
    origin.auth.users.set('AWS', 'pw1');
    await head(opened);
    await blob(opened);
    origin.auth.users.set('AWS', 'pw2');
    t.equal(await blob(opened), 5000, 'pw2 is got');
    t.match(await failureOf(opened.upstream.blob('org/none', layer).read({ start: 0 }, new KeepingSink(), never)), {
      code: 'ORIGIN_NOT_FOUND',
    });
  }
});

t.test('an expired credential at a token endpoint is renewed too', async (t) => {
  const counter = await file(t, 'count', '');
  await helper(
    t,
    'hawker-tok',
    `echo x >> ${counter}; n=$(wc -l < ${counter}); echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"pw$n\\"}"`,
  );
  const opened = await open(t, { credentialHelper: 'hawker-tok' });
  opened.origin.auth.users.set('u', 'pw2');
  await head(opened);
  opened.origin.auth.users.set('u', 'never');
  opened.origin.auth.revokeTokens();
  t.match(await failureOf(head(opened)), { code: 'ORIGIN_UNAUTHORIZED' });
});

t.test('a docker config: passwords, identity tokens, helpers', async (t) => {
  const auth = Buffer.from('me:p:w').toString('base64');
  const config = await file(t, 'config.json', JSON.stringify({ auths: { 'registry.test': { auth } } }));
  const opened = await open(t, { dockerConfig: config });
  const { origin } = opened;
  origin.auth.privateRepositories.add(REPO);
  origin.auth.users.set('me', 'p:w');
  await head(opened);
  origin.auth.refreshTokens.set('refresh-secret', 'me');
  await writeFile(
    config,
    JSON.stringify({ auths: { 'https://registry.test/v2/': { identitytoken: 'refresh-secret' } } }),
  );
  await head(opened);
  origin.auth.postStatus = 404;
  origin.auth.revokeTokens();
  t.match(await failureOf(head(opened)), { code: 'ORIGIN_NOT_FOUND' }, 'an identity token has no other way');
  origin.auth.postStatus = undefined;
  await helper(t, 'hawker-id', 'echo \'{"Username":"<token>","Secret":"refresh-secret"}\'');
  await writeFile(config, JSON.stringify({ credsStore: 'hawker-id' }));
  await head(opened);
  await writeFile(config, '{"auths":{}}');
  t.match(await failureOf(head(opened)), { code: 'ORIGIN_DENIED' }, 'nothing there: anonymous');
  await writeFile(config, '{"auths":');
  t.match(await failureOf(head(opened)), { code: 'ORIGIN_CREDENTIALS', message: /not JSON/ });
  await writeFile(config, JSON.stringify({ credHelpers: { 'registry.test': 'hawker-absent' } }));
  t.match(await failureOf(head(opened)), { code: 'ORIGIN_CREDENTIALS', message: /docker-credential-hawker-absent/ });
});

t.test('an identity token opens no Basic registry', async (t) => {
  const config = await file(t, 'config.json', JSON.stringify({ auths: { 'registry.test': { identitytoken: 'x' } } }));
  const opened = await open(t, { dockerConfig: config });
  opened.origin.auth.mode = 'basic';
  t.match(await failureOf(head(opened)), { code: 'ORIGIN_UNAUTHORIZED' });
});

t.test('one asker that leaves does not take the token from the others', async (t) => {
  const opened = await open(t);
  opened.origin.faults.on = ['token'];
  opened.origin.faults.delayMs = 100;
  const abort = new AbortController();
  const reason = new Error('gone');
  const gone = failureOf(opened.upstream.headManifest(REPO, { tag: 'v1' }, MANIFEST_ACCEPT, abort.signal));
  const stays = head(opened);
  await opened.origin.until(() => opened.origin.of('token').length > 0);
  abort.abort(reason);
  t.equal(await gone, reason);
  t.ok(await stays);
  t.equal(opened.origin.of('token').length, 1);
  t.equal(await failureOf(opened.upstream.confirmBlob(REPO, layer, abort.signal)), reason);
});

t.test('pass-through: what a request needs is found out by a ping', async (t) => {
  const opened = await open(t);
  const { origin, upstream } = opened;
  const way = await upstream.passThrough(REPO);
  t.equal(way.target.href, `${origin.url}/`);
  t.match(way.headers['authorization'], /^Bearer /);
  const again = await upstream.passThrough(REPO);
  t.strictSame(again.headers, way.headers);
  t.equal(origin.of('ping').length, 1);
  const anonymous = await open(t);
  anonymous.origin.auth.mode = 'none';
  t.strictSame((await anonymous.upstream.passThrough(REPO)).headers, {});
  t.strictSame((await anonymous.upstream.passThrough(REPO)).headers, {});
  t.equal(anonymous.origin.of('ping').length, 1);
  const basic = await open(t, { username: 'u', passwordFile: await file(t, 'password', 'pw') });
  basic.origin.auth.mode = 'basic';
  t.strictSame((await basic.upstream.passThrough(REPO)).headers, { authorization: `Basic ${btoa('u:pw')}` });
});

t.test('no secret is in any error', async (t) => {
  const secret = 'hunter2-secret';
  const echo = createServer((req, res) => {
    // The worst that an origin can do: say back everything that it was sent.
    const body = JSON.stringify({ errors: [{ code: 'DENIED', message: `${req.url} ${req.headers.authorization}` }] });
    if (req.url?.startsWith('/token')) res.writeHead(200).end(JSON.stringify({ token: `t.${secret}` }));
    else if (req.headers.authorization) res.writeHead(403, { 'content-type': 'application/json' }).end(body);
    else
      res.writeHead(401, { 'www-authenticate': `Bearer realm="http://${req.headers.host}/token?k=${secret}"` }).end();
  });
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  t.teardown(() => echo.close());
  const url = `http://127.0.0.1:${(echo.address() as AddressInfo).port}`;
  const opened = await open(t, { url, username: 'u', passwordFile: await file(t, 'password', secret) });
  const error = await failureOf(head(opened));
  t.match(error, { code: 'ORIGIN_DENIED' });
  t.notMatch(JSON.stringify([error.message, error]), secret);
  await opened.upstreams.close();
});

t.test('what a helper gave is asked for anew when the configuration is read again', async (t) => {
  const calls = await file(t, 'calls', '');
  await helper(t, 'hawker-fresh', `echo >> ${calls}; echo '{"Username":"u","Secret":"one"}'`);
  const asked = async () => (await readFile(calls, 'utf8')).length;
  const opened = await open(t, { credentialHelper: 'hawker-fresh' });
  const { origin, upstream } = opened;
  origin.auth.privateRepositories.add(REPO);
  origin.auth.users.set('u', 'one');
  await head(opened);
  origin.auth.revokeTokens();
  await head(opened);
  t.equal(await asked(), 1, 'its answer is kept');
  upstream.forgetCredential();
  await head(opened);
  t.equal(await asked(), 2);
});
