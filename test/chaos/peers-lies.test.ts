/**
 * Another proxy is slow, is shut off, tells lies of what it has read, or of others. Invariants I1 and I2: the client gets every byte and
 * no wrong one, from who is good for it; who is at fault is known, and who is not loses nothing by it.
 */
import t from 'tap';
import type { Hawker } from '../e2e/support/hawker.ts';
import { catalogue } from './support/catalogue.ts';
import { crowd, fetched, type Crowd } from './support/crowd.ts';
import { Firewall } from './support/firewall.ts';
import { metricsOf, sumOf } from './support/metrics.ts';
import { patchedBuild, uploadsWith } from './support/patched.ts';
import { pull } from './support/pull.ts';
import type { Moved, Row } from './support/row.ts';
import type { Scene } from './support/scene.ts';
import { untilSo } from './support/until-so.ts';

const MiB = 1024 * 1024;
/** Its last piece is so small that no client gets a byte of it before the digest is known. */
const LAYER = 6 * MiB + 77;
/** Each upload goes in steps of so many bytes, with a pause before each. */
const STEP_BYTES = 65_536;
/** A piece in a seventh of a second. */
const PAUSE_MS = 8;
const SLOW_PAUSE_MS = 20 * PAUSE_MS;
/** So large that the slow one has to be asked again in the middle. */
const SLOW_LAYER = 64 * MiB + 77;
/** So slow that it is still being pulled when a peer is shut off. */
const SHUT_PAUSE_MS = 16;
const SHUT_LAYER = 16 * MiB + 77;
/** Two nodes that read from the registry meet in the middle. */
const ORIGIN_BYTES_PER_SECOND = 2 * MiB;
/** Receivers whose complaints suspend a sender. */
const ACCUSERS = 3;
const HOLDERS = 3;
const END_BOUND_MS = 10_000;
const KNOWN_BOUND_MS = 5000;

const fromPeers = (bytes: number): Moved => ({
  name: 'hawker_client_bytes_total',
  labels: { source: 'peers' },
  by: { atLeast: bytes },
});

const stepsWith = (pauseMs: number, work = '', after = '') =>
  uploadsWith(
    `${work}; b = b.subarray(0, ${STEP_BYTES}); await new Promise((done) => setTimeout(done, ${pauseMs}))`,
    after,
  );

/** As `stepsWith`; and its log says of each piece of a layer how many are on their way as it begins, itself among them. */
const stepsToldWith = (pauseMs: number) =>
  stepsWith(
    pauseMs,
    [
      'const isPiece = slice.end - slice.start > 500_000',
      'const tell = () => process.stderr.write(JSON.stringify({ code: "SENDS", running: globalThis.running }) + "\\n")',
      'if (isPiece && p === slice.start) { globalThis.running = (globalThis.running ?? 0) + 1; tell(); }',
    ].join('; '),
    'if (isPiece && p + n >= slice.end) globalThis.running -= 1',
  );

/** Bytes that a node has given to others. */
async function givenBy(node: Hawker): Promise<number> {
  return sumOf(await metricsOf(node), 'hawker_peer_bytes_total', { direction: 'out' });
}

/** Pulls as one that says of every piece that it is wrong; what keeps it from being one. */
async function accuse(scene: Scene, { origin, swarm, ids }: Crowd, name: string, main: string): Promise<string[]> {
  const accuser = await swarm.join(name, {}, main);
  await scene.resolve(accuser, origin);
  await pull(accuser, origin.layer);
  const accused = new Set(accuser.logged('BAD_PIECE').map(({ peer }) => peer));
  accuser.terminate();
  await accuser.ended(END_BOUND_MS);
  return ids.filter((id) => !accused.has(id)).map((id) => `${name} has not accused ${id}`);
}

const ROWS: Row[] = [
  {
    id: 'peers/slow',
    fault: 'one of two peers that have it sends at a tenth of the speed of the other, or less',
    seen: { kind: 'whole', source: /mixed|peers/ },
    codes: [],
    moved: [fromPeers(SLOW_LAYER)],
    blamed: { who: 'nobody: the slow one is asked for one piece at a time' },
    without: {
      taken: 'fewer slots for a slow sender',
      edits: [{ file: 'p2p/supernode/slots.js', find: '!this.#rules.shrinkSlots', replace: 'true' }],
    },
    async run(scene) {
      const fast = await patchedBuild(scene, 'fast', [stepsWith(PAUSE_MS)]);
      const slow = await patchedBuild(scene, 'slow', [stepsToldWith(SLOW_PAUSE_MS)]);
      const made = await crowd(scene, { layer: SLOW_LAYER, holders: [{ main: fast }, { main: slow }] });
      const { node, origin, holders } = made;
      const pulls = [await pull(node, origin.layer)];
      // How slow it is shows when its first pieces have come: before, it got as many as the other.
      const sent = holders[1]!.logged('SENDS').map(({ running }) => Number(running));
      const beside = sent.slice(2).filter((running) => running > 1).length;
      const given = await givenBy(holders[1]!);
      return {
        node,
        pulls,
        faults: [
          ...(sent.length > 0 ? [] : ['the slow one was asked for nothing']),
          ...(beside === 0 ? [] : [`the slow one was asked for ${beside} pieces more than one at a time`]),
          ...(given <= SLOW_LAYER / 4 ? [] : [`the slow one gave ${given} bytes`]),
        ],
      };
    },
  },
  {
    id: 'peers/firewall-between',
    fault: 'a firewall shuts off one of two peers between two pieces: what it is asked vanishes',
    seen: { kind: 'whole', source: /mixed|peers/ },
    codes: ['PEER_STALLED'],
    moved: [fromPeers(SHUT_LAYER)],
    blamed: { who: 'the peer', code: 'PEER_STALLED', field: 'peer' },
    without: {
      taken: 'the second in which a byte must come',
      edits: [{ file: 'p2p/peer/piece-connection.js', find: 'STALL_MS = 1000', replace: 'STALL_MS = 100_000' }],
    },
    async run(scene) {
      const firewall = await Firewall.start(scene);
      const main = await patchedBuild(scene, 'paced', [stepsWith(SHUT_PAUSE_MS)]);
      const config = { peer: { listen: '127.0.0.1:0', advertise: [firewall.address] } };
      const made = await crowd(scene, {
        layer: SHUT_LAYER,
        holders: [{ main, config, behind: firewall }, { main }],
      });
      const { node, origin, ids } = made;
      const before = made.originBytes();
      const pulling = pull(node, origin.layer);
      await fetched(node, MiB / 2);
      firewall.shut();
      const pulls = [await pulling];
      const again = made.originBytes() - before;
      return {
        node,
        pulls,
        blamed: ids[0]!,
        faults: [
          ...(firewall.vanished > 0 ? [] : ['the peer that is shut off was not asked']),
          ...(again === 0 ? [] : [`the origin gave ${again} bytes more`]),
        ],
      };
    },
  },
  {
    id: 'peers/lies-in-crc',
    fault:
      'a proxy reads a wrong byte from the registry, and tells the check sum of what it has read; two others have the piece from it',
    seen: { kind: 'whole', source: /mixed|origin|peers/ },
    codes: ['BLOB_DISPUTED', 'DISPUTE_SETTLED'],
    moved: [{ name: 'hawker_bad_pieces_total', labels: { reason: 'dispute' }, by: 1 }],
    blamed: { who: 'who has read it first (`peer` of `READS_WRONG_BYTES` in the supernode’s log)' },
    without: {
      taken: 'putting right what has not its digest',
      edits: [
        {
          file: 'p2p/peer/download.js',
          find: 'void this.#putRight(this.#fetching, actual)',
          replace: 'this.#mismatch(actual)',
        },
      ],
    },
    async run(scene) {
      const origin = await scene.origin({ layers: [LAYER] });
      const spoilt = await scene.origin({ layers: [LAYER] });
      const { registry, layer } = origin;
      const swarm = await scene.swarm(registry.url);
      const liar = await scene.join(swarm, 'liar', spoilt.registry.url);
      const nodes = [
        await scene.join(swarm, 'node-a', registry.url),
        await scene.join(swarm, 'node-b', registry.url),
      ] as const;
      for (const node of nodes) await scene.resolve(node, origin);
      await scene.resolve(liar, spoilt);
      spoilt.registry.faults.flip = { offset: LAYER - scene.between(1, LAYER % MiB), times: Infinity };
      const lie = await pull(liar, layer, { range: [LAYER - (LAYER % MiB), LAYER] });
      registry.faults.bytesPerSecond = ORIGIN_BYTES_PER_SECOND;
      const pulls = await Promise.all(nodes.map((node) => pull(node, layer)));
      const { id } = (await swarm.peers()).peers.find(({ addresses }) => addresses.includes(liar.pieces))!;
      const blameFaults = await untilSo(KNOWN_BOUND_MS, async () => {
        const blamed = swarm.logged('READS_WRONG_BYTES').map(({ peer }) => String(peer));
        return blamed.length === 1 && blamed[0] === id ? [] : [`blamed is "${blamed.join()}", not ${id}`];
      });
      // The one that reads the piece again may have it right before it knows that it was wrong.
      const node = nodes.find((one) => one.logged('BLOB_DISPUTED').length > 0) ?? nodes[0];
      return {
        node,
        pulls,
        faults: [...blameFaults, ...(lie.wrongAt === undefined ? ['the liar has read right bytes'] : [])],
      };
    },
  },
  {
    id: 'peers/accuses-everybody',
    fault: `${ACCUSERS} proxies, one after another, say of every piece of each of ${HOLDERS} peers that it is wrong; then a fourth one pulls`,
    seen: { kind: 'whole', source: /mixed|peers/ },
    codes: [],
    moved: [fromPeers(LAYER)],
    blamed: { who: 'nobody: who accuses three is not believed, and all that were accused go on giving' },
    without: {
      taken: 'ignoring who accuses three senders',
      edits: [{ file: 'p2p/supernode/trust.js', find: 'accused.size >= ACCUSATIONS_TO_IGNORE', replace: 'false' }],
    },
    async run(scene) {
      const made = await crowd(scene, { layer: LAYER, holders: Array.from({ length: HOLDERS }, () => ({})) });
      const main = await patchedBuild(scene, 'accuser', [
        { file: 'p2p/peer/fetcher.js', find: '(crc32 !== undefined && actual !== crc32)', replace: 'true' },
      ]);
      const faults: string[] = [];
      for (let n = 1; n <= ACCUSERS; n += 1) faults.push(...(await accuse(scene, made, `accuser-${n}`, main)));
      const { node, origin, holders } = made;
      const readBefore = made.originBytes();
      const givenBefore = await Promise.all(holders.map(givenBy));
      const pulls = [await pull(node, origin.layer)];
      const again = made.originBytes() - readBefore;
      const given = await Promise.all(holders.map(givenBy));
      const idle = given.filter((bytes, i) => bytes === givenBefore[i]).length;
      return {
        node,
        pulls,
        faults: [
          ...faults,
          ...(idle === 0 ? [] : [`${idle} of those who were accused gave nothing`]),
          ...(again === 0 ? [] : [`the origin gave ${again} bytes more`]),
        ],
      };
    },
  },
];

// Several processes start for each row, on a machine that may have other things to do.
const BOUND_MS = 120_000;

catalogue(
  t,
  ROWS.map((row) => ({ ...row, boundMs: BOUND_MS })),
);
