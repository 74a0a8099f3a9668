/**
 * The supernode is gone, frozen or back again. Invariants I2, I3 and I7: pulls go on, the registry is hardly read twice, and what
 * the supernode knew is told to it again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Hawker } from '../e2e/support/hawker.ts';
import { catalogue } from './support/catalogue.ts';
import { crowd, fetched } from './support/crowd.ts';
import { pull } from './support/pull.ts';
import type { Evidence, Row } from './support/row.ts';
import type { Scene } from './support/scene.ts';
import { untilSo } from './support/until-so.ts';

const MiB = 1024 * 1024;
const LAYER = 12 * MiB + 77;
const COLD = 40 * MiB;
const NODES = 4;
/** So slow that it is still sending when something happens. */
const SLOWLY = { peer: { listen: '127.0.0.1:0', uploadLimit: '1MiB' } };
/** Of each answer of the registry: a cold pull takes several seconds. */
const ORIGIN_BYTES_PER_SECOND = 1.5 * MiB;
/**
 * What it has assigned is read for a second more; then a proxy waits for 2 s, and asks the peers that it knows for 2 s: less than that
 * in all.
 */
const STOPPED_MS = Number(process.env['HAWKER_CHAOS_STOP_MS'] ?? 4500);
const AGAIN_MS = 20_000;
const PEER_BYTES = { name: 'hawker_client_bytes_total', labels: { source: 'peers' }, by: { atLeast: 1 } };

/** A node pulls from a slow peer; in the middle `then` happens to the supernode. */
async function during(
  scene: Scene,
  then: (swarm: Awaited<ReturnType<typeof crowd>>['swarm'], node: Hawker) => Promise<string[]>,
): Promise<Evidence> {
  const { node, origin, swarm } = await crowd(scene, { layer: LAYER, holders: [{ config: SLOWLY }] });
  const pulling = pull(node, origin.layer);
  await fetched(node, 300_000);
  const faults = await then(swarm, node);
  return { node, pulls: [await pulling], faults, blamed: swarm.url };
}

const ROWS: Row[] = [
  {
    id: 'supernode/killed',
    fault: 'the supernode is killed in the middle of a pull',
    seen: { kind: 'whole', source: /mixed|peers/ },
    codes: ['SUPERNODE_LOST'],
    mayLog: ['SUPERNODE_UNREACHABLE'],
    moved: [PEER_BYTES],
    blamed: { who: 'the supernode', code: 'SUPERNODE_LOST', field: 'url' },
    without: {
      taken: 'going on alone once it is silent',
      edits: [
        { file: 'p2p/peer/after-silence.js', find: 'setImmediate(() => {', replace: 'setImmediate(() => { return;' },
      ],
    },
    run: (scene) =>
      during(scene, async (swarm) => {
        await swarm.killSupernode();
        return [];
      }),
  },
  {
    id: 'supernode/restarted',
    fault: 'the supernode is killed in the middle of a pull, and started again',
    seen: { kind: 'whole', source: /mixed|peers/ },
    codes: ['SUPERNODE_LOST'],
    mayLog: ['SUPERNODE_UNREACHABLE'],
    moved: [PEER_BYTES],
    blamed: { who: 'the supernode', code: 'SUPERNODE_LOST', field: 'url' },
    without: {
      taken: 'looking for it again',
      edits: [
        { file: 'p2p/peer/session.js', find: 'this.#search.seek(this.#random()', replace: 'void (this.#random()' },
      ],
    },
    run: (scene) =>
      during(scene, async (swarm, node) => {
        await swarm.killSupernode();
        await swarm.startSupernode(scene.main);
        return untilSo(AGAIN_MS, async () => {
          const connected = node.logged('SUPERNODE_CONNECTED').length;
          const { peers } = await swarm.peers().catch(() => ({ peers: [] }));
          const ready = peers.filter(({ state }) => state === 'ready').length;
          return [
            ...(connected >= 2 ? [] : ['the node did not come back to it']),
            ...(ready === 2 ? [] : [`${ready} of 2 peers are ready again`]),
          ];
        });
      }),
  },
  {
    id: 'supernode/stopped',
    fault: `the supernode is stopped for ${STOPPED_MS / 1000} s while ${NODES} nodes pull a cold blob`,
    seen: { kind: 'whole', source: /mixed|peers|origin/ },
    codes: [],
    mayLog: ['SUPERNODE_SILENT', 'SUPERNODE_TIMEOUT'],
    moved: [PEER_BYTES],
    blamed: { who: 'nobody: one copy of the blob leaves the registry, and little of it twice' },
    without: {
      taken: 'asking those that gave pieces before',
      edits: [{ file: 'p2p/peer/bridge.js', find: 'BRIDGE_MS = 2000', replace: 'BRIDGE_MS = 0' }],
    },
    async run(scene) {
      const origin = await scene.origin({ layers: [COLD] });
      const { registry, layer } = origin;
      const swarm = await scene.swarm(registry.url);
      const nodes: Hawker[] = [];
      for (let i = 1; i <= NODES; i += 1) nodes.push(await swarm.join(`cold-${i}`, {}, scene.main));
      for (const node of nodes) await scene.resolve(node, origin);
      registry.faults.bytesPerSecond = ORIGIN_BYTES_PER_SECOND;
      const pulling = nodes.map((node) => pull(node, layer));
      for (const node of nodes) await fetched(node, MiB);
      swarm.signalSupernode('SIGSTOP');
      await sleep(STOPPED_MS);
      swarm.signalSupernode('SIGCONT');
      const pulls = await Promise.all(pulling);
      const copies = registry.requests.reduce((sum, one) => sum + (one.kind === 'blob' ? one.bodyBytes : 0), 0) / COLD;
      t.comment(`${copies.toFixed(3)} copies of the blob left the registry`);
      return { node: nodes[0]!, pulls, faults: copies <= 1.1 ? [] : [`${copies.toFixed(2)} copies left the registry`] };
    },
  },
];

// Several processes start for each row, on a machine that may have other things to do.
const BOUND_MS = 120_000;

catalogue(
  t,
  ROWS.map((row) => ({ ...row, boundMs: BOUND_MS })),
);
