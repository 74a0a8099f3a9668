import t from 'tap';
import { RateLimits } from '../../src/registry/rate-limits.ts';
import { MANIFEST_ACCEPT } from '../../src/registry/media-types.ts';
import { makeImage } from '../support/hostile-registry.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { openUpstream } from '../support/registry-client.ts';

const HUB = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' };

t.test('what was said last holds for its window', async (t) => {
  const clock = new ManualClock();
  const limits = new RateLimits(clock);
  limits.answered('docker.io', HUB);
  limits.answered('docker.io', { 'content-type': 'text/plain' });
  limits.answered('quay.io', { 'ratelimit-remaining': '5;w=60' });
  limits.answered('ghcr.io', { 'ratelimit-remaining': 'many' });
  const hub = { upstream: 'docker.io', remaining: 76, limit: 100 };
  t.same(limits.left(), [hub, { upstream: 'quay.io', remaining: 5, limit: undefined }]);
  await clock.advance(60_000);
  t.same(limits.left(), [hub], 'the window of one is over');
  limits.answered('docker.io', { ...HUB, 'ratelimit-remaining': '0' });
  await clock.advance(21_599_999);
  t.same(limits.left(), [{ ...hub, remaining: 0 }], 'without a window of its own, that of its limit');
  await clock.advance(1);
  t.same(limits.left(), []);
});

t.test('manifests tell it, also refused ones; what a client’s own credential is allowed does not count', async (t) => {
  const { upstream, origin, metrics } = await openUpstream(t);
  const image = makeImage({ seed: 3, layers: [100] });
  origin.addImage('library/app', 'v1', image);
  origin.faults.on = ['manifest'];
  const shown = async () => {
    const text = await metrics.registry.metrics();
    return text.split('\n').filter((line) => line.startsWith('hawker_origin_ratelimit'));
  };
  t.same(await shown(), [], 'nothing while nothing was said');
  origin.faults.headers = HUB;
  await upstream.headManifest('library/app', { tag: 'v1' }, MANIFEST_ACCEPT);
  t.same(await shown(), [
    'hawker_origin_ratelimit_remaining{upstream="registry.test"} 76',
    'hawker_origin_ratelimit_limit{upstream="registry.test"} 100',
  ]);
  origin.faults.headers = { ...HUB, 'ratelimit-remaining': '75;w=21600' };
  await upstream.getManifest('library/app', { tag: 'v1' }, MANIFEST_ACCEPT);
  t.match(await shown(), [/ 75$/, / 100$/]);
  origin.faults.headers = { ...HUB, 'ratelimit-remaining': '0;w=21600' };
  await t.rejects(upstream.headManifest('library/app', { tag: 'none' }, MANIFEST_ACCEPT));
  t.match(await shown(), [/ 0$/, / 100$/]);

  origin.faults.headers = { ...HUB, 'ratelimit-remaining': '199;w=21600' };
  const client = upstream.forClient(`Basic ${Buffer.from('alice:secret').toString('base64')}`)!;
  await client.getManifest('library/app', { tag: 'v1' }, MANIFEST_ACCEPT);
  t.match(await shown(), [/ 0$/, / 100$/]);
});
