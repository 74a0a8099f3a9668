/**
 * Another proxy breaks, lies or dies. Invariants I1 and I2: the client gets every byte, on the same response, from whoever else has
 * it; and the log names the peer.
 */
import t from 'tap';
import type { Hawker } from '../e2e/support/hawker.ts';
import { catalogue } from './support/catalogue.ts';
import { crowd, fetched } from './support/crowd.ts';
import { patchedBuild, uploadsWith } from './support/patched.ts';
import { pull } from './support/pull.ts';
import type { Evidence, Row } from './support/row.ts';
import type { Scene } from './support/scene.ts';

const MiB = 1024 * 1024;
const LAYER = 12 * MiB + 77;
/** So slow that it is still sending when something happens to it. */
const SLOWLY = { peer: { listen: '127.0.0.1:0', uploadLimit: '1MiB' } };
/** So large that each of several holders still sends when one of them is struck. */
const SHARED_LAYER = 24 * MiB + 77;
const FROM_ORIGIN = { name: 'hawker_client_bytes_total', labels: { source: 'origin' }, by: { atLeast: 1 } };
const allFromPeers = (layer: number) => ({
  name: 'hawker_client_bytes_total',
  labels: { source: 'peers' },
  by: { atLeast: layer },
});
const CUT = {
  taken: 'the notice of a closed connection',
  edits: [
    {
      file: 'p2p/peer/piece-connection.js',
      find: 'this.#fail(this.#exchange, this.#cut(this.#exchange));',
      replace: 'void 0;',
    },
  ],
};
const STALL = {
  taken: 'the second in which a byte must come',
  edits: [{ file: 'p2p/peer/piece-connection.js', find: 'STALL_MS = 1000', replace: 'STALL_MS = 100_000' }],
};

/** The one holder is a build with a fault. */
async function ofOne(scene: Scene, name: string, edits: Parameters<typeof patchedBuild>[2]): Promise<Evidence> {
  const main = await patchedBuild(scene, name, edits);
  const { node, origin, ids } = await crowd(scene, { layer: LAYER, holders: [{ main }] });
  return { node, pulls: [await pull(node, origin.layer)], blamed: ids[0]! };
}

/** A peer that is killed in the middle of the first piece that it sends. From outside, the blow may fall between two pieces. */
const KILLED = [
  uploadsWith(
    'if (p > slice.start) { await new Promise((sent) => setTimeout(sent, 50)); process.kill(process.pid, "SIGKILL"); } b = b.subarray(0, 65_536)',
  ),
];

/** The one holder sends slowly; once it does, and the beginning of the layer has come, `then` happens. */
async function during(scene: Scene, then: (holder: Hawker) => void): Promise<Evidence> {
  const { node, origin, holders, ids } = await crowd(scene, { layer: LAYER, holders: [{ config: SLOWLY }] });
  const pulling = pull(node, origin.layer);
  await fetched(node, 300_000);
  then(holders[0]!);
  return { node, pulls: [await pulling], blamed: ids[0]! };
}

const ROWS: Row[] = [
  {
    id: 'peers/killed',
    fault: 'the only peer that has it is killed while it sends (`kill -9`)',
    seen: { kind: 'whole', source: /mixed|origin|peers/ },
    codes: ['PEER_CUT'],
    moved: [FROM_ORIGIN],
    blamed: { who: 'the peer', code: 'PEER_CUT', field: 'peer' },
    without: CUT,
    run: (scene) => ofOne(scene, 'killed', KILLED),
  },
  {
    id: 'peers/frozen',
    fault: 'the only peer that has it is stopped while it sends (`SIGSTOP`)',
    seen: { kind: 'whole', source: /mixed|origin|peers/ },
    codes: ['PEER_STALLED'],
    moved: [FROM_ORIGIN],
    blamed: { who: 'the peer', code: 'PEER_STALLED', field: 'peer' },
    without: STALL,
    run: (scene) =>
      during(scene, ({ pid }) => {
        process.kill(pid, 'SIGSTOP');
        scene.rig.onClose(async () => void process.kill(pid, 'SIGCONT'));
      }),
  },
  {
    id: 'peers/many-killed',
    fault: 'one of three peers that have it is killed while all send',
    seen: { kind: 'whole', source: /mixed|peers/ },
    codes: ['PEER_CUT'],
    moved: [allFromPeers(SHARED_LAYER)],
    blamed: { who: 'the peer', code: 'PEER_CUT', field: 'peer' },
    without: CUT,
    async run(scene) {
      const main = await patchedBuild(scene, 'killed', KILLED);
      // It is the last that fills itself: the others have nothing of it.
      const holders = [{ config: SLOWLY }, { config: SLOWLY }, { main }];
      const made = await crowd(scene, { layer: SHARED_LAYER, holders });
      const { node, origin, ids } = made;
      const before = made.originBytes();
      const pulls = [await pull(node, origin.layer)];
      const again = made.originBytes() - before;
      const faults = again > 0 ? [`the origin gave ${again} bytes more`] : [];
      return { node, pulls, blamed: ids[2]!, faults };
    },
  },
  {
    id: 'peers/reset',
    fault: 'a peer resets each connection in the middle of a piece',
    seen: { kind: 'whole', source: /mixed|origin/ },
    codes: ['PEER_CUT'],
    moved: [FROM_ORIGIN],
    blamed: { who: 'the peer', code: 'PEER_CUT', field: 'peer' },
    without: CUT,
    run: (scene) =>
      ofOne(scene, 'reset', [
        uploadsWith(
          'if (this.sent) { response.socket.resetAndDestroy(); await new Promise(() => {}); } else this.sent = true',
        ),
      ]),
  },
  {
    id: 'peers/stalls',
    fault: 'a peer sends a part of a piece, and then nothing',
    seen: { kind: 'whole', source: /mixed|origin/ },
    codes: ['PEER_STALLED'],
    moved: [FROM_ORIGIN],
    blamed: { who: 'the peer', code: 'PEER_STALLED', field: 'peer' },
    without: STALL,
    run: (scene) =>
      ofOne(scene, 'stalls', [
        uploadsWith('if (p > slice.start) await new Promise(() => {}); b = b.subarray(0, 65_536)'),
      ]),
  },
  {
    id: 'peers/wrong-bytes',
    fault: 'a peer sends a wrong byte in a piece',
    seen: { kind: 'whole', source: /mixed|origin/ },
    codes: ['BAD_PIECE'],
    moved: [FROM_ORIGIN, { name: 'hawker_bad_pieces_total', labels: { reason: 'crc' }, by: { atLeast: 1 } }],
    blamed: { who: 'the peer', code: 'BAD_PIECE', field: 'peer' },
    without: {
      taken: 'the check of each piece against its CRC-32',
      edits: [{ file: 'p2p/peer/fetcher.js', find: '(crc32 !== undefined && actual !== crc32)', replace: 'false' }],
    },
    run: (scene) => ofOne(scene, 'wrong', [uploadsWith('', 'if (p >= 1_048_576) b[0] ^= 1')]),
  },
  {
    id: 'peers/has-not',
    fault: 'a peer says that it has what it has not',
    seen: { kind: 'whole', source: 'origin' },
    codes: ['PEER_GONE'],
    moved: [FROM_ORIGIN],
    blamed: { who: 'nobody: a blob may have been evicted' },
    without: {
      taken: 'what a 404 of a peer means',
      edits: [{ file: 'p2p/peer/range-taker.js', find: 'if (status === 404)', replace: 'if (status === 999)' }],
    },
    run: (scene) => ofOne(scene, 'has-not', [{ file: 'p2p/peer/upload.js', find: 'if (!body)', replace: 'if (true)' }]),
  },
  {
    id: 'peers/disk-error',
    fault: 'a peer cannot read its disk',
    seen: { kind: 'whole', source: 'origin' },
    codes: ['PEER_CUT'],
    moved: [FROM_ORIGIN],
    blamed: { who: 'the peer', code: 'PEER_CUT', field: 'peer' },
    without: CUT,
    run: (scene) => ofOne(scene, 'disk', [uploadsWith("throw new Error('EIO: i/o error, read')")]),
  },
  {
    id: 'peers/origin-gone',
    fault: 'the registry dies in the middle of a pull; only a manifest names what is left, and a peer has it',
    // What the rest of a blob will come from is not known when its headers go out.
    seen: { kind: 'whole', source: /mixed|peers/ },
    codes: ['SERVED_STALE'],
    mayLog: ['ORIGIN_UNREACHABLE'],
    moved: [allFromPeers(LAYER)],
    blamed: { who: 'the upstream', code: 'SERVED_STALE', field: 'upstream', name: 'docker.io' },
    without: {
      taken: 'the word of a peer that it has read it',
      edits: [{ file: 'app/proxy.js', find: 'const vouchers = peer?.vouchers', replace: 'const vouchers = undefined' }],
    },
    async run(scene) {
      const { node, origin } = await crowd(scene, { layer: LAYER, holders: [{}] });
      await origin.registry.close();
      return { node, pulls: [await pull(node, origin.layer)] };
    },
  },
];

// Several processes start for each row, on a machine that may have other things to do.
const BOUND_MS = 120_000;

catalogue(
  t,
  ROWS.map((row) => ({ ...row, boundMs: BOUND_MS })),
);
