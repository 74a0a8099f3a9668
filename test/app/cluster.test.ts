import t from 'tap';
import { makeDemoImage } from '../../src/app/demo/image.ts';
import { DemoOrigin } from '../../src/app/demo/origin.ts';
import { pullImage } from '../../src/app/demo/pull.ts';
import { MiB } from '../../src/base/units.ts';
import { json, startCluster, urlOf } from '../support/cluster.ts';

t.test('proxies find the supernode, and pull an image at once with bytes from each other', async (t) => {
  const image = makeDemoImage([5 * MiB, 300_000]);
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  const { url, proxies } = await startCluster(t, { origin: origin.url, nodes: 3 });
  // The first fills its store; what the others then need is held by a peer.
  await pullImage(urlOf(proxies[0]!, 'mirror'), 'demo/app', 'v1');
  const before = origin.bytesOut;
  t.equal(before, image.size, 'one copy from the origin');
  const pulls = proxies.slice(1).map((proxy) => pullImage(urlOf(proxy, 'mirror'), 'demo/app', 'v1'));
  for (const { bytes } of await Promise.all(pulls)) t.equal(bytes, image.size);
  t.equal(origin.bytesOut, before, 'and none for the others');
  const status = await json(`${urlOf(proxies[1]!, 'api')}/api/v1/status`);
  t.match(status, { peer: String, supernodes: [{ url, state: 'connected' }] });
  const { blobs } = await json<{ blobs: { digest: string; holders: string[] }[] }>(`${url}/api/v1/blobs`);
  for (const { digest } of image.blobs) {
    t.equal(blobs.find((blob) => blob.digest === digest)?.holders.length, 3, `all three hold ${digest}`);
  }
});
