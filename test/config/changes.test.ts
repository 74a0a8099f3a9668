import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { changedKeys, withKeys } from '../../src/config/changes.ts';
import { loadConfig } from '../../src/config/load.ts';
import { SETTINGS } from '../../src/config/settings.ts';

/** With `supernodes` said, which else follow `supernode.listen`, and what others need to be set. */
const load = async (variables: Record<string, string>) => {
  const environment = {
    HAWKER_SUPERNODES: 'https://c:6789',
    HAWKER_CLUSTER_TLS_CERT: '/c',
    HAWKER_CLUSTER_TLS_KEY: '/k',
    HAWKER_CLUSTER_TLS_CA: '/a',
    HAWKER_PROXY_TLS_CERT: NEEDED,
    HAWKER_PROXY_TLS_KEY: NEEDED,
    HAWKER_PROXY_USERS_FILE: NEEDED,
    ...variables,
  };
  const account = { root: true, home: '/' };
  return (await loadConfig({ file: undefined, flags: {}, environment, account, directory: '/' })).config;
};

const NEEDED = join(t.testdir({}), 'needed');
writeFileSync(NEEDED, '', { mode: 0o600 });

t.test('each setting that differs is named, and nothing else', async (t) => {
  const SECRET = join(t.testdir({}), 'secret');
  writeFileSync(SECRET, 'x'.repeat(32), { mode: 0o600 });
  const other: Record<string, string> = {
    'proxy.listen': 'localhost:1',
    'proxy.listeners': '[{listen: "localhost:2", upstream: ghcr.io}]',
    'proxy.defaultUpstream': 'quay.io',
    'proxy.staleTags': '5m',
    'proxy.names': 'mirror.example',
    'proxy.tls.cert': SECRET,
    'proxy.tls.key': SECRET,
    'proxy.tls.clientCa': SECRET,
    'proxy.usersFile': SECRET,
    'proxy.login': 'true',
    'proxy.rules': '[{users: [loopback], repositories: []}]',
    'peer.listen': 'localhost:4',
    'peer.advertise': '10.0.0.5:65002,[fd00::5]:65002',
    'peer.zone': 'rack-1',
    'peer.uploadLimit': '100MB',
    'peer.downloadLimit': '200MB',
    'peer.uploadSlots': '8',
    'api.listen': 'localhost:3',
    'supernode.listen': 'localhost:5',
    'supernode.heartbeat': '1s',
    supernodes: 'https://a:6789,https://b',
    'cluster.secretFile': SECRET,
    'cluster.operatorTokenFile': SECRET,
    'cluster.tls.cert': '/other-cert',
    'cluster.tls.key': '/other-key',
    'cluster.tls.ca': '/other-ca',
    'store.dir': '/d',
    'store.quota': '1TB',
    'store.containerd': '/c',
    upstreams: '{"gcr.io": false}',
    'audit.file': '/var/log/hawker/audit',
    'files.allow': 'https://a.example/**',
    'files.ca': SECRET,
    'log.level': 'trace',
    'log.format': 'json',
  };
  for (const { key } of SETTINGS) t.ok(other[key] !== undefined, key);
  const before = await load({});
  t.same(changedKeys(before, await load({})), []);
  t.same(changedKeys(before, await load({ HAWKER_PROXY_STALE_TAGS: '1440m' })), [], 'the same in another spelling');
  for (const { key, variable } of SETTINGS) t.same(changedKeys(before, await load({ [variable]: other[key]! })), [key]);

  const after = await load(Object.fromEntries(SETTINGS.map(({ key, variable }) => [variable, other[key]!])));
  for (const { key } of SETTINGS)
    t.same(changedKeys(before, withKeys(before, after, new Set([key]))), [key], 'taken by itself');
  t.same(withKeys(before, after, new Set(SETTINGS.map(({ key }) => key))), after);
});

t.test('a section that one of the two has not', async (t) => {
  const sources = { file: undefined, flags: {}, account: { root: true, home: '/' }, directory: '/' };
  const environment = {
    HAWKER_SUPERNODES: 'https://c:6789',
    HAWKER_PROXY_TLS_CERT: NEEDED,
    HAWKER_PROXY_TLS_KEY: NEEDED,
    HAWKER_PROXY_USERS_FILE: NEEDED,
  };
  const { config: without } = await loadConfig({ ...sources, environment });
  const keys = ['cluster.tls.cert', 'cluster.tls.key', 'cluster.tls.ca'];
  t.same(changedKeys(without, await load({})), keys);
  t.same(changedKeys(await load({}), without), keys);
  t.same(withKeys(without, await load({}), new Set(keys)), without, 'nothing takes it up while it runs');
});
