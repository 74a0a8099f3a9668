import t from 'tap';
import { makeDemoImage } from '../../../src/app/demo/image.ts';
import { DemoOrigin } from '../../../src/app/demo/origin.ts';
import { pullImage } from '../../../src/app/demo/pull.ts';

t.test('a pull checks what it gets', async (t) => {
  const image = makeDemoImage([70_000, 10]);
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  t.match(await pullImage(origin.url, 'demo/app', 'v1'), { bytes: image.size });
  t.equal(origin.bytesOut, image.size);
  await t.rejects(pullImage(origin.url, 'demo/app', 'v2'), { code: 'DEMO_PULL_FAILED', message: /status 404/ });

  const layer = image.blobs.at(-1)!;
  layer.bytes[0]! ^= 1;
  await t.rejects(pullImage(origin.url, 'demo/app', 'v1'), { code: 'DEMO_PULL_FAILED', message: /other bytes/ });
  layer.bytes[0]! ^= 1;
  image.manifest.bytes[image.manifest.bytes.length - 1]! ^= 1;
  await t.rejects(pullImage(origin.url, 'demo/app', 'v1'), {
    code: 'DEMO_PULL_FAILED',
    message: /a manifest that is not/,
  });
});

t.test('its origin serves a rest by range', async (t) => {
  const image = makeDemoImage([1000]);
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  const layer = image.blobs.at(-1)!;
  const answer = await fetch(`${origin.url}/v2/demo/app/blobs/${layer.digest}`, { headers: { range: 'bytes=1000-' } });
  t.equal(answer.status, 206);
  t.ok(Buffer.from(await answer.arrayBuffer()).equals(layer.bytes.subarray(1000)));
  t.equal((await fetch(`${origin.url}/v2/demo/app/blobs/${layer.digest}`, { method: 'HEAD' })).status, 200);
});
