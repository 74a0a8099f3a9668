import { randomUUID } from 'node:crypto';
import t from 'tap';
import { makeImage } from '../support/hostile-registry.ts';
import { errorIn, REGISTRY, Rig, ShiftedClock, type Answer, type AskOptions } from './rig.ts';

const SECRET = makeImage({ seed: 21, layers: [3000, 2_000_000] });
const PUBLIC = makeImage({ seed: 22, layers: [1000] });
const NS = `?ns=${REGISTRY}`;
const BASE = '/v2/org/secret';
const PASSWORD = 'password-of-alice';
const [MANIFEST] = SECRET.manifests as [(typeof SECRET.manifests)[number]];
const PATHS = [
  'manifests/latest',
  `manifests/${MANIFEST.digest}`,
  ...SECRET.layers.map(({ digest }) => `blobs/${digest}`),
];

type Test = Parameters<typeof Rig.start>[0];

/** A registry with a repository that alice may read, and bob not; tokens by its own token service. */
async function start(t: Test): Promise<{ rig: Rig; clock: ShiftedClock }> {
  const clock = new ShiftedClock();
  const rig = await Rig.start(t, { clock });
  const { origin } = rig;
  origin.addImage('org/secret', 'latest', SECRET);
  origin.addImage('org/open', 'latest', PUBLIC);
  origin.auth.mode = 'bearer';
  origin.auth.deny = 'at-registry';
  origin.auth.users.set('alice', PASSWORD).set('bob', 'password-of-bob');
  origin.auth.privateRepositories.add('org/secret');
  origin.auth.readers.set('org/secret', ['alice']);
  return { rig, clock };
}

const basic = (user: string): string => `Basic ${Buffer.from(`${user}:password-of-${user}`).toString('base64')}`;

/** A client that logs in where a challenge says, as containerd, docker and podman do. */
async function login(challenge: string, user: string | undefined, repository = 'org/secret'): Promise<string> {
  const parameter = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(challenge)?.[1] ?? '';
  const url = new URL(parameter('realm'));
  url.searchParams.set('service', parameter('service'));
  url.searchParams.set('scope', parameter('scope') || `repository:${repository}:pull`);
  const headers = user === undefined ? undefined : { authorization: basic(user) };
  const answer = await fetch(url, headers && { headers });
  return `Bearer ${((await answer.json()) as { token: string }).token}`;
}

async function challengeOf(rig: Rig, path = `${BASE}/manifests/latest${NS}`): Promise<string> {
  const answer = await rig.ask(path);
  if (answer.status !== 401) throw new Error(`status ${answer.status} instead of a challenge`);
  return answer.headers['www-authenticate']!;
}

async function pull(rig: Rig, authorization: string | undefined, options: AskOptions = {}): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const path of PATHS) {
    const headers = { ...options.headers, ...(authorization !== undefined && { authorization }) };
    answers.push(await rig.ask(`${BASE}/${path}${NS}`, { ...options, headers }));
  }
  return answers;
}

const statuses = (answers: readonly Answer[]): number[] => answers.map(({ status }) => status);

t.test(
  'I4: who may read at the registry reads here, cold and warm; who may not does neither, knowing every digest',
  async (t) => {
    const { rig } = await start(t);
    const challenge = await challengeOf(rig);
    t.match(challenge, /^Bearer realm="http:\/\/[^"]+\/token",service="hostile",scope="repository:org\/secret:pull"$/);
    const [alice, bob, nobody] = await Promise.all([
      login(challenge, 'alice'),
      login(challenge, 'bob'),
      login(challenge, undefined),
    ]);
    t.same(statuses(await pull(rig, bob)), [401, 401, 401, 401], 'cold');
    for (const round of ['cold', 'warm']) {
      const answers = await pull(rig, alice);
      t.same(statuses(answers), [200, 200, 200, 200], round);
      t.ok(answers[3]!.body.equals(SECRET.layers[1]!.bytes));
      t.match(answers[3]!.headers['cache-control'], /^private/);
    }
    for (const [who, token] of Object.entries({ bob, nobody, forger: 'Bearer made-up', none: undefined })) {
      const answers = await pull(rig, token);
      t.same(statuses(answers), [401, 401, 401, 401], who);
      t.notOk(answers.some(({ body }) => body.includes(SECRET.layers[0]!.bytes)));
      const elsewhere = SECRET.layers.map(({ digest }) => `/v2/org/open/blobs/${digest}${NS}`);
      for (const path of elsewhere) {
        const headers = token === undefined ? {} : { authorization: token };
        t.equal((await rig.ask(path, { headers })).status, 404, `${who}, through a repository that is open`);
      }
    }
    t.match(errorIn((await pull(rig, bob))[0]!), { code: 'UNAUTHORIZED', detail: { code: 'LOGIN_NEEDED' } });
    t.equal((await rig.ask(`${BASE}/manifests/latest${NS}`, { method: 'HEAD' })).status, 401);
    rig.origin.requests.length = 0;
    t.same(statuses(await pull(rig, alice)), [200, 200, 200, 200], "bob's refusals take nothing from alice");
    t.ok(
      rig.origin.requests.every(({ method }) => method === 'HEAD'),
      'nothing is read again',
    );
    for (const secret of [PASSWORD, alice, bob])
      t.notOk(rig.lines.some((line) => line.includes(secret.replace('Bearer ', ''))));
  },
);

t.test('I4: it fails closed: with the registry down only a right that is minutes old counts', async (t) => {
  const { rig, clock } = await start(t);
  const challenge = await challengeOf(rig);
  const [alice, bob] = await Promise.all([login(challenge, 'alice'), login(challenge, 'bob')]);
  t.same(statuses(await pull(rig, alice)), [200, 200, 200, 200]);
  await rig.origin.close();
  const blob = `${BASE}/${PATHS[3]!}${NS}`;
  t.equal((await rig.ask(blob, { headers: { authorization: alice } })).status, 200);
  for (const headers of [{ authorization: bob }, {}]) t.equal((await rig.ask(blob, { headers })).status, 404);
  clock.shift(5 * 60_000);
  t.equal((await rig.ask(blob, { headers: { authorization: alice } })).status, 404, 'never served stale');
});

t.test('what anybody may read is read without the credential, and stays so', async (t) => {
  const { rig } = await start(t);
  const authorization = await login(await challengeOf(rig), 'alice');
  rig.origin.requests.length = 0;
  const path = `/v2/org/open/blobs/${PUBLIC.layers[0]!.digest}${NS}`;
  const answer = await rig.ask(path, { headers: { authorization } });
  t.equal(answer.status, 200);
  t.match(answer.headers['cache-control'], /^public/);
  t.notOk(rig.origin.requests.some(({ headers }) => headers.authorization === authorization));
  await rig.origin.close();
  t.equal((await rig.ask(path)).status, 200);
});

t.test('a client that the registry limits as a stranger is asked for by its own name', async (t) => {
  const { rig } = await start(t);
  const ping = await rig.ask('/v2/', { port: rig.boundPort });
  const authorization = await login(ping.headers['www-authenticate']!, 'alice', 'org/open');
  rig.origin.auth.limitStrangers = true;
  const path = `/v2/org/open/manifests/latest${NS}`;
  t.equal((await rig.ask(path)).status, 404);
  t.equal((await rig.ask(path, { headers: { authorization } })).status, 200);
});

t.test('a password works for a client that sends it, and is never asked for', async (t) => {
  const { rig } = await start(t);
  t.same(statuses(await pull(rig, basic('alice'))), [200, 200, 200, 200]);
  t.same(statuses(await pull(rig, basic('bob'))), [401, 401, 401, 401]);
  const plain = await start(t);
  plain.rig.origin.auth.mode = 'basic';
  t.same(statuses(await pull(plain.rig, undefined)), [404, 404, 404, 404], 'no challenge for a password');
  t.same(statuses(await pull(plain.rig, basic('alice'))), [200, 200, 200, 200]);
  t.equal((await plain.rig.ask('/v2/', { port: plain.rig.boundPort })).status, 200);
  t.notOk(plain.rig.lines.some((line) => line.includes(PASSWORD)));
});

t.test('clients that learn of a login at /v2/ only are told on a listener for one registry', async (t) => {
  const { rig } = await start(t);
  t.equal((await rig.ask('/v2/')).status, 200, 'never on the shared port');
  const ping = await rig.ask('/v2/', { port: rig.boundPort });
  t.equal(ping.status, 401);
  const challenge = ping.headers['www-authenticate']!;
  t.match(challenge, /^Bearer realm="[^"]+\/token",service="hostile"$/);
  const alice = await login(challenge, 'alice');
  const bound = { port: rig.boundPort, headers: { authorization: alice } };
  t.equal((await rig.ask('/v2/', bound)).status, 200);
  t.equal((await rig.ask(`${BASE}/manifests/latest`, bound)).status, 200);
  t.equal(
    (await rig.ask('/v2/docker.io/library/x/manifests/latest')).status,
    404,
    'without ns a client gets by with a 404',
  );
  rig.origin.auth.mode = 'none';
  const { rig: down } = await start(t);
  await down.origin.close();
  t.equal(
    (await down.ask('/v2/', { port: down.boundPort })).status,
    200,
    'a registry that is down does not end what is here',
  );
});

t.test('lists are passed on by the same rule', async (t) => {
  const { rig } = await start(t);
  const path = `${BASE}/tags/list${NS}`;
  const alice = await login(await challengeOf(rig, path), 'alice');
  t.match(JSON.parse((await rig.ask(path, { headers: { authorization: alice } })).body.toString()), {
    tags: ['latest'],
  });
  t.equal((await rig.ask(path, { headers: { authorization: basic('bob') } })).status, 401);
});

t.test('a token that has run out is asked for anew', async (t) => {
  const { rig, clock } = await start(t);
  const challenge = await challengeOf(rig);
  const old = await login(challenge, 'alice');
  t.same(statuses(await pull(rig, old)), [200, 200, 200, 200]);
  rig.origin.auth.revokeTokens();
  clock.shift(5 * 60_000);
  t.equal(await challengeOf(rig, `${BASE}/${PATHS[2]!}${NS}`).then((again) => again === challenge), true);
  t.same(statuses(await pull(rig, old)), [401, 401, 401, 401]);
  t.same(statuses(await pull(rig, await login(challenge, 'alice'))), [200, 200, 200, 200]);
});

t.test('I4: a right that was shown by a token ends with it', async (t) => {
  const { rig, clock } = await start(t);
  const { auth, requests } = rig.origin;
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const expiresIn = async (seconds: number | undefined): Promise<string> => {
    const claims = {
      ...(seconds !== undefined && { exp: Math.floor(clock.now() / 1000) + seconds }),
    };
    auth.makeToken = () => `${part({ alg: 'none' })}.${part({ ...claims, jti: randomUUID() })}.x`;
    return login(await challengeOf(rig), 'alice');
  };
  const asks = async (authorization: string): Promise<number> => {
    const count = () => requests.filter(({ headers }) => headers.authorization === authorization).length;
    const before = count();
    const path = `${BASE}/manifests/${MANIFEST.digest}${NS}`;
    t.equal((await rig.ask(path, { headers: { authorization } })).status, 200);
    return count() - before;
  };
  // Within the minute in which nobody asks again whether everybody may read it.
  for (const [seconds, holds] of [
    [30, true],
    [3600, true],
    [undefined, true],
    [-60, false],
  ] as const) {
    const token = await expiresIn(seconds);
    const what = `a token that is good for ${seconds} s`;
    t.ok((await asks(token)) > 0, `${what}: the registry is asked`);
    clock.shift(20_000);
    t.equal((await asks(token)) === 0, holds, `${what}: ${holds ? 'not ' : ''}asked again while it is good`);
    clock.shift(11_000);
    t.equal((await asks(token)) > 0, seconds === 30 || seconds === -60, `${what}: 31 s later`);
    clock.shift(60_000);
  }
});
