import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readSecretFile } from '../../src/app/join-secret.ts';
import { defaultSecretPaths, findOrMakeSecret } from '../../src/cli/join-secret.ts';
import { runCommand } from '../support/cli.ts';

const run = (argv: string[], home: string) =>
  runCommand(['token', ...argv], { account: { root: false, home }, directory: home });

const modeOf = (path: string) => statSync(path).mode & 0o777;

t.test('makes the secret once, for its owner alone, and shows how a node joins', async (t) => {
  const home = t.testdir({});
  const path = join(home, '.config/hawker/join-secret');
  const first = await run([], home);
  t.same([first.status, first.err], [0, '']);
  t.match(first.out, `Made a join secret: ${path}\n`);
  t.match(
    first.out,
    /hawker proxy --supernodes http:\/\/\S+:6789 --peer-listen 0\.0\.0\.0:65002 --cluster-secret-file \//,
  );
  t.match(first.out, /hawker supernode --supernode-listen 0\.0\.0\.0:6789 --cluster-secret-file/);
  t.same([modeOf(path), modeOf(join(home, '.config/hawker'))], [0o600, 0o700]);
  const { first: secret } = await readSecretFile(path);
  t.match(secret, /^[\w-]{43}$/);
  t.notMatch(first.out, secret, 'not shown unless asked for');
  const second = await run([], home);
  t.match(second.out, `The join secret is in ${path}\n`);
  t.equal(readFileSync(path, 'utf8'), `${secret}\n`, 'never overwritten');
  t.equal((await run(['--show'], home)).out, `${secret}\n`, 'alone, to be piped');
  const json = JSON.parse((await run(['--json'], home)).out) as object;
  t.match(json, { secretFile: path, made: false, join: /^hawker proxy / });
  t.notOk('secret' in json);
  t.match(JSON.parse((await run(['--json', '--show'], home)).out), { secret });
  t.same(readdirSync(join(home, '.config/hawker')), ['join-secret'], 'nothing is left beside it');
});

t.test('the configured file, or the one of the flag', async (t) => {
  const home = t.testdir({
    'h.yaml': 'cluster: {secretFile: s1}\nsupernode: {listen: "10.0.0.5:7000"}',
    'six.yaml': 'cluster: {secretFile: s1}\nsupernode: {listen: "[fd00::5]:7000"}',
  });
  const configured = await run(['--config', 'h.yaml'], home);
  t.match(configured.out, join(home, 's1'));
  t.match(configured.out, '--supernodes http://10.0.0.5:7000 ');
  t.notMatch(configured.out, /for this machine only/);
  const six = await run(['--config', 'six.yaml'], home);
  t.match(six.out, '--supernodes http://[fd00::5]:7000 --peer-listen [::]:65002 ');
  t.match((await run(['--config', 'h.yaml', '--secret-file', "it's"], home)).out, String.raw`/it'\''s'`);
  t.ok(existsSync(join(home, "it's")));
});

t.test('a file that is no secret is said to be none, and left alone', async (t) => {
  const home = t.testdir({ short: 'x\n' });
  chmodSync(join(home, 'short'), 0o600);
  const { status, err } = await run(['--secret-file', 'short'], home);
  t.equal(status, 1);
  t.match(err, /^hawker: SECRET_UNUSABLE: .*less than 32 characters.*\n$/);
  t.equal(readFileSync(join(home, 'short'), 'utf8'), 'x\n');
  const under = await run(['--secret-file', 'short/s'], home);
  t.equal(under.status, 1);
  t.match(under.err, /^hawker: SECRET_NOT_MADE: .*short\/s: .*--secret-file FILE\n$/);
});

t.test('where it is by default', async (t) => {
  const root = { root: true, home: '/root' };
  t.same(defaultSecretPaths(root, undefined), ['/etc/hawker/join-secret', '/root/.config/hawker/join-secret']);
  t.same(defaultSecretPaths({ root: false, home: '/home/me' }, '/x'), ['/x/hawker/join-secret']);
  t.same(defaultSecretPaths({ root: false, home: '/home/me' }, 'x'), ['/home/me/.config/hawker/join-secret']);
});

t.test('the next place where the first is not for this user; what is there goes before what can be made', async (t) => {
  const own = join(t.testdir({}), 'own');
  // Nobody may make a directory there, root neither.
  const closed = '/sys/hawker/join-secret';
  t.same(await findOrMakeSecret([closed, own]), { path: own, made: true });
  t.same(await findOrMakeSecret([join(own, '../other'), own]), { path: own, made: false });
  await t.rejects(findOrMakeSecret([closed]), { code: 'SECRET_NOT_MADE' });
  writeFileSync(join(own, '../file'), '');
  await t.rejects(findOrMakeSecret([join(own, '../file/x'), join(own, '../y')]), { code: 'SECRET_NOT_MADE' });
});

t.test('many at once: one makes it, all have the same', async (t) => {
  const path = join(t.testdir({}), 'd/secret');
  const results = await Promise.all(Array.from({ length: 8 }, () => findOrMakeSecret([path])));
  t.equal(results.filter(({ made }) => made).length, 1);
  await readSecretFile(path);
});

t.test("the operator's token has a file of its own", async (t) => {
  const home = t.testdir({ 'h.yaml': 'cluster: {operatorTokenFile: mine}' });
  const path = join(home, '.config/hawker/operator-token');
  const { status, out } = await run(['--operator'], home);
  t.equal(status, 0);
  t.match(out, `Made an operator token: ${path}\n`);
  t.match(out, `--cluster-operator-token-file ${path}`);
  t.equal(modeOf(path), 0o600);
  const { first: token } = await readSecretFile(path);
  t.notMatch(out, token);
  t.equal((await run(['--operator', '--show'], home)).out, `${token}\n`);
  t.match(JSON.parse((await run(['--operator', '--json'], home)).out), { operatorTokenFile: path, made: false });
  const named = (await run(['--operator', '--config', 'h.yaml'], home)).out;
  t.match(named, join(home, 'mine'));
  t.notMatch(named, '--cluster-operator-token-file', 'the settings name it');
  t.ok(existsSync(join(home, 'mine')));
  t.notOk(existsSync(join(home, '.config/hawker/join-secret')));
});

t.test('where the cluster speaks TLS the hints do too', async (t) => {
  const home = t.testdir({
    'h.yaml': 'cluster: {secretFile: s, operatorTokenFile: o, tls: {cert: a.crt, key: a.key, ca: ca.crt}}',
  });
  const { out } = await run(['--config', 'h.yaml'], home);
  t.match(out, /hawker proxy --supernodes https:\/\/\S+:6789 .*--cluster-tls-cert ITS_CERT .*--cluster-tls-ca CA\n/);
  t.match(out, 'docs/tls.md');
  t.match(
    (await run(['--config', 'h.yaml', '--operator'], home)).out,
    /curl --cacert \S+ca\.crt -H .* https:\/\/SUPERNODE/,
  );
});
