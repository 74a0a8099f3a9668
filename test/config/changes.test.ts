import t from 'tap';
import { changedKeys } from '../../src/config/changes.ts';
import { loadConfig } from '../../src/config/load.ts';
import { SETTINGS } from '../../src/config/settings.ts';

const load = async (environment: Record<string, string>) =>
  (await loadConfig({ file: undefined, flags: {}, environment, account: { root: true, home: '/' }, directory: '/' }))
    .config;

t.test('each setting that differs is named, and nothing else', async (t) => {
  const other: Record<string, string> = {
    'proxy.listen': 'localhost:1',
    'proxy.listeners': '[{listen: "localhost:2", upstream: ghcr.io}]',
    'proxy.defaultUpstream': 'quay.io',
    'proxy.staleTags': '5m',
    'api.listen': 'localhost:3',
    'store.dir': '/d',
    'store.quota': '1TB',
    'store.containerd': '/c',
    upstreams: '{"ghcr.io": false}',
    'log.level': 'trace',
    'log.format': 'json',
  };
  const before = await load({});
  t.same(changedKeys(before, await load({})), []);
  t.same(changedKeys(before, await load({ HAWKER_PROXY_STALE_TAGS: '1440m' })), [], 'the same in another spelling');
  for (const { key, variable } of SETTINGS) t.same(changedKeys(before, await load({ [variable]: other[key]! })), [key]);
});
