import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { askCredentialHelper, HelperFailed } from '../../src/registry/credential-helper.ts';
import { credentialId } from '../../src/registry/credentials.ts';
import { findInDockerConfig, serverOf } from '../../src/registry/docker-config.ts';

const HUB = 'https://index.docker.io/v1/';
const auth = Buffer.from('me:pass:word').toString('base64');
const found = { kind: 'password', username: 'me', password: 'pass:word' } as const;

t.test('docker config files', async (t) => {
  const cases: [object, string, unknown][] = [
    [{ auths: { [HUB]: { auth } } }, 'docker.io', found],
    [{ auths: { 'registry-1.docker.io': { auth } } }, 'docker.io', found],
    [{ auths: { 'https://R.test:5000/v2/': { auth } } }, 'r.test:5000', found],
    [{ auths: { 'r.test': { username: 'me', password: 'pass:word' } } }, 'r.test', found],
    [{ auths: { 'r.test': { auth, identitytoken: 'tok' } } }, 'r.test', { kind: 'identity', token: 'tok' }],
    [{ auths: { 'r.test': { auth } } }, 'other.test', undefined],
    [{ auths: { 'r.test': {} } }, 'r.test', undefined],
    [{}, 'r.test', undefined],
    [
      { credsStore: 'desktop', auths: { 'r.test': { auth } } },
      'r.test',
      { kind: 'helper', name: 'desktop', server: 'r.test' },
    ],
    [{ credsStore: '', auths: { 'r.test': { auth } } }, 'r.test', found],
    [
      { credsStore: 'desktop', credHelpers: { 'docker.io': 'pass' } },
      'docker.io',
      { kind: 'helper', name: 'pass', server: HUB },
    ],
  ];
  for (const [config, host, expected] of cases)
    t.strictSame(findInDockerConfig(JSON.stringify(config), host), expected);
  for (const text of ['', '[]', '{"auths":{"r.test":{"auth":"bm9jb2xvbg=="}}}']) {
    t.throws(() => findInDockerConfig(text, 'r.test'), SyntaxError);
  }
  t.equal(serverOf('ghcr.io'), 'ghcr.io');
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      try {
        findInDockerConfig(text, 'r.test');
        return true;
      } catch (error) {
        return error instanceof SyntaxError;
      }
    }),
  );
});

t.test('a password of any kind survives', async () => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[^:\u0000]{0,20}$/u),
      fc.string({ unit: 'grapheme' }).filter((p) => !p.includes('\u0000')),
      (user, password) => {
        const config = { auths: { 'r.test': { auth: Buffer.from(`${user}:${password}`).toString('base64') } } };
        const entry = findInDockerConfig(JSON.stringify(config), 'r.test');
        if (user === '' && password === '') return true;
        return entry?.kind === 'password' && entry.username === user && entry.password === password;
      },
    ),
  );
});

t.test('credential helpers', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'hawker-helper-'));
  const before = process.env['PATH'];
  process.env['PATH'] = `${dir}:${before}`;
  t.teardown(async () => {
    process.env['PATH'] = before;
    await rm(dir, { recursive: true });
  });
  const ask = async (script: string, timeoutMs?: number) => {
    await writeFile(join(dir, 'docker-credential-x'), `#!/bin/sh\n${script}\n`);
    await chmod(join(dir, 'docker-credential-x'), 0o700);
    return askCredentialHelper('x', 'r.test', timeoutMs);
  };
  t.strictSame(await ask('read s; test "$1" = get && echo "{\\"Username\\":\\"u-$s\\",\\"Secret\\":\\"s\\"}"'), {
    username: 'u-r.test',
    secret: 's',
  });
  t.equal(await ask('echo credentials not found in native keychain; exit 1'), undefined);
  for (const [script, message] of [
    ['echo secret-hunter2; exit 3', /status 3/],
    ['echo secret-hunter2', /no credential/],
    ['echo \'{"Username":"secret-hunter2"}\'', /no credential/],
    ['yes secret-hunter2 | head -c 100000', /more than 65536 bytes/],
    ['kill -9 $$', /status -1/],
  ] as const) {
    const error = await ask(script).catch((e: unknown) => e as Error);
    t.ok(error instanceof HelperFailed);
    t.match(error, { message });
    t.notMatch((error as Error).message, /hunter2/);
  }
  await t.rejects(ask('exec sleep 30', 100), { message: 'it did not answer within 100 ms' });
  await t.rejects(askCredentialHelper('absent', 'r.test'), { message: 'it could not be run' });
  for (const name of ['../x', 'x y', '', '-x', 'x;y']) await t.rejects(askCredentialHelper(name, 'r.test'), /its name/);
});

t.test('a credential is named in keys without being given away', async (t) => {
  const id = credentialId({ kind: 'password', username: 'me', password: 'hunter2' });
  t.notMatch(id, /hunter2|me:/);
  t.not(id, credentialId({ kind: 'password', username: 'me', password: 'hunter3' }));
  t.equal(credentialId(undefined), 'anonymous');
});
