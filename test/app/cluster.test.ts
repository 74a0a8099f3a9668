import t from 'tap';
import { makeDemoImage } from '../../src/app/demo/image.ts';
import { DemoOrigin } from '../../src/app/demo/origin.ts';
import { pullImage } from '../../src/app/demo/pull.ts';
import type { ClusterConfig } from '../../src/app/cluster-config.ts';
import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { startSupernode } from '../../src/app/supernode-service.ts';
import { silentLogger as log } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';

const NODES = 3;
const ANY = { host: '127.0.0.1', port: 0 };

function configOf(dir: string, origin: string, supernodes: string[]): ClusterConfig {
  return {
    proxy: { listen: ANY, listeners: [], defaultUpstream: 'demo.test', staleTagsMs: 3_600_000 },
    api: { listen: ANY },
    peer: {
      listen: ANY,
      advertise: [],
      zone: undefined,
      uploadBytesPerSecond: undefined,
      downloadBytesPerSecond: undefined,
      uploadSlots: 4,
    },
    supernode: { listen: ANY, heartbeatMs: 5000 },
    supernodes,
    cluster: { secretFile: undefined },
    store: { dir, quotaBytes: 1024 * MiB, containerd: undefined },
    upstreams: { 'demo.test': { url: origin, insecure: false, allow: [] } },
    log: { level: 'info', format: 'json' },
  };
}

function urlOf(service: Service, role: string): string {
  return `http://127.0.0.1:${service.addresses.find((address) => address.role === role)!.port}`;
}

async function peersReady(supernode: string): Promise<number> {
  const { peers } = (await (await fetch(`${supernode}/api/v1/peers`)).json()) as { peers: { state: string }[] };
  return peers.filter(({ state }) => state === 'ready').length;
}

t.test('proxies find the supernode, and pull an image at once with bytes from each other', async (t) => {
  const image = makeDemoImage([5 * MiB, 300_000]);
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  const supernode = await startSupernode(configOf('/nowhere', origin.url, []), { log });
  t.teardown(() => supernode.stop());
  const url = urlOf(supernode, 'supernode');
  const proxies: Service[] = [];
  for (let i = 0; i < NODES; i += 1) {
    const proxy = await startProxyService(configOf(t.testdir({}) + `/${i}`, origin.url, [url]), { log });
    t.teardown(() => proxy.stop());
    proxies.push(proxy);
  }
  for (let i = 0; i < 300 && (await peersReady(url)) < NODES; i += 1) {
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
  t.equal(await peersReady(url), NODES);
  // The first fills its store; what the others then need is held by a peer.
  await pullImage(urlOf(proxies[0]!, 'mirror'), 'demo/app', 'v1');
  const pulls = proxies.slice(1).map((proxy) => pullImage(urlOf(proxy, 'mirror'), 'demo/app', 'v1'));
  for (const { bytes } of await Promise.all(pulls)) t.equal(bytes, image.size);
  const status = (await (await fetch(`${urlOf(proxies[1]!, 'api')}/api/v1/status`)).json()) as {
    supernodes: { state: string }[];
  };
  t.match(status, { peer: String, supernodes: [{ url, state: 'connected' }] });
  const { blobs } = (await (await fetch(`${url}/api/v1/blobs`)).json()) as { blobs: { holders: string[] }[] };
  t.ok(blobs.length > 0);
});
