import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import t from 'tap';
import type { RuleSettings } from '../../src/proxy/access-rules.ts';
import { readMirrorTls } from '../../src/proxy/mirror-tls.ts';
import { parseUsers } from '../../src/proxy/users.ts';
import { cheapHash } from '../support/cheap-hash.ts';
import { ALICE_TLS, CLIENT_CA, NAMELESS_TLS } from '../support/client-certificates.ts';
import { makeImage } from '../support/hostile-registry.ts';
import { EXPIRED_TLS, TEST_TLS } from '../support/registry-tls.ts';
import { whenClosed } from '../support/when-closed.ts';
import { errorIn, REGISTRY, Rig, type Answer, type RigOptions } from './rig.ts';

const SECRET = makeImage({ seed: 31, layers: [3000] });
const OPEN = makeImage({ seed: 32, layers: [1000] });
const [MANIFEST] = SECRET.manifests as [(typeof SECRET.manifests)[number]];
const PATHS = [
  'manifests/latest',
  `manifests/${MANIFEST.digest}`,
  `blobs/${SECRET.layers[0]!.digest}`,
  'tags/list',
  `referrers/${MANIFEST.digest}`,
];
const NS = `?ns=${REGISTRY}`;
/** Clients of these tests come from loopback; with this they are strangers there as well. */
const NOBODY: RuleSettings = { users: ['loopback'], repositories: [] };
const ALICE: RuleSettings = { users: ['alice'], repositories: [`${REGISTRY}/team/*`] };
const PASSWORDS = { alice: 'alices-mirror-password', bob: 'bobs-mirror-password' };
const USERS = parseUsers(`alice:${cheapHash(PASSWORDS.alice)}\nbob:${cheapHash(PASSWORDS.bob)}\n`, 'users');
const basic = (name: string, password: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
});
const AS_ALICE = basic('alice', PASSWORDS.alice);
const AS_BOB = basic('bob', PASSWORDS.bob);

type Test = Parameters<typeof Rig.start>[0];

/** A directory of its own: one test may need several. */
function folder(t: Test, files: Record<string, string>): string {
  const dir = mkdtempSync(join(tmpdir(), 'hawker-logins-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text, { mode: 0o600 });
  return dir;
}

/** A registry that opens to one password, which the mirror has; repositories `team/app` and `other/app` hold the same image. */
async function start(t: Test, options: RigOptions = {}): Promise<Rig> {
  const dir = folder(t, { password: 'password-at-the-origin' });
  const rig = await Rig.start(t, {
    users: USERS,
    rules: [NOBODY, ALICE],
    upstream: { username: 'robot', passwordFile: join(dir, 'password') },
    refsDir: dir,
    ...options,
  });
  const { origin } = rig;
  for (const repository of ['team/app', 'other/app']) origin.addImage(repository, 'latest', SECRET);
  origin.auth.mode = 'basic';
  origin.auth.users.set('robot', 'password-at-the-origin');
  return rig;
}

async function pull(
  rig: Rig,
  headers: Record<string, string> = {},
  repository = 'team/app',
  port = rig.port,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const path of PATHS) {
    for (const method of ['HEAD', 'GET']) {
      answers.push(await rig.ask(`/v2/${repository}/${path}${NS}`, { method, headers, port }));
    }
  }
  return answers;
}

const statusesIn = (answers: readonly Answer[]): number[] => [...new Set(answers.map(({ status }) => status))];

t.test(
  'I4: the configured credential reads for whom a rule names, and for nobody else, cold, warm and with the origin down',
  async (t) => {
    const rig = await start(t);
    const strangers = {
      'a stranger': {},
      bob: AS_BOB,
      'a wrong password': basic('alice', 'guess'),
      'an unknown name': basic('mallory', PASSWORDS.alice),
      'a forged token': { authorization: 'Bearer forged' },
      'an empty login': basic('', ''),
      'a Basic of nothing': { authorization: 'Basic' },
    };
    for (const [who, headers] of Object.entries(strangers))
      t.same(statusesIn(await pull(rig, headers)), [404], `${who}, cold`);
    t.same(statusesIn((await pull(rig, AS_ALICE)).slice(0, 8)), [200], 'alice, cold');
    t.same(statusesIn((await pull(rig, AS_ALICE)).slice(0, 8)), [200], 'alice, warm');
    for (const [who, headers] of Object.entries(strangers)) {
      const answers = await pull(rig, headers);
      t.same(statusesIn(answers), [404], `${who}, warm`);
      t.notOk(answers.some(({ body }) => body.includes(SECRET.layers[0]!.bytes) || body.includes(MANIFEST.bytes)));
    }
    t.same(statusesIn(await pull(rig, AS_ALICE, 'other/app')), [404], 'where no rule lets her, the same bytes');
    await rig.origin.close();
    t.equal(
      (await rig.ask(`/v2/team/app/${PATHS[2]!}${NS}`, { headers: AS_ALICE })).status,
      200,
      'alice, within minutes',
    );
    for (const [who, headers] of Object.entries(strangers))
      t.same(statusesIn(await pull(rig, headers)), [404], `${who}, with the origin down`);
    for (const secret of [...Object.values(PASSWORDS), AS_ALICE['authorization']!.slice(6), 'password-at-the-origin'])
      t.notOk(
        rig.lines.some((line) => line.includes(secret)),
        'no secret in the log',
      );
  },
);

t.test('what the errors say, and to whom', async (t) => {
  const rig = await start(t);
  const blob = `/v2/team/app/${PATHS[2]!}${NS}`;
  const errorFor = async (headers: Record<string, string>) => errorIn(await rig.ask(blob, { headers }));
  t.match(await errorFor(AS_BOB), {
    code: 'DENIED',
    detail: { code: 'RULE_MISSING', seen: /bob read origin\.test\/team\/app/ },
  });
  t.match(await errorFor({}), { detail: { code: 'RULE_MISSING', seen: /clients on this machine/ } });
  const wrong = await errorFor(basic('alice', 'x'));
  t.match(wrong, { code: 'DENIED', detail: { code: 'LOGIN_REFUSED' } });
  t.same(await errorFor(basic('mallory', 'x')), wrong, 'the same for a name that is not there');
});

t.test('a login at the mirror goes to no registry, and neither does any other Basic', async (t) => {
  const rig = await start(t, { upstream: {} });
  const { origin } = rig;
  origin.auth.users.set('robot', 'password-at-the-origin').set('alice', PASSWORDS.alice);
  for (const headers of [AS_ALICE, AS_BOB, basic('robot', 'password-at-the-origin')]) {
    for (const port of [rig.port, rig.boundPort, rig.loginPort])
      t.same(statusesIn(await pull(rig, headers, 'team/app', port)), [404]);
  }
  t.ok(origin.requests.length > 0);
  t.same([...new Set(origin.requests.map(({ headers }) => headers.authorization))], [undefined]);
});

t.test('without users of its own a Basic is for the registry, as before', async (t) => {
  const rig = await start(t, { upstream: {}, users: undefined as never });
  t.same(statusesIn((await pull(rig, basic('robot', 'password-at-the-origin'))).slice(0, 6)), [200]);
});

t.test('who has logged in, and no rule, reads what anybody may read', async (t) => {
  const rig = await start(t, { upstream: {} });
  rig.origin.auth.mode = 'none';
  rig.origin.addImage('org/open', 'latest', OPEN);
  for (const headers of [{}, AS_ALICE, AS_BOB, basic('', '')])
    t.equal((await rig.ask(`/v2/org/open/manifests/latest${NS}`, { headers })).status, 200);
});

t.test('a listener with login asks at /v2/, and nowhere else; others never do', async (t) => {
  const rig = await start(t);
  const base = (headers: Record<string, string>, port: number) => rig.ask('/v2/', { headers, port });
  const asked = await base({}, rig.loginPort);
  t.match(asked, { status: 401, headers: { 'www-authenticate': 'Basic realm="Hawker", charset="UTF-8"' } });
  t.match(errorIn(asked), { code: 'UNAUTHORIZED', detail: { code: 'MIRROR_LOGIN_NEEDED' } });
  t.equal((await base(AS_BOB, rig.loginPort)).status, 200, 'podman login');
  for (const headers of [basic('bob', 'x'), basic('', '')]) t.equal((await base(headers, rig.loginPort)).status, 401);
  for (const port of [rig.port, rig.boundPort, rig.plainPort]) {
    t.equal((await base({}, port)).status, 200, 'docker would send Docker Hub’s password');
    t.equal((await base(AS_ALICE, port)).status, 200);
  }
  const answers = await pull(rig, {}, 'team/app', rig.loginPort);
  t.same(statusesIn(answers), [404], 'containerd would send what it has for the registry');
  t.same(statusesIn((await pull(rig, AS_ALICE, 'team/app', rig.loginPort)).slice(0, 8)), [200]);
});

t.test('rules and users are taken up while it runs', async (t) => {
  const rig = await start(t);
  const blob = `/v2/team/app/${PATHS[2]!}${NS}`;
  const statusFor = async (headers: Record<string, string>) => (await rig.ask(blob, { headers })).status;
  t.same([await statusFor(AS_ALICE), await statusFor(AS_BOB)], [200, 404]);
  rig.rules.replace([NOBODY, { users: ['bob'], repositories: ['**'] }]);
  t.same(
    [await statusFor(AS_ALICE), await statusFor(AS_BOB)],
    [404, 200],
    'the blob is in the store, and the right minutes old',
  );
  rig.logins!.replace(new Map());
  t.same([await statusFor(AS_ALICE), await statusFor(AS_BOB)], [404, 404]);
});

t.test('I4: what a credential has read is nobody’s when the credential is taken away', async (t) => {
  const rig = await start(t, { rules: [] });
  t.same(statusesIn((await pull(rig)).slice(0, 6)), [200], 'a client on this machine');
  rig.changeUpstream({});
  t.same(statusesIn(await pull(rig)), [404], 'though the right is minutes old, and all of it is in the store');
});

interface TlsAnswer {
  readonly status: number;
  readonly certificate: string;
}

/** Over a connection of its own. */
async function askTls(rig: Rig, path: string, certificate: { cert?: string; key?: string } = {}): Promise<TlsAnswer> {
  const request = httpsRequest({
    host: '127.0.0.1',
    port: rig.port,
    path,
    ca: TEST_TLS.cert,
    rejectUnauthorized: false,
    agent: false,
    ...certificate,
  });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const subject = (response.socket as TLSSocket).getPeerCertificate().subject.CN;
  response.resume();
  await once(response, 'close');
  return { status: response.statusCode!, certificate: String(subject) };
}

async function tlsFiles(t: Test, more: Record<string, string> = {}) {
  const dir = folder(t, { cert: TEST_TLS.cert, key: TEST_TLS.key, ca: CLIENT_CA, ...more });
  return { cert: join(dir, 'cert'), key: join(dir, 'key'), clientCa: join(dir, 'ca') };
}

t.test('TLS: a client is whom its certificate names, where the right authority has signed it', async (t) => {
  const rig = await start(t, { tls: await readMirrorTls(await tlsFiles(t)) });
  const blob = `/v2/team/app/${PATHS[2]!}${NS}`;
  t.equal((await askTls(rig, blob, ALICE_TLS)).status, 200);
  t.equal((await askTls(rig, blob)).status, 404, 'without a certificate');
  t.equal((await askTls(rig, blob, TEST_TLS)).status, 404, 'of another authority');
  t.equal((await askTls(rig, blob, NAMELESS_TLS)).status, 404, 'with a name that is no user’s');
  t.equal(rig.lines.filter((line) => line.includes('CLIENT_CERTIFICATE_IGNORED')).length, 2);
  t.equal((await askTls(rig, '/v2/')).status, 200, 'everybody is let in');
  t.equal(
    (await rig.ask(blob, { port: rig.plainPort, headers: AS_ALICE })).status,
    200,
    'and one listener speaks plain HTTP',
  );
  const socket = connectTcp({ host: '127.0.0.1', port: rig.port });
  socket.write('GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  socket.resume();
  await whenClosed(socket);
  t.pass('plain HTTP gets no answer there, and no connection that stays');
});

t.test(
  'TLS: a renewed certificate and other authorities count at once, also for connections that are open',
  async (t) => {
    const files = await tlsFiles(t);
    const rig = await start(t, { tls: await readMirrorTls(files) });
    const blob = `/v2/team/app/${PATHS[2]!}${NS}`;
    const open = connectTls({ host: '127.0.0.1', port: rig.port, rejectUnauthorized: false, ...ALICE_TLS });
    await once(open, 'secureConnect');
    const ask = async (): Promise<string> => {
      open.write(`HEAD ${blob} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
      const [head] = (await once(open, 'data')) as [Buffer];
      return head.toString().slice(9, 12);
    };
    t.equal(await ask(), '200');
    t.match(await askTls(rig, blob, ALICE_TLS), { status: 200, certificate: 'hostile registry' });
    const other = folder(t, { cert: EXPIRED_TLS.cert, key: EXPIRED_TLS.key, ca: TEST_TLS.cert });
    // Not idle, for a request has begun on it.
    const begun = connectTls({ host: '127.0.0.1', port: rig.port, rejectUnauthorized: false, ...ALICE_TLS });
    await once(begun, 'secureConnect');
    begun.write(`HEAD ${blob} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nHEAD ${blob} HTTP/1.1\r\n`);
    const [head] = (await once(begun, 'data')) as [Buffer];
    t.match(head.toString(), /^HTTP\/1\.1 200 /);
    const closed = once(open, 'close');
    open.resume();
    rig.mirror.secure(
      await readMirrorTls({ cert: join(other, 'cert'), key: join(other, 'key'), clientCa: join(other, 'ca') }),
    );
    t.match(await askTls(rig, blob, ALICE_TLS), { status: 404, certificate: 'doctor' });
    begun.write('Host: 127.0.0.1\r\n\r\n');
    const [later] = (await once(begun, 'data')) as [Buffer];
    t.match(later.toString(), /^HTTP\/1\.1 404 /, 'what was shown on it before the change counts no more');
    begun.destroy();
    await closed;
    t.pass('an idle connection of hers has ended');
  },
);

t.test('TLS: files that cannot be used', async (t) => {
  const files = await tlsFiles(t, { junk: 'x', other: EXPIRED_TLS.key });
  const bad = [
    [{ ...files, cert: `${files.cert}-none` }, /cert is \S+, which cannot be read \(ENOENT\)/],
    [{ ...files, key: files.key.replace(/key$/, 'other') }, /proxy\.tls: .*mismatch/],
    [{ ...files, key: files.key.replace(/key$/, 'junk') }, /proxy\.tls: /],
    [{ ...files, clientCa: files.key.replace(/key$/, 'junk') }, /clientCa holds no certificate/],
  ] as const;
  for (const [one, message] of bad) await t.rejects(readMirrorTls(one), { code: 'MIRROR_TLS_UNUSABLE', message });
});
