import type { Hawker } from '../../e2e/support/hawker.ts';
import type { SupernodeRun, Swarm } from '../../e2e/support/swarm.ts';
import { PATIENCE_MS } from '../../support/patience.ts';
import type { Firewall } from './firewall.ts';
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
  readonly holders: readonly Holder[];
  readonly supernode?: SupernodeRun;
}

interface Holder {
  /** Its program, where it is not the one that is under test. */
  readonly main?: string;
  readonly config?: Record<string, unknown>;
  /** What stands before its piece port; the configuration has to advertise it. */
  readonly behind?: Firewall;
}

export async function crowd(scene: Scene, { layer, holders, supernode }: CrowdOptions): Promise<Crowd> {
  const origin = await scene.origin({ layers: [layer] });
  const { registry } = origin;
  const swarm = await scene.swarm(registry.url, supernode);
  const joined: Hawker[] = [];
  for (const [i, one] of holders.entries()) {
    const holder = await join(scene, swarm, registry.url, `holder-${i + 1}`, one);
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
  const ids = joined.map(({ pieces }, i) => {
    const address = holders[i]?.behind?.address ?? pieces;
    return peers.find(({ addresses }) => addresses.includes(address))!.id;
  });
  const originBytes = () =>
    registry.requests.reduce((sum, { kind, bodyBytes }) => sum + (kind === 'blob' ? bodyBytes : 0), 0);
  return { origin, swarm, holders: joined, node, ids, originBytes };
}

async function join(
  scene: Scene,
  swarm: Swarm,
  originUrl: string,
  name: string,
  { main = scene.main, config, behind }: Holder,
): Promise<Hawker> {
  if (!behind) return swarm.join(name, config, main);
  const member = { supernodes: [swarm.url], cluster: { secretFile: swarm.secretFile } };
  const holder = await scene.node(originUrl, { name, main, config: { ...member, ...config } });
  behind.leadTo(holder.pieces);
  await swarm.ready(`${name} is ready`, [{ pieces: behind.address }]);
  return holder;
}

/** Resolves once the node has so many bytes from other peers. */
export async function fetched(node: Hawker, bytes: number): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end;) {
    if ((await peerBytesIn(node)) >= bytes) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`the node did not come to have ${bytes} bytes from peers`);
}

async function peerBytesIn(node: Hawker): Promise<number> {
  const text = await (await fetch(`http://${node.api}/metrics`)).text();
  return Number(/hawker_peer_bytes_total\{direction="in"\} (\d+)/.exec(text)?.[1] ?? 0);
}
