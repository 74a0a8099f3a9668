import type { Test } from 'tap';
import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { startSupernode } from '../../src/app/supernode-service.ts';
import { silentLogger, type Logger } from '../../src/base/log.ts';
import type { Config } from '../../src/config/config.ts';
import { configOf } from '../../src/config/to-config.ts';
import { PATIENCE_MS } from './patience.ts';

/** The registry of a test cluster, as clients spell it. */
export const REGISTRY = 'demo.test';
const ANY = '127.0.0.1:0';

/** A configuration of a node on free ports of loopback, whose one registry is at `origin`. */
export function nodeConfig(options: {
  dir: string;
  origin: string;
  supernodes?: readonly string[];
  files?: readonly string[];
}): Config {
  const config = configOf({
    proxy: { listen: ANY, defaultUpstream: REGISTRY },
    peer: { listen: ANY },
    api: { listen: ANY },
    supernode: { listen: ANY },
    store: { dir: options.dir, quota: '1GiB' },
    upstreams: { '*': false, [REGISTRY]: { url: options.origin } },
    files: { allow: [...(options.files ?? [])] },
    log: { format: 'json' },
  });
  // Not as it is written: a test may name one that cannot be there.
  return { ...config, supernodes: options.supernodes ?? config.supernodes };
}

export function urlOf(service: Service, role: string): string {
  return `http://127.0.0.1:${service.addresses.find((address) => address.role === role)!.port}`;
}

export async function json<T>(url: string): Promise<T> {
  return (await (await fetch(url)).json()) as T;
}

/** Waits until what is asked holds, with a bound. */
export async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !(await holds());) {
    if (performance.now() > end) throw new Error(`it did not come to this: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}

/** Waits until so many peers of the supernode are ready. */
export async function peersReady(supernode: string, count: number): Promise<void> {
  await eventually(`${count} peers are ready at ${supernode}`, async () => {
    const { peers } = await json<{ peers: { state: string }[] }>(`${supernode}/api/v1/peers`);
    return peers.filter(({ state }) => state === 'ready').length === count;
  });
}

/** A supernode and proxies in this process, ready, each with a store of its own. */
export async function startCluster(
  t: Test,
  {
    origin,
    nodes,
    files = [],
    log = silentLogger,
  }: { origin: string; nodes: number; files?: readonly string[]; log?: Logger },
): Promise<{ supernode: Service; url: string; proxies: Service[] }> {
  const supernode = await startSupernode(nodeConfig({ dir: '/nowhere', origin }), { log });
  t.teardown(() => supernode.stop());
  const url = urlOf(supernode, 'supernode');
  const dir = t.testdir({});
  const proxies: Service[] = [];
  for (let i = 0; i < nodes; i += 1) {
    const proxy = await startProxyService(nodeConfig({ dir: `${dir}/${i}`, origin, supernodes: [url], files }), {
      log,
    });
    t.teardown(() => proxy.stop());
    proxies.push(proxy);
  }
  await peersReady(url, nodes);
  return { supernode, url, proxies };
}
