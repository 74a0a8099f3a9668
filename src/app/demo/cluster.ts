import { join } from 'node:path';
import type { Logger } from '../../base/log.ts';
import { formatAddress } from '../../config/formats.ts';
import type { Config } from '../../config/config.ts';
import { configOf } from '../../config/to-config.ts';
import { startProxyService } from '../proxy-service.ts';
import type { Service } from '../service.ts';
import { startSupernode } from '../supernode-service.ts';
import { DemoNotReady } from './errors.ts';

/** The registry's name as clients would spell it; no such host is asked for anything. */
const REGISTRY = 'demo.test';
const LOOPBACK = '127.0.0.1:0';
/** Until every node is known to the supernode and has been reached by it. */
const READY_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 20;

/** Where a node of the demonstration listens: URLs, and `host:port` for its pieces. */
export interface DemoNode {
  readonly mirror: string;
  readonly pieces: string;
  readonly api: string;
}

/** What a node has read since it started, in body bytes, by its own count. */
export interface NodeBytes {
  readonly origin: number;
  readonly peers: number;
}

/** A supernode and its nodes on free ports of loopback, as `hawker supernode` and `hawker proxy` start them. */
export class DemoCluster {
  readonly supernode: string;
  readonly nodes: readonly DemoNode[];
  readonly #supernode: Service;
  readonly #proxies: readonly Service[];

  private constructor(supernode: Service, proxies: readonly Service[]) {
    this.#supernode = supernode;
    this.#proxies = proxies;
    this.supernode = urlOf(supernode, 'supernode');
    this.nodes = proxies.map((proxy) => ({
      mirror: urlOf(proxy, 'mirror'),
      pieces: addressOf(proxy, 'pieces'),
      api: urlOf(proxy, 'api'),
    }));
  }

  /** Starts them, with stores in `dir`, and resolves when all can reach each other. What fails leaves nothing running. */
  static async start(options: {
    readonly dir: string;
    readonly nodes: number;
    /** The URL of what they mirror. */
    readonly origin: string;
    readonly log: Logger;
    readonly signal: AbortSignal;
  }): Promise<DemoCluster> {
    const { dir, nodes, origin, log, signal } = options;
    // Nobody can be coming back to a supernode that has never run.
    const supernode = await startSupernode(nodeConfig({ dir, origin, supernodes: [] }), { log, settleMs: 0 });
    const supernodes = [urlOf(supernode, 'supernode')];
    const started = await Promise.allSettled(
      Array.from({ length: nodes }, (_, index) =>
        startProxyService(nodeConfig({ dir: join(dir, `node-${index + 1}`), origin, supernodes }), { log }),
      ),
    );
    const proxies = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const cluster = new DemoCluster(supernode, proxies);
    try {
      const failed = started.find((one) => one.status === 'rejected');
      if (failed) throw failed.reason;
      await cluster.#ready(signal);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** What each node has read so far, from its own metrics. */
  bytes(): Promise<NodeBytes[]> {
    return Promise.all(
      this.nodes.map(async ({ api }) => {
        const text = await (await fetch(`${api}/metrics`)).text();
        const origin = sumOf(text, /^hawker_origin_bytes_total\{.*\} (.*)$/gm);
        return { origin, peers: sumOf(text, /^hawker_peer_bytes_total\{.*direction="in".*\} (.*)$/gm) };
      }),
    );
  }

  stopSupernode(): Promise<void> {
    return this.#supernode.stop();
  }

  /** Never rejects. */
  async stop(): Promise<void> {
    await Promise.all([...this.#proxies, this.#supernode].map((service) => service.stop()));
  }

  async #ready(signal: AbortSignal): Promise<void> {
    const nodes = this.nodes.length;
    for (const begun = performance.now(); ;) {
      signal.throwIfAborted();
      const answer = await fetch(`${this.supernode}/api/v1/peers`);
      const { peers, rejected } = (await answer.json()) as PeersAnswer;
      const ready = peers.filter(({ state }) => state === 'ready').length;
      if (ready === nodes) return;
      if (performance.now() - begun > READY_WITHIN_MS) {
        const reason = peers.find((peer) => peer.reason !== '')?.reason ?? rejected[0]?.message;
        throw new DemoNotReady({ ready, nodes, boundMs: READY_WITHIN_MS, why: reason ? `: ${reason}` : '' });
      }
      await new Promise((resolve) => {
        setTimeout(resolve, LOOK_EVERY_MS);
      });
    }
  }
}

interface PeersAnswer {
  readonly peers: readonly { readonly state: string; readonly reason: string }[];
  readonly rejected: readonly { readonly message: string }[];
}

function nodeConfig(of: { dir: string; origin: string; supernodes: string[] }): Config {
  return configOf({
    proxy: { listen: LOOPBACK, defaultUpstream: REGISTRY },
    peer: { listen: LOOPBACK },
    api: { listen: LOOPBACK },
    supernode: { listen: LOOPBACK },
    supernodes: of.supernodes,
    store: { dir: of.dir, quota: '8GiB' },
    upstreams: { '*': false, [REGISTRY]: { url: of.origin } },
    log: { format: 'json' },
  });
}

function addressOf(service: Service, role: string): string {
  return formatAddress(service.addresses.find((address) => address.role === role)!);
}

function urlOf(service: Service, role: string): string {
  return `http://${addressOf(service, role)}`;
}

function sumOf(metrics: string, line: RegExp): number {
  return [...metrics.matchAll(line)].reduce((sum, [, value]) => sum + Number(value), 0);
}
