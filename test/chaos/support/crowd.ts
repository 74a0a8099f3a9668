import type { Hawker } from '../../e2e/support/hawker.ts';
import type { SupernodeRun, Swarm } from '../../e2e/support/swarm.ts';
import { pull } from './pull.ts';
import type { Origin, Scene } from './scene.ts';

/** A cluster of which some peers have the image's layer, and one node, whose handling is looked at, has only its manifest. */
export interface Crowd {
  readonly origin: Origin;
  readonly swarm: Swarm;
  readonly holders: readonly Hawker[];
  readonly node: Hawker;
  /** Ids of the holders, in their order. */
  readonly ids: readonly string[];
  /** Bytes of blobs that the origin has given so far. */
  originBytes(): number;
}

export interface CrowdOptions {
  /** In bytes. */
  readonly layer: number;
  /** A program for each holder. */
  readonly holders: readonly { readonly main?: string; readonly config?: Record<string, unknown> }[];
  readonly supernode?: SupernodeRun;
}

export async function crowd(scene: Scene, { layer, holders, supernode }: CrowdOptions): Promise<Crowd> {
  const origin = await scene.origin({ layers: [layer] });
  const { registry } = origin;
  const swarm = await scene.swarm(registry.url, supernode);
  const joined: Hawker[] = [];
  for (const [i, { main = scene.main, config }] of holders.entries()) {
    const holder = await swarm.join(`holder-${i + 1}`, config, main);
    // From the origin, or from those before it, whatever they do.
    await scene.resolve(holder, origin);
    const { end } = await pull(holder, origin.layer);
    if (end !== 'whole') throw new Error(`holder ${i + 1} could not be filled`);
    joined.push(holder);
  }
  await swarm.held('the holders have it', [origin.layer.digest], holders.length);
  const node = await swarm.join('node', {}, scene.main);
  await scene.resolve(node, origin);
  const { peers } = await swarm.peers();
  const ids = joined.map(({ pieces }) => peers.find(({ addresses }) => addresses.includes(pieces))!.id);
  const originBytes = () =>
    registry.requests.reduce((sum, { kind, bodyBytes }) => sum + (kind === 'blob' ? bodyBytes : 0), 0);
  return { origin, swarm, holders: joined, node, ids, originBytes };
}

/** Resolves once the node has so many bytes from other peers. */
export async function fetched(node: Hawker, bytes: number): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end;) {
    const text = await (await fetch(`http://${node.api}/metrics`)).text();
    const seen = Number(/hawker_peer_bytes_total\{direction="in"\} (\d+)/.exec(text)?.[1] ?? 0);
    if (seen >= bytes) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`the node did not come to have ${bytes} bytes from peers`);
}
