import t from 'tap';
import { loadConfig } from '../../src/config/load.ts';
import { configOf } from '../../src/config/to-config.ts';

t.test('what is not written is as in a configuration that says nothing', async (t) => {
  const { config } = await loadConfig({
    file: undefined,
    flags: { 'store-dir': '/data' },
    environment: {},
    account: { root: true, home: '/root' },
    directory: '/',
  });
  t.strictSame(configOf({ store: { dir: '/data' } }), config);
});

t.test('what is written takes the place of its default, and of nothing beside it', async (t) => {
  const plain = configOf({ store: { dir: '/data' } });
  const config = configOf({
    proxy: { listen: '127.0.0.1:0' },
    store: { dir: '/data', quota: '1GiB' },
    upstreams: { '*': false, 'demo.test': { url: 'http://127.0.0.1:1' } },
  });
  t.strictSame(config, {
    ...plain,
    proxy: { ...plain.proxy, listen: { host: '127.0.0.1', port: 0 } },
    store: { ...plain.store, quotaBytes: 1024 ** 3 },
    upstreams: { 'demo.test': { url: 'http://127.0.0.1:1', insecure: false, allow: [] } },
  });
  t.throws(() => configOf({ store: { dir: '/data', quota: 'much' } }), {
    code: 'CONFIG_INVALID',
    message: /what is set for store.quota/,
  });
});
