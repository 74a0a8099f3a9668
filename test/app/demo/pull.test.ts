import t from 'tap';
import { makeDemoImage } from '../../../src/app/demo/image.ts';
import { DemoOrigin } from '../../../src/app/demo/origin.ts';
import { pullImage } from '../../../src/app/demo/pull.ts';

t.test('a pull checks what it gets', async (t) => {
  const image = makeDemoImage([70_000, 10]);
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  let bytes = 0;
  const pulled = await pullImage(origin.url, 'demo/app', 'v1', { onBytes: (count) => (bytes += count) });
  t.same([pulled.bytes, bytes, origin.bytesOut], [image.size, image.size, image.size]);
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

t.test('a pull from nothing, and one that is given up', async (t) => {
  await t.rejects(pullImage('http://127.0.0.1:1', 'demo/app', 'v1'), {
    code: 'DEMO_PULL_FAILED',
    message: /no whole answer/,
    cause: { code: 'ECONNREFUSED' },
  });
  const reason = new Error('enough');
  await t.rejects(pullImage('http://127.0.0.1:1', 'demo/app', 'v1', { signal: AbortSignal.abort(reason) }), reason);
});
