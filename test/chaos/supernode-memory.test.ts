/**
 * A supernode that may take little memory, and those who want all of it. Invariants I2, I5 and I7: it keeps its limits against
 * who does not belong to the cluster; where members take too much of it, it dies, and pulls go on until it is there again.
 */
import t from 'tap';
import { type Edit, PROGRAM } from '../../scripts/support/build-copy.ts';
import { MAX_UNREGISTERED } from '../../src/p2p/supernode/supernode.ts';
import type { Swarm } from '../e2e/support/swarm.ts';
import { catalogue } from './support/catalogue.ts';
import { crowd, fetched } from './support/crowd.ts';
import { Footprint } from './support/footprint.ts';
import { sumOf } from './support/metrics.ts';
import { patchedBuild } from './support/patched.ts';
import { pull } from './support/pull.ts';
import type { Row } from './support/row.ts';
import { babble, exhaust, occupy, shout } from './support/strangers.ts';
import { untilSo } from './support/until-so.ts';

const MiB = 1024 * 1024;
const LAYER = 6 * MiB + 77;
/** So slow that it is still sending when something happens. */
const SLOWLY = { peer: { listen: '127.0.0.1:0', uploadLimit: '1MiB' } };
const PEER_BYTES = { name: 'hawker_client_bytes_total', labels: { source: 'peers' }, by: { atLeast: 1 } };
/** Of V8's heap: the program takes a third of it when it is idle. */
const HEAP_MIB = 64;
const LIMITED = { env: { NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}` } };
const SHOUTERS = 2;
const SHOUTED = 128 * MiB;
/** More than what all connections that may be open take. */
const MOST_MORE = 160 * MiB;
const MOST_OPENED = 2 * MAX_UNREGISTERED;
/** Connections that say nothing are closed after a while: on a busy machine before all that may be open are. */
const PATIENT: Edit = {
  file: 'p2p/protocol/limits.js',
  find: 'HELLO_TIMEOUT_MS = 5000',
  replace: 'HELLO_TIMEOUT_MS = 600_000',
};
/** RFC 6455, 7.4.1: a message that is too big. */
const TOO_BIG = 1009;
/** RFC 6455, 7.1.5: closed without a word, as who still sends may see it: input that nobody reads resets the connection. */
const CUT_OFF = 1006;
const AGAIN_MS = 30_000;

/** What the strangers came to see, and what they cost. */
async function strangerFaults(swarm: Swarm, seen: { closed: number[]; babbled: string; full: string | undefined }) {
  const { closed, babbled, full } = seen;
  const metrics = await (await fetch(`${swarm.url}/metrics`)).text();
  const counted = sumOf(metrics, 'hawker_registration_failures_total', { code: 'FULL' });
  return [
    ...(closed.every((code) => code === TOO_BIG || code === CUT_OFF)
      ? []
      : [`who said too much was closed with ${closed.join()}`]),
    ...(babbled === 'MESSAGE_INVALID' ? [] : [`who said no message was refused for ${babbled}`]),
    ...(full === 'FULL' ? [] : [`connections without end were refused for ${full ?? 'nothing'}`]),
    ...(counted >= 1 ? [] : ['the supernode has counted no FULL']),
  ];
}

const ROWS: Row[] = [
  {
    id: 'supernode/memory-limit',
    fault: `a supernode with a heap of ${HEAP_MIB} MiB; strangers send it messages of ${SHOUTED / MiB} MiB, and take all its connections`,
    seen: { kind: 'whole', source: /mixed|peers/ },
    codes: [],
    moved: [PEER_BYTES],
    blamed: { who: `the strangers: close code ${TOO_BIG}, \`MESSAGE_INVALID\` and \`FULL\` at the supernode` },
    without: {
      taken: 'the limit on the size of a message',
      edits: [
        { file: 'p2p/supernode/upgrade.js', find: 'maxPayload: MAX_MESSAGE_BYTES', replace: 'maxPayload: 0' },
        { file: 'p2p/supernode/upgrade.js', find: 'bytes <= MAX_UNPROVED_BYTES', replace: 'bytes >= 0' },
      ],
    },
    async run(scene) {
      const holders = [{ config: SLOWLY }];
      // One that is to fail is another build already.
      const patient = scene.main === PROGRAM && { main: await patchedBuild(scene, 'patient', [PATIENT]) };
      const made = await crowd(scene, { layer: LAYER, holders, supernode: { ...LIMITED, ...patient } });
      const { node, origin, swarm } = made;
      const { supernode } = swarm;
      const read = made.originBytes();
      const footprint = new Footprint(supernode);
      const pulling = pull(node, origin.layer);
      await fetched(node, 300_000);
      const closed = await Promise.all(Array.from({ length: SHOUTERS }, () => shout(swarm, SHOUTED)));
      const babbled = await babble(swarm);
      const full = await occupy(scene.rig, swarm, MOST_OPENED);
      const pulls = [await pulling];
      const again = made.originBytes() - read;
      if (!supernode.running) return { node, pulls, faults: ['the supernode has ended'] };
      const faults = [
        ...footprint.peakFaults(MOST_MORE),
        ...(await strangerFaults(swarm, { closed, babbled, full })),
        ...(again === 0 ? [] : [`the registry gave ${again} bytes more`]),
      ];
      return { node, pulls, faults };
    },
  },
  {
    id: 'supernode/out-of-memory',
    fault: `members announce more than a supernode with a heap of ${HEAP_MIB} MiB can keep: it dies in the middle of a pull, and is started again`,
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
    async run(scene) {
      const holders = [{ config: SLOWLY }];
      const { node, origin, swarm } = await crowd(scene, { layer: LAYER, holders, supernode: LIMITED });
      const pulling = pull(node, origin.layer);
      await fetched(node, 300_000);
      const end = await exhaust(scene.rig, swarm);
      await swarm.startSupernode(scene.main);
      const back = await untilSo(AGAIN_MS, async () => {
        const { peers } = await swarm.peers().catch(() => ({ peers: [] }));
        const ready = peers.filter(({ state }) => state === 'ready').length;
        return ready === 2 ? [] : [`${ready} of 2 peers are ready again`];
      });
      const faults = [
        ...(end === 'SIGABRT' ? [] : [`the supernode ended with ${end}, not for want of memory`]),
        ...back,
      ];
      return { node, pulls: [await pulling], faults, blamed: swarm.url };
    },
  },
];

// Several processes start for each row, on a machine that may have other things to do.
const BOUND_MS = 150_000;

catalogue(
  t,
  ROWS.map((row) => ({ ...row, boundMs: BOUND_MS })),
);
