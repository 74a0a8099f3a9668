import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load.ts';

const dir = mkdtempSync(join(tmpdir(), 'hawker-mirror-rules-'));
t.teardown(() => rmSync(dir, { recursive: true }));
for (const name of ['cert', 'key', 'ca', 'users']) writeFileSync(join(dir, name), '', { mode: 0o600 });

const load = (proxy: object) =>
  loadConfig({
    file: undefined,
    flags: {},
    environment: Object.fromEntries(
      Object.entries(proxy).map(([name, value]) => [
        `HAWKER_PROXY_${name}`,
        typeof value === 'string' ? value : JSON.stringify(value),
      ]),
    ),
    account: { root: true, home: '/' },
    directory: dir,
  });
const TLS = { TLS_CERT: 'cert', TLS_KEY: 'key' };

t.test('passwords in clear beyond loopback are warned of, once', async (t) => {
  const warned = async (proxy: object) => (await load(proxy)).warnings.map(({ code, key }) => `${code} ${key}`);
  const open = { USERS_FILE: 'users', LISTEN: '0.0.0.0:65001' };
  t.same(await warned(open), ['LOGIN_IN_CLEAR proxy.listen']);
  t.same(await warned({ ...open, ...TLS }), []);
  t.same(await warned({ USERS_FILE: 'users' }), [], 'on loopback nobody listens on the way');
  t.same(await warned({ LISTEN: '0.0.0.0:65001' }), [], 'without users there is no password');
  const listeners = [
    { listen: '10.0.0.1:1' },
    { listen: '10.0.0.1:2', tls: false },
    { listen: '10.0.0.1:3', tls: false },
  ];
  t.same(await warned({ ...open, ...TLS, LISTENERS: listeners }), ['LOGIN_IN_CLEAR proxy.listeners[1]']);
  const { warnings } = await load({ ...open, ...TLS, LISTENERS: listeners });
  t.match(warnings[0]?.message, /in clear at 10\.0\.0\.1:2, 10\.0\.0\.1:3: set proxy\.tls/);
});

t.test('files that others could use are refused', async (t) => {
  const refused = async (name: string, mode: number, proxy: object) => {
    chmodSync(join(dir, name), mode);
    const seen = await load(proxy).then(
      () => 'taken',
      (error: Error & { code: string }) => `${error.code}: ${error.message}`,
    );
    chmodSync(join(dir, name), 0o600);
    return seen;
  };
  t.match(
    await refused('key', 0o640, TLS),
    /^CONFIG_REFUSED: proxy\.tls\.key is .*key, which others on this machine can use \(mode 0640\)/,
  );
  t.equal(await refused('cert', 0o644, TLS), 'taken');
  t.equal(await refused('users', 0o644, { USERS_FILE: 'users' }), 'taken', 'they are hashes');
  t.match(
    await refused('users', 0o664, { USERS_FILE: 'users' }),
    /^CONFIG_REFUSED: proxy\.usersFile is .*\(mode 0664\)/,
  );
  t.match(await refused('users', 0o600, { USERS_FILE: 'none' }), /cannot be read \(ENOENT\)/);
});
