import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { endOf, nameOf, readAuthorities, readTlsFiles, type TlsFiles } from '../../../src/p2p/protocol/tls-files.ts';
import { TestCa } from '../../support/test-ca.ts';

const DAY = 24 * 3_600_000;

async function refused(t: Test, files: TlsFiles, expected: { setting: string; message: RegExp }, now = Date.now()) {
  const { setting, message } = expected;
  const path = files[setting.split('.').at(-1) as keyof TlsFiles];
  await t.rejects(readTlsFiles(files, now), { code: 'CLUSTER_TLS_UNUSABLE', params: { setting, path }, message });
}

t.test('a certificate, its key and its CA', async (t) => {
  const ca = TestCa.root(t, 'the root');
  const material = await readTlsFiles(ca.issue('node a'), Date.now());
  t.same(material.chain.map(nameOf), ['CN=node a', 'CN=the root']);
  const { certificate, at } = endOf(material);
  t.equal(nameOf(certificate), 'CN=node a');
  t.ok(at > Date.now() + 19 * DAY && at < Date.now() + 21 * DAY);
});

t.test('with a CA in between, which stands behind the certificate; a bundle of CAs', async (t) => {
  const ca = TestCa.root(t, 'the root');
  const below = ca.below('between');
  const files = below.issue('node a');
  const [own, between] = [files.cert, below.cert].map((path) => readFileSync(path, 'utf8'));
  const dir = t.testdir({ 'chain.pem': `${own}${between}`, 'between.pem': between! });
  const whole = { ...files, cert: `${dir}/chain.pem`, ca: ca.cert };
  t.same((await readTlsFiles(whole, Date.now())).chain.map(nameOf), ['CN=node a', 'CN=between', 'CN=the root']);
  await refused(
    t,
    { ...files, ca: ca.cert },
    { setting: 'cluster.tls.cert', message: /no root of .*CN=between.*CN=the root/ },
  );
  const partial = { ...whole, ca: `${dir}/between.pem` };
  await refused(t, partial, { setting: 'cluster.tls.cert', message: /goes back to no root/ });
  const bundle = `${dir}/bundle.pem`;
  writeFileSync(bundle, [TestCa.root(t).cert, ca.cert].map((path) => readFileSync(path, 'utf8')).join(''));
  t.equal((await readTlsFiles({ ...whole, ca: bundle }, Date.now())).chain.length, 3);
});

t.test('says which file is at fault, and why', async (t) => {
  const ca = TestCa.root(t);
  const good = ca.issue('a');
  const other = ca.issue('b');
  const dir = t.testdir({
    empty: '',
    'no-key': 'x',
    huge: 'x'.repeat(1_100_000),
    bad: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
  });
  chmodSync(`${dir}/no-key`, 0o600);
  for (const setting of ['cert', 'key', 'ca'] as const) {
    const name = `cluster.tls.${setting}`;
    await refused(t, { ...good, [setting]: `${dir}/nothing` }, { setting: name, message: /no such file/ });
    await refused(
      t,
      { ...good, [setting]: dir },
      { setting: name, message: setting === 'key' ? /mode 0/ : /a directory/ },
    );
  }
  await refused(t, { ...good, cert: `${dir}/empty` }, { setting: 'cluster.tls.cert', message: /no certificate in it/ });
  await refused(t, { ...good, cert: `${dir}/huge` }, { setting: 'cluster.tls.cert', message: /larger than 1 MiB/ });
  await refused(t, { ...good, ca: `${dir}/bad` }, { setting: 'cluster.tls.ca', message: /cannot be read/ });
  await refused(t, { ...good, key: `${dir}/no-key` }, { setting: 'cluster.tls.key', message: /no key in it/ });
  await refused(
    t,
    { ...good, key: other.key },
    { setting: 'cluster.tls.key', message: /does not fit the certificate \(CN=a\)/ },
  );
  const foreign = { ...good, ca: TestCa.root(t, 'foreign').cert };
  await refused(t, foreign, {
    setting: 'cluster.tls.cert',
    message: /no root of .*issuer: CN=test CA; there: CN=foreign/,
  });
  chmodSync(other.key, 0o640);
  await refused(t, other, { setting: 'cluster.tls.key', message: /others than its owner.*0640.*chmod 0600/ });
  const encrypted = `${dir}/encrypted`;
  writeFileSync(encrypted, '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n', {
    mode: 0o600,
  });
  await refused(t, { ...good, key: encrypted }, { setting: 'cluster.tls.key', message: /encrypted/ });
});

t.test('times and uses', async (t) => {
  const ca = TestCa.root(t);
  await refused(t, ca.issue('old', { days: -1 }), { setting: 'cluster.tls.cert', message: /CN=old has expired at 20/ });
  const early = { setting: 'cluster.tls.cert', message: /CN=young is not valid before 20/ };
  await refused(t, ca.issue('young'), early, Date.now() - DAY);
  const late = { setting: 'cluster.tls.ca', message: /CN=test CA has expired/ };
  await refused(t, ca.issue('lasting', { days: 40 }), late, Date.now() + 35 * DAY);
  const files = ca.issue('server', { usage: 'serverAuth' });
  await refused(t, files, { setting: 'cluster.tls.cert', message: /lacks clientAuth/ });
  t.ok(await readTlsFiles(ca.issue('any', { usage: '' }), Date.now()), 'without the extension any use is allowed');
});

t.test('of the CA alone', async (t) => {
  const ca = TestCa.root(t);
  const files = { cert: '/nothing', key: '/nothing', ca: ca.cert };
  t.match(await readAuthorities(files), /BEGIN CERTIFICATE/);
  await t.rejects(readAuthorities({ ...files, ca: '/nothing' }), { code: 'CLUSTER_TLS_UNUSABLE' });
});
