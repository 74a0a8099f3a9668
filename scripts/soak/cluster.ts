import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { heldSince } from './disk.ts';
import { Service } from './service.ts';

/** Small, so that blobs have to make way all the time. The largest blob is a third of it. */
export const QUOTA_BYTES = 72 * 2 ** 20;
const READY_BOUND_MS = 60_000;
const ASK_BOUND_MS = 5000;

/**
 * Two supernodes and some proxies. The second supernode and the first proxy are never ended, only stopped for a while: what they
 * take is looked at over the whole soak.
 */
export class Cluster {
  readonly supernodes: readonly Service[];
  readonly proxies: readonly Service[];

  private constructor(supernodes: readonly Service[], proxies: readonly Service[]) {
    this.supernodes = supernodes;
    this.proxies = proxies;
  }

  static async start(dir: string, { nodes, origin }: { nodes: number; origin: string }): Promise<Cluster> {
    await mkdir(dir, { recursive: true });
    const secretFile = join(dir, 'join-secret');
    await writeFile(secretFile, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 });
    const cluster = { secretFile };
    const supernodes = ['supernode-1', 'supernode-2'].map((name) => new Service('supernode', name, dir, { cluster }));
    const proxies: Service[] = [];
    const all = new Cluster(supernodes, proxies);
    try {
      for (const supernode of supernodes) await supernode.start();
      const config = {
        supernodes: supernodes.map((supernode) => supernode.url('supernode')),
        cluster,
        store: { quota: `${QUOTA_BYTES / 2 ** 20}MiB` },
        upstreams: { '*': false, 'soak.test': { url: origin } },
      };
      for (let n = 0; n < nodes; n += 1) {
        const proxy = new Service('proxy', `proxy-${n}`, dir, config);
        proxies.push(proxy);
        await proxy.start();
      }
      return all;
    } catch (error) {
      await all.destroy();
      throw error;
    }
  }

  get all(): readonly Service[] {
    return [...this.supernodes, ...this.proxies];
  }

  /** Those that live as long as the soak does. */
  get steady(): readonly Service[] {
    return [this.supernodes[1]!, this.proxies[0]!];
  }

  /** Proxies, but for one, that could give the blob all the time since then (`performance.now()`): they run, and have it on their disks. */
  async givers(digest: string, { except, since }: { except: Service; since: number }): Promise<string[]> {
    const wallSince = Date.now() - (performance.now() - since);
    const givers: string[] = [];
    for (const proxy of this.proxies) {
      if (proxy === except || !proxy.isUp || proxy.isPaused || proxy.disturbedAt > since) continue;
      const held = await heldSince(proxy.storeDir, digest);
      if (held !== undefined && held < wallSince) givers.push(proxy.name);
    }
    return givers;
  }

  /** Waits until all proxies are ready at a supernode and nobody downloads anything. Gives what is still so that should not be. */
  async calm(boundMs: number): Promise<string[]> {
    const end = performance.now() + Math.max(boundMs, READY_BOUND_MS);
    for (;;) {
      const open = await this.#restless();
      if (open.length === 0 || performance.now() > end) return open;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  async destroy(): Promise<void> {
    await Promise.all(this.all.map((service) => service.destroy()));
  }

  async #restless(): Promise<string[]> {
    const open: string[] = [];
    const ready = new Set<string>();
    for (const supernode of this.supernodes) {
      const url = supernode.url('supernode');
      const { peers } = await json<{ peers: { state: string; addresses: string[] }[] }>(`${url}/api/v1/peers`);
      for (const { state, addresses } of peers) if (state === 'ready') for (const one of addresses) ready.add(one);
      const { blobs } = await json<{ blobs: { digest: string; downloading: string[] }[] }>(`${url}/api/v1/blobs`);
      for (const { digest, downloading } of blobs)
        if (downloading.length > 0)
          open.push(`${supernode.name}: ${digest} is being downloaded by ${downloading.length}`);
    }
    for (const proxy of this.proxies) {
      if (!ready.has(proxy.addresses.get('pieces')!)) open.push(`${proxy.name} is not ready at any supernode`);
      const text = await (await fetch(`${proxy.url('api')}/metrics`)).text();
      const active = /^hawker_downloads\{state="active"\} (\d+)$/m.exec(text)?.[1];
      if (active !== '0') open.push(`${proxy.name}: ${active} downloads are active`);
    }
    return open;
  }
}

async function json<T>(url: string): Promise<T> {
  return (await (await fetch(url, { signal: AbortSignal.timeout(ASK_BOUND_MS) })).json()) as T;
}
