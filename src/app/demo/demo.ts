import { setMaxListeners } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../../base/log.ts';
import { MiB } from '../../base/units.ts';
import { DemoCluster, type DemoNode, type NodeBytes } from './cluster.ts';
import { DemoNeedsRoom } from './errors.ts';
import { makeDemoImage, type DemoImage } from './image.ts';
import { DemoOrigin } from './origin.ts';
import { pullImage } from './pull.ts';

/** In the repository: what the nodes pull, and, where it is kept running, something that none of them has. */
export const DEMO_REPOSITORY = 'demo/app';
export const DEMO_TAG = 'v1';
export const UNPULLED_TAG = 'v2';

/** Of the image; they differ as layers do. */
const LAYER_SHARES = [40, 16, 6, 2];
/**
 * What all nodes together take in: well below what one process can do for them all, so that it is the origin that they wait
 * for, as in a real cluster. With an origin as fast as memory the first would have read everything before the others ask.
 */
const TOTAL_BYTES_PER_SECOND = 64 * MiB;
const ORIGIN_MOST_BYTES_PER_SECOND = 16 * MiB;
/** What a store takes beside the blobs. */
const STORE_OVERHEAD = 1.1;
const LOOK_EVERY_MS = 150;

export interface DemoOptions {
  /** As the size, within DEMO_LIMITS. */
  readonly nodes: number;
  readonly imageBytes: number;
  /** The repository has an image more, which nobody has pulled. */
  readonly unpulled: boolean;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** How one node's pull stands: body bytes. */
export interface NodePull {
  readonly node: number;
  /** Since the pull began, until its client had everything. */
  readonly seconds: number;
  /** That its client has. */
  readonly bytes: number;
  readonly originBytes: number;
  readonly peerBytes: number;
}

/** One pull by all nodes at once. */
export interface DemoPull {
  /** The slowest node's. */
  readonly seconds: number;
  /** What the origin sent, by its own count: also what nobody took. */
  readonly originBytes: number;
  readonly nodes: readonly NodePull[];
}

/**
 * Shows what Hawker does, with nothing but this process: a registry with an image, a supernode and some nodes, each a whole
 * proxy with a store of its own, on free ports of loopback and in a temporary directory.
 */
export class Demo {
  readonly layers = LAYER_SHARES.length;
  readonly imageBytes: number;
  readonly originBytesPerSecond: number;
  readonly #dir: string;
  readonly #origin: DemoOrigin;
  readonly #cluster: DemoCluster;
  readonly #signal: AbortSignal;

  private constructor(parts: {
    dir: string;
    image: DemoImage;
    origin: DemoOrigin;
    rate: number;
    cluster: DemoCluster;
    signal: AbortSignal;
  }) {
    this.#dir = parts.dir;
    this.imageBytes = parts.image.size;
    this.originBytesPerSecond = parts.rate;
    this.#origin = parts.origin;
    this.#cluster = parts.cluster;
    this.#signal = parts.signal;
  }

  /** Rejects with DEMO_NEEDS_ROOM, DEMO_NOT_READY, as `startUp`, or with the signal's reason; then nothing is left behind. */
  static async start({ nodes, imageBytes, unpulled, log, signal }: DemoOptions): Promise<Demo> {
    await checkRoom(nodes * imageBytes * STORE_OVERHEAD);
    const image = imageOf(imageBytes);
    const rate = Math.min(ORIGIN_MOST_BYTES_PER_SECOND, Math.floor(TOTAL_BYTES_PER_SECOND / nodes));
    const dir = await mkdtemp(join(tmpdir(), 'hawker-demo-'));
    let origin: DemoOrigin | undefined;
    try {
      origin = await DemoOrigin.start(DEMO_REPOSITORY, DEMO_TAG, image, { bytesPerSecond: rate });
      if (unpulled) origin.add(UNPULLED_TAG, imageOf(imageBytes / 4));
      const cluster = await DemoCluster.start({ dir, nodes, origin: origin.url, log, signal });
      return new Demo({ dir, image, origin, rate, cluster, signal });
    } catch (error) {
      await origin?.stop();
      await rm(dir, { recursive: true, force: true });
      throw error;
    }
  }

  get supernode(): string {
    return this.#cluster.supernode;
  }

  get nodes(): readonly DemoNode[] {
    return this.#cluster.nodes;
  }

  /** All nodes pull the image at once; `onLook` is told how far they are. Rejects as `pullImage`. */
  async pull(onLook?: (nodes: readonly NodePull[]) => void): Promise<DemoPull> {
    const sent = this.#origin.bytesOut;
    const before = await this.#cluster.bytes();
    const clients = this.nodes.map(() => ({ bytes: 0, seconds: 0 }));
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#signal]);
    // Each request of each node listens to it.
    setMaxListeners(0, signal);
    const watching = onLook && this.#watch(over.signal, async () => onLook(await this.#look(clients, before)));
    try {
      await Promise.all(
        this.nodes.map(async ({ mirror }, index) => {
          const client = clients[index]!;
          const onBytes = (count: number) => (client.bytes += count);
          const { seconds } = await pullImage(mirror, DEMO_REPOSITORY, DEMO_TAG, { signal, onBytes });
          client.seconds = seconds;
        }),
      );
    } finally {
      over.abort();
      await watching;
    }
    const nodes = await this.#look(clients, before);
    const seconds = Math.max(...clients.map((client) => client.seconds));
    return { seconds, originBytes: this.#origin.bytesOut - sent, nodes };
  }

  /** Leaves the nodes on their own. */
  async stopOriginAndSupernode(): Promise<void> {
    await Promise.all([this.#origin.stop(), this.#cluster.stopSupernode()]);
  }

  /** Takes everything down, and removes it. */
  async stop(): Promise<void> {
    await Promise.all([this.#origin.stop(), this.#cluster.stop()]);
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** Removes what is on disk, now: for a process that is about to end. */
  abandon(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #look(clients: readonly { bytes: number; seconds: number }[], before: readonly NodeBytes[]) {
    const now = await this.#cluster.bytes();
    return now.map(({ origin, peers }, index): NodePull => ({
      node: index + 1,
      ...clients[index]!,
      originBytes: origin - before[index]!.origin,
      peerBytes: peers - before[index]!.peers,
    }));
  }

  async #watch(over: AbortSignal, look: () => Promise<void>): Promise<void> {
    while (!over.aborted) {
      await look();
      await new Promise((resolve) => {
        setTimeout(resolve, LOOK_EVERY_MS);
      });
    }
  }
}

function imageOf(bytes: number): DemoImage {
  const sum = LAYER_SHARES.reduce((total, share) => total + share, 0);
  return makeDemoImage(LAYER_SHARES.map((share) => Math.floor((bytes * share) / sum)));
}

async function checkRoom(needed: number): Promise<void> {
  const dir = tmpdir();
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  if (free < needed) throw new DemoNeedsRoom({ dir, free, needed });
}
