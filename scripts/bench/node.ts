import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listeningAddress } from '../../test/e2e/support/hawker.ts';
import type { Daemon } from '../../test/e2e/support/programs.ts';
import { PROGRAM } from '../netns/programs.ts';
import type { Bench, Server } from './bench-rig.ts';

const START_BOUND_MS = 20_000;
/** For so long a new supernode grants no lease, since proxies may be coming back to it. */
const SETTLED_MS = 2500;
/** The second is what containerd and docker ask for. */
const UPSTREAMS = ['registry.test', 'docker.io'];

export interface NodeOptions {
  readonly name: string;
  readonly originUrl: string;
  /** The supernode of another node; left out: it runs one (`hawker up`). */
  readonly supernodeUrl?: string;
  /** Where its store is, if not in the rig. */
  readonly dir?: string;
}

/** A Hawker node as a process of its own, with the defaults but for its addresses and paths. */
export class HawkerNode implements Server {
  readonly url: string;
  readonly supernodeUrl: string;
  readonly apiUrl: string;
  readonly daemon: Daemon;
  readonly #store: string;

  private constructor(daemon: Daemon, store: string, urls: { mirror: string; supernode: string; api: string }) {
    this.daemon = daemon;
    this.#store = store;
    this.url = urls.mirror;
    this.supernodeUrl = urls.supernode;
    this.apiUrl = urls.api;
  }

  /** With an empty store; resolves when it would answer for a pull as it does when it has been up for a while. */
  static async start({ rig, profile }: Bench, options: NodeOptions): Promise<HawkerNode> {
    const { name, originUrl, supernodeUrl, dir = rig.dir } = options;
    const store = join(dir, `${name}-store`);
    await rm(store, { recursive: true, force: true });
    const config = join(rig.dir, `${name}.json`);
    await writeFile(
      config,
      JSON.stringify({
        proxy: { listen: '127.0.0.1:0', defaultUpstream: UPSTREAMS[0] },
        peer: { listen: '127.0.0.1:0' },
        api: { listen: '127.0.0.1:0' },
        ...(supernodeUrl === undefined ? { supernode: { listen: '127.0.0.1:0' } } : { supernodes: [supernodeUrl] }),
        store: { dir: store },
        upstreams: Object.fromEntries(UPSTREAMS.map((name) => [name, { url: originUrl }])),
      }),
    );
    const role = supernodeUrl === undefined ? 'up' : 'proxy';
    const before = performance.now();
    const flags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
    const daemon = rig.daemon(name, process.execPath, [...flags, PROGRAM, role, '--config', config]);
    const log = daemon.log().length;
    const addressOf = (part: string) =>
      daemon.ready(`LISTENING of ${part}`, START_BOUND_MS, () => listeningAddress(daemon.log().slice(log), part));
    const mirror = `http://${await addressOf('mirror')}`;
    const api = `http://${await addressOf('api')}`;
    const supernode = supernodeUrl ?? `http://${await addressOf('supernode')}`;
    const node = new HawkerNode(daemon, store, { mirror, supernode, api });
    await daemon.ready('to be ready at its supernode', START_BOUND_MS, () =>
      node.#isReady(supernodeUrl === undefined ? 1 : 2),
    );
    if (supernodeUrl === undefined) await sleep(Math.max(0, SETTLED_MS - (performance.now() - before)));
    return node;
  }

  async metrics(): Promise<string> {
    return await (await fetch(`${this.apiUrl}/metrics`)).text();
  }

  async stop(): Promise<void> {
    await this.daemon.stop();
    await rm(this.#store, { recursive: true, force: true });
  }

  async #isReady(peers: number): Promise<boolean> {
    const answer = await fetch(`${this.supernodeUrl}/api/v1/peers`).catch(() => undefined);
    if (!answer?.ok) return false;
    const known = (await answer.json()) as { peers: { state: string }[] };
    return known.peers.filter(({ state }) => state === 'ready').length >= peers;
  }
}
