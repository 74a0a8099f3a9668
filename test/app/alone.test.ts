import t, { type Test } from 'tap';
import { makeDemoImage } from '../../src/app/demo/image.ts';
import { DemoOrigin } from '../../src/app/demo/origin.ts';
import { pullImage } from '../../src/app/demo/pull.ts';
import { startProxyService } from '../../src/app/proxy-service.ts';
import { digestOf } from '../../src/base/digest.ts';
import { createLogger } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';
import { nodeConfig, startCluster, urlOf } from '../support/cluster.ts';

interface Asked {
  readonly code: string;
  readonly asked: number;
  readonly have: number;
  readonly failed: Record<string, string>;
}

/** Two proxies that are ready, the first of which has an image; and a third that knows both. */
async function start(t: Test) {
  const image = makeDemoImage([5 * MiB, 300_000]);
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  const { supernode, url, proxies } = await startCluster(t, { origin: origin.url, nodes: 2 });
  await pullImage(urlOf(proxies[0]!, 'mirror'), 'demo/app', 'v1');
  const lines: Asked[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Asked) };
  const log = createLogger({ level: 'debug', format: 'json', destination });
  const config = nodeConfig({ dir: `${t.testdirName}/third`, origin: origin.url, supernodes: [url] });
  const third = await startProxyService(config, { log });
  t.teardown(() => third.stop());
  // What it knows of the others it has from its registration.
  while (!lines.some(({ code }) => code === 'SUPERNODE_CONNECTED')) await new Promise(setImmediate);
  const asked = () => lines.filter(({ code }) => code === 'NEIGHBOURS_ASKED');
  return { image, origin, supernode, proxies, third, asked };
}

t.test('no supernode and no origin: what a known neighbour has comes all the same', async (t) => {
  const { image, origin, supernode, third, asked } = await start(t);
  const mirror = urlOf(third, 'mirror');
  const layers = image.blobs.slice(1);
  const pathOf = (digest: string) => `${mirror}/v2/demo/app/blobs/${digest}`;
  // The origin has let this node read them, and is gone before they are read.
  for (const { digest } of layers) t.equal((await fetch(pathOf(digest), { method: 'HEAD' })).status, 200);
  await supernode.stop();
  await origin.stop();
  for (const { digest, bytes } of layers) {
    const response = await fetch(pathOf(digest));
    t.equal(response.status, 200);
    const body = Buffer.from(await response.arrayBuffer());
    t.equal(digestOf(body), digest);
    t.equal(body.length, bytes.length);
  }
  t.match(asked(), [
    { asked: 2, have: 1 },
    { asked: 2, have: 1 },
  ]);
  const metrics = await (await fetch(`${urlOf(third, 'api')}/metrics`)).text();
  const bytes = layers.reduce((sum, layer) => sum + layer.bytes.length, 0);
  t.match(metrics, `hawker_peer_bytes_total{direction="in"} ${bytes}\n`);
  t.match(metrics, `hawker_client_bytes_total{source="peers"} ${bytes}\n`);
});

t.test('no supernode, and all neighbours dead: the origin gives it, each blob with one read', async (t) => {
  const { image, origin, supernode, proxies, third, asked } = await start(t);
  await supernode.stop();
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  const { bytesOut, requests } = origin;
  const { bytes } = await pullImage(urlOf(third, 'mirror'), 'demo/app', 'v1');
  t.equal(bytes, image.size);
  t.equal(origin.bytesOut - bytesOut, image.size);
  // The tag's HEAD, the manifest, and one for each blob: as a proxy reads it that was never in a cluster.
  t.equal(origin.requests - requests, 2 + image.blobs.length);
  const questions = asked();
  t.match(questions[0], { asked: 2, have: 0 });
  t.same(Object.values(questions[0]!.failed), ['PEER_UNREACHABLE', 'PEER_UNREACHABLE']);
  t.ok(questions.length <= 1 + image.blobs.length);
});
