import t, { type Test } from 'tap';
import { makeDemoImage, type DemoBlob } from '../../src/app/demo/image.ts';
import { DemoOrigin } from '../../src/app/demo/origin.ts';
import { pullImage } from '../../src/app/demo/pull.ts';
import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { digestOf } from '../../src/base/digest.ts';
import { createLogger } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';
import { nodeConfig, startCluster, urlOf } from '../support/cluster.ts';

const LAYERS = [3 * MiB, 2 * MiB, 700_000, 5000];
const REPOSITORY = '/v2/demo/app';

interface Line {
  readonly code?: string;
  readonly cause?: string;
}

/** A cluster of which the first node has an image, and one more node that has nothing. */
async function start(t: Test) {
  const image = makeDemoImage(LAYERS);
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  const { supernode, url, proxies } = await startCluster(t, { origin: origin.url, nodes: 3 });
  await pullImage(urlOf(proxies[0]!, 'mirror'), 'demo/app', 'v1');
  const lines: Line[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Line) };
  const log = createLogger({ level: 'info', format: 'json', destination });
  const config = nodeConfig({ dir: `${t.testdirName}/late`, origin: origin.url, supernodes: [url] });
  const late = await startProxyService(config, { log });
  t.teardown(() => late.stop());
  while (!lines.some(({ code }) => code === 'SUPERNODE_CONNECTED')) await new Promise(setImmediate);
  return { image, origin, supernode, proxies, late, lines };
}

async function get(node: Service, path: string): Promise<{ status: number; warning: string | null; body: Buffer }> {
  const response = await fetch(`${urlOf(node, 'mirror')}${REPOSITORY}/${path}`);
  const body = Buffer.from(await response.arrayBuffer());
  return { status: response.status, warning: response.headers.get('warning'), body };
}

async function pullBlob(t: Test, node: Service, { digest }: DemoBlob): Promise<void> {
  const { status, body } = await get(node, `blobs/${digest}`);
  t.equal(status, 200, body.length < 2000 ? body.toString() : digest);
  t.equal(digestOf(body), digest);
}

for (const supernodeToo of [false, true]) {
  t.test(
    `the origin dies in the middle of a pull${supernodeToo ? ', and the supernode' : ''}: the rest comes from a peer`,
    async (t) => {
      const { image, origin, supernode, late, lines } = await start(t);
      const [config, first, ...rest] = image.blobs;
      t.equal((await get(late, 'manifests/v1')).status, 200);
      await pullBlob(t, late, config!);
      await pullBlob(t, late, first!);
      const { bytesOut } = origin;
      await origin.stop();
      if (supernodeToo) await supernode.stop();
      // These only the manifest names: the origin has said nothing of them here.
      for (const blob of rest) await pullBlob(t, late, blob);
      t.equal(origin.bytesOut, bytesOut);
      t.equal(lines.filter(({ code }) => code === 'SERVED_STALE').length, rest.length, 'each is said');
      const metrics = await (await fetch(`${urlOf(late, 'api')}/metrics`)).text();
      const bytes = rest.reduce((sum, blob) => sum + blob.bytes.length, 0);
      const fromPeers = Number(/hawker_client_bytes_total\{source="peers"\} (\d+)/.exec(metrics)?.[1]);
      t.ok(fromPeers >= bytes, `${fromPeers} of ${bytes} bytes from peers`);
    },
  );
}

t.test(
  'the origin is gone before a node has read anything: by digest all comes from a peer, and nothing is passed on',
  async (t) => {
    const { image, origin, proxies, late } = await start(t);
    await origin.stop();
    const manifest = await get(late, `manifests/${image.manifest.digest}`);
    t.equal(manifest.status, 200, manifest.body.toString());
    t.match(manifest.warning, /cannot be asked/);
    for (const blob of image.blobs) await pullBlob(t, late, blob);
    t.equal((await get(late, `blobs/${digestOf('never read')}`)).status, 404);
    const elsewhere = `${urlOf(late, 'mirror')}/v2/demo/other/blobs/${image.blobs[1]!.digest}`;
    t.equal((await fetch(elsewhere)).status, 404, 'nobody has read it through that repository');
    // Whoever has read it is gone too: what was served on its word is no reading of this node.
    await proxies[0]!.stop();
    const path = `blobs/${image.blobs[1]!.digest}`;
    t.equal((await get(proxies[1]!, path)).status, 404);
    t.equal((await get(late, path)).status, 200, 'though it remembers that word itself');
  },
);
