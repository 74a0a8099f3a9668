import { join } from 'node:path';
import { chmodSync, readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { lookAtConfig } from '../../src/doctor/config-check.ts';
import { of } from '../support/doctor-rig.ts';
import { TestCa } from '../support/test-ca.ts';

const SECRET = 's'.repeat(40);

function look(
  t: Test,
  yaml: string | undefined,
  files: Record<string, string> = {},
  flags: Record<string, string> = {},
) {
  const directory = t.testdir({ ...files, ...(yaml !== undefined && { 'h.yaml': yaml }) });
  for (const name of Object.keys(files)) chmodSync(join(directory, name), name.endsWith('-open') ? 0o644 : 0o600);
  const file = yaml === undefined ? undefined : 'h.yaml';
  return lookAtConfig({ file, flags, environment: {}, account: { root: false, home: '/home/me' }, directory });
}

t.test('a good configuration, or none', async (t) => {
  const { findings, config } = await look(t, undefined);
  t.match(findings, [
    { code: 'CONFIG', status: 'ok', title: /no file/ },
    { code: 'JOIN_SECRET', status: 'ok' },
  ]);
  t.ok(config);
  const secret = await look(t, 'cluster: {secretFile: secret}', { secret: SECRET });
  t.match(of(secret.findings, 'JOIN_SECRET'), { status: 'ok', seen: /by its owner only/ });
});

t.test('what is wrong in it is a finding, not the end', async (t) => {
  const bad: [string, string, RegExp][] = [
    ['proxxy: {}', 'CONFIG_UNKNOWN_KEY', /h\.yaml:1/],
    ['store: {quota: lots}', 'CONFIG_INVALID', /store\.quota/],
    ['a: [', 'CONFIG_SYNTAX', /h\.yaml/],
    ['api: {listen: 0.0.0.0:1}', 'CONFIG_REFUSED', /api\.listen/],
  ];
  for (const [yaml, error, seen] of bad) {
    const { findings, config } = await look(t, yaml);
    t.match(findings, [{ code: 'CONFIG', status: 'failed', error, seen, meaning: /does not start/ }], yaml);
    t.not(findings[0]!.todo, '');
    t.equal(config, undefined);
  }
  const { findings } = await lookAtConfig({
    file: '/no/such.yaml',
    flags: {},
    environment: {},
    account: { root: false, home: '/' },
    directory: '/',
  });
  t.match(findings, [{ status: 'failed', error: 'CONFIG_UNREADABLE', title: 'configuration /no/such.yaml' }]);
});

t.test('a file that it names is at fault: all else can be looked at', async (t) => {
  const missing = await look(t, 'upstreams: {r.example: {ca: /no/ca.pem}}');
  t.match(missing.findings, [{ code: 'CONFIG', status: 'failed', error: 'CONFIG_INVALID' }, { code: 'JOIN_SECRET' }]);
  t.ok(missing.config);
  const open = await look(t, 'cluster: {secretFile: s-open}', { 's-open': SECRET });
  t.match(open.findings, [
    { code: 'CONFIG', status: 'ok' },
    { code: 'JOIN_SECRET', status: 'failed', error: 'CONFIG_REFUSED', seen: /mode 0644/, todo: /chmod 0600/ },
  ]);
  t.ok(open.config);
  const none = await look(t, 'cluster: {secretFile: /no/secret}');
  t.match(of(none.findings, 'JOIN_SECRET'), { status: 'failed', seen: /ENOENT/, todo: /hawker token/ });
  const short = await look(t, 'cluster: {secretFile: secret}', { secret: 'short' });
  t.match(of(short.findings, 'JOIN_SECRET'), { status: 'failed', error: 'SECRET_UNUSABLE' });
  t.notMatch(JSON.stringify(short.findings), 'short"', 'and never shown');
});

t.test('what it would warn of at its start is a failure here', async (t) => {
  const { findings } = await look(t, 'supernodes: ["http://10.0.0.1:6789"]');
  t.match(findings[1], {
    code: 'CONFIG',
    status: 'failed',
    error: 'PEER_LISTENS_ON_LOOPBACK',
    seen: /gives nothing$/,
    todo: /^set peer\.listen/,
  });
  const yaml = 'upstreams: {r.example: {username: u, passwordFile: p-open}}';
  const password = await look(t, yaml, { 'p-open': 'x' });
  t.match(password.findings[1], { error: 'PASSWORD_FILE_OPEN', todo: /chmod 0600/ });
});

t.test(
  'a secret that this user may not read',
  { skip: process.getuid?.() === 0 && 'root reads everything' },
  async (t) => {
    const directory = t.testdir({ secret: SECRET });
    chmodSync(join(directory, 'secret'), 0);
    const flags = { 'cluster-secret-file': 'secret' };
    const sources = { file: undefined, flags, environment: {}, account: { root: false, home: '/' }, directory };
    t.match(of((await lookAtConfig(sources)).findings, 'JOIN_SECRET'), { status: 'skipped', seen: /run doctor as/ });
  },
);

t.test('certificates: they fit, they end, they are wrong', async (t) => {
  const ca = TestCa.root(t);
  const flagsOf = ({ cert, key, ca }: ReturnType<TestCa['issue']>) => ({
    'cluster-tls-cert': cert,
    'cluster-tls-key': key,
    'cluster-tls-ca': ca,
  });
  const good = ca.issue('node');
  const { findings } = await look(t, undefined, {}, flagsOf(good));
  t.match(of(findings, 'CERTIFICATES'), {
    status: 'ok',
    title: /\.crt$/,
    seen: /^CN=node, signed by CN=test CA;.*CN=node, 20/,
  });
  t.match(of(findings, 'JOIN_SECRET'), { status: 'ok', seen: /known by their certificates/ });
  const ending = await look(t, undefined, {}, flagsOf(ca.issue('ending', { days: 10 })));
  t.match(of(ending.findings, 'CERTIFICATES'), {
    status: 'failed',
    error: 'CERTIFICATE_ENDS',
    seen: /CN=ending ends in/,
  });
  chmodSync(good.key, 0o644);
  const open = await look(t, undefined, {}, flagsOf(good));
  t.match(of(open.findings, 'CERTIFICATES'), { status: 'failed', error: 'CLUSTER_TLS_UNUSABLE', seen: /mode 0644/ });
  t.notMatch(JSON.stringify(open.findings), readFileSync(good.key, 'utf8').split('\n')[1]!, 'no key is shown');
});
