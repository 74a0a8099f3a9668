import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import type { Test } from 'tap';
import { makeDemoImage, type DemoImage } from '../../src/app/demo/image.ts';
import { DemoOrigin } from '../../src/app/demo/origin.ts';
import { pullImage } from '../../src/app/demo/pull.ts';
import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { startSupernode } from '../../src/app/supernode-service.ts';
import { createLogger, silentLogger, type Logger } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';
import type { Config } from '../../src/config/config.ts';
import type { PeersView, PeerView, RejectedView } from '../../src/p2p/supernode/views.ts';
import { eventually, json, nodeConfig, urlOf } from '../support/cluster.ts';

export const REPOSITORY = 'demo/app';
/** Short, for tests in which something follows from silence; on a busy machine the living are silent for a while too. */
export const SHORT_HEARTBEAT_MS = 300;

interface LogLine {
  readonly level: string;
  readonly code: string;
  readonly msg: string;
  readonly todo?: string;
}

/** A node's proxy with what it logs. */
export interface Node {
  readonly service: Service;
  readonly mirror: string;
  readonly api: string;
  readonly pieces: string;
  readonly lines: readonly LogLine[];
}

export interface SupernodeStatus {
  readonly url: string;
  readonly state: string;
  readonly code: string;
  readonly message: string;
}

/** Real supernodes and proxies in this process, over real sockets, with a registry in memory. */
export class Rig {
  readonly image: DemoImage;
  readonly origin: DemoOrigin;
  readonly #t: Test;
  readonly #dir: string;
  #nodes = 0;

  private constructor(t: Test, image: DemoImage, origin: DemoOrigin) {
    this.#t = t;
    this.#dir = t.testdir({});
    this.image = image;
    this.origin = origin;
  }

  static async start(t: Test): Promise<Rig> {
    const image = makeDemoImage([2 * MiB, 40_000]);
    const origin = await DemoOrigin.start(REPOSITORY, 'v1', image);
    t.teardown(() => origin.stop());
    return new Rig(t, image, origin);
  }

  /** At an address of its own; give `at` to have it where another one was. */
  async supernode(at: { host?: string; port?: number; heartbeatMs?: number } = {}): Promise<SupernodeRig> {
    const { host = '127.0.0.1', port = 0, heartbeatMs = 5000 } = at;
    const config = nodeConfig({ dir: '/nowhere', origin: this.origin.url });
    const supernode = { listen: { host, port }, heartbeatMs };
    const service = await startSupernode({ ...config, supernode }, { log: silentLogger, settleMs: 0 });
    this.#t.teardown(() => service.stop());
    return new SupernodeRig(service, host);
  }

  /** A proxy; `store` names its directory, so that it can be started again with what it has. */
  async proxy(
    supernodes: readonly string[],
    {
      store,
      peer,
      upstreams,
    }: { store?: string; peer?: Partial<Config['peer']>; upstreams?: Config['upstreams'] } = {},
  ): Promise<Node> {
    const { log, lines } = watchedLog();
    this.#nodes += 1;
    const dir = `${this.#dir}/${store ?? this.#nodes}`;
    const config = nodeConfig({ dir, origin: this.origin.url, supernodes });
    const service = await startProxyService(
      { ...config, peer: { ...config.peer, ...peer }, ...(upstreams && { upstreams }) },
      { log },
    );
    this.#t.teardown(() => service.stop());
    const [mirror, api] = [urlOf(service, 'mirror'), urlOf(service, 'api')];
    return { service, mirror, api, pieces: urlOf(service, 'pieces').replace('http://', ''), lines };
  }

  /** Pulls the image; fails where a byte is wrong. How many bytes left the registry for it. */
  async pull({ mirror }: Node, tag = 'v1'): Promise<number> {
    const before = this.origin.bytesOut;
    await pullImage(mirror, REPOSITORY, tag);
    return this.origin.bytesOut - before;
  }

  /** One more image under a tag. */
  publish(tag: string): DemoImage {
    const image = makeDemoImage([MiB + 1, 30_000]);
    this.origin.add(tag, image);
    return image;
  }
}

export class SupernodeRig {
  readonly url: string;
  readonly port: number;
  readonly service: Service;

  constructor(service: Service, host: string) {
    this.service = service;
    this.port = service.addresses[0]!.port;
    this.url = `http://${host}:${this.port}`;
  }

  peers(): Promise<PeersView> {
    return json(`${this.url}/api/v1/peers`);
  }

  /** Waits until the states of all peers are these, in any order. */
  async states(...states: string[]): Promise<void> {
    const wanted = states.toSorted().join();
    await eventually(`the peers at ${this.url} are ${wanted}`, async () => {
      const { peers } = await this.peers();
      return peers.map(({ state }) => state).toSorted().join() === wanted; // prettier-ignore
    });
  }

  /** Waits for the peer at that piece port to be in a state, and gives what is said of it. */
  async peer({ pieces }: Pick<Node, 'pieces'>, state: string): Promise<PeerView> {
    let found: PeerView | undefined;
    await eventually(`the peer at ${pieces} is ${state}`, async () => {
      found = (await this.peers()).peers.find(({ addresses }) => addresses.includes(pieces));
      return found?.state === state;
    });
    return found!;
  }

  /** Waits for a refusal with that code. */
  async refusal(code: string): Promise<RejectedView> {
    let found: RejectedView | undefined;
    await eventually(`${code} is among what was rejected`, async () => {
      found = (await this.peers()).rejected.find((one) => one.code === code);
      return found !== undefined;
    });
    return found!;
  }

  /** Waits until so many peers hold all blobs of an image. */
  async held({ blobs }: DemoImage, by: number): Promise<void> {
    await eventually(`${by} peers hold the image`, async () => {
      const known = await json<{ blobs: { digest: string; holders: string[] }[] }>(`${this.url}/api/v1/blobs`);
      return blobs.every(
        (blob) => (known.blobs.find(({ digest }) => digest === blob.digest)?.holders.length ?? 0) === by,
      );
    });
  }
}

/** What a proxy says of its supernodes. */
export async function supernodesOf({ api }: Node): Promise<SupernodeStatus[]> {
  return (await json<{ supernodes: SupernodeStatus[] }>(`${api}/api/v1/status`)).supernodes;
}

/** Waits until a proxy says that of its only, or first, supernode. */
export async function supernodeIs(node: Node, state: string, code = ''): Promise<SupernodeStatus> {
  let first: SupernodeStatus | undefined;
  await eventually(`the supernode is ${state} ${code}`, async () => {
    [first] = await supernodesOf(node);
    return first?.state === state && first.code === code;
  });
  return first!;
}

export function watchedLog(): { log: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as LogLine) };
  return { log: createLogger({ level: 'debug', format: 'json', destination }), lines };
}

/** A stretch of network on the way to a server, which can stop to carry anything, or break. */
export class Way {
  readonly #server = createServer((near) => this.#carry(near));
  readonly #to: number;
  readonly #sockets = new Set<Socket>();
  #isFrozen = false;

  private constructor(to: number) {
    this.#to = to;
  }

  static async open(t: Test, to: number): Promise<Way> {
    const way = new Way(to);
    way.#server.listen(0, '127.0.0.1');
    await once(way.#server, 'listening');
    t.teardown(() => {
      way.cut();
      way.#server.close();
    });
    return way;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Nothing comes through any more, and nobody is told: a cable that was pulled, or a node that was stopped. */
  freeze(): void {
    this.#isFrozen = true;
    for (const socket of this.#sockets) socket.pause();
  }

  thaw(): void {
    this.#isFrozen = false;
    for (const socket of this.#sockets) socket.resume();
  }

  /** All connections break. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #carry(near: Socket): void {
    const far = connect(this.#to, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on('data', (bytes) => to.write(bytes));
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      if (this.#isFrozen) from.pause();
    }
  }
}
