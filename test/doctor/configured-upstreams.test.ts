import t from 'tap';
import { defaultSettings } from '../../src/config/defaults.ts';
import type { Config } from '../../src/config/config.ts';
import { configuredUpstreams } from '../../src/doctor/configured-upstreams.ts';

const usual = Object.fromEntries(
  Object.entries(defaultSettings().upstreams).map(([key, one]) => [key, { insecure: false, allow: [], ...one }]),
) as Config['upstreams'];
const proxy = { defaultUpstream: 'docker.io', listeners: [] } as unknown as Config['proxy'];
const own = { url: 'http://127.0.0.1:5000', insecure: false, allow: [] };

t.test('Docker Hub is asked where nothing was set, or it was set itself', async (t) => {
  t.same(configuredUpstreams({ upstreams: usual, proxy }).chosen, ['docker.io']);
  const mirrored = { ...usual, 'docker.io': own };
  t.same(configuredUpstreams({ upstreams: mirrored, proxy }).chosen, ['docker.io']);
});

t.test('a node that names registries of its own may be without a way to Docker Hub', async (t) => {
  const upstreams = { ...usual, 'registry.test': own };
  const { chosen, builtIn, patterns } = configuredUpstreams({ upstreams, proxy });
  t.same(chosen, ['registry.test']);
  t.ok(builtIn.includes('docker.io'));
  t.ok(patterns.every((key) => key.includes('*')));
  const elsewhere = {
    ...proxy,
    defaultUpstream: 'ghcr.io',
    listeners: [{ upstream: 'quay.io' }],
  } as unknown as Config['proxy'];
  t.same(configuredUpstreams({ upstreams, proxy: elsewhere }).chosen.toSorted(), [
    'ghcr.io',
    'quay.io',
    'registry.test',
  ]);
});
