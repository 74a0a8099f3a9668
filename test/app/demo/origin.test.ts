import { get } from 'node:http';
import t from 'tap';
import { makeDemoImage } from '../../../src/app/demo/image.ts';
import { DemoOrigin } from '../../../src/app/demo/origin.ts';
import { KiB, MiB } from '../../../src/base/units.ts';

t.test('whole blobs and ranges, as a registry gives them, each byte counted', async (t) => {
  const image = makeDemoImage([1000]);
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  const { digest, bytes } = image.blobs.at(-1)!;
  const url = `${origin.url}/v2/demo/app/blobs/${digest}`;
  const cases: [range: string | undefined, status: number, start: number, end: number][] = [
    [undefined, 200, 0, bytes.length],
    ['bytes=1000-', 206, 1000, bytes.length],
    ['bytes=10-19', 206, 10, 20],
    ['bytes=10-999999', 206, 10, bytes.length],
    ['bytes=999999-', 200, 0, bytes.length],
    ['bytes=-5', 200, 0, bytes.length],
  ];
  for (const [range, status, start, end] of cases) {
    const before = origin.bytesOut;
    const answer = await fetch(url, { headers: range === undefined ? {} : { range } });
    t.equal(answer.status, status, range ?? 'whole');
    t.ok(Buffer.from(await answer.arrayBuffer()).equals(bytes.subarray(start, end)));
    const said = answer.headers.get('content-range');
    t.equal(said, status === 206 ? `bytes ${start}-${end - 1}/${bytes.length}` : null);
    t.equal(origin.bytesOut - before, end - start);
  }
  const before = origin.bytesOut;
  t.equal((await fetch(url, { method: 'HEAD' })).headers.get('content-length'), String(bytes.length));
  t.equal((await fetch(`${origin.url}/v2/demo/app/blobs/sha256:0`)).status, 404);
  t.equal(origin.bytesOut, before);
  t.equal(origin.requests, cases.length + 2);
});

t.test('one more image under another tag', async (t) => {
  const origin = await DemoOrigin.start('demo/app', 'v1', makeDemoImage([10]));
  t.teardown(() => origin.stop());
  const other = makeDemoImage([20]);
  origin.add('v2', other);
  const manifest = await (await fetch(`${origin.url}/v2/demo/app/manifests/v2`)).text();
  t.equal(manifest, other.manifest.bytes.toString());
});

t.test('what a reader that hangs up did not take is not sent, nor counted', async (t) => {
  const image = makeDemoImage([4 * MiB]);
  const origin = await DemoOrigin.start('demo/app', 'v1', image, { bytesPerSecond: 16 * KiB });
  const { digest } = image.blobs.at(-1)!;
  await new Promise<void>((resolve) => {
    get(`${origin.url}/v2/demo/app/blobs/${digest}`, (response) => {
      response.once('data', () => {
        response.destroy();
        resolve();
      });
    });
  });
  await origin.stop();
  await origin.stop();
  t.ok(origin.bytesOut > 0 && origin.bytesOut < MiB, String(origin.bytesOut));
});
