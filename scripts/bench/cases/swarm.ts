import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MiB } from '../../../src/base/units.ts';
import type { Figures, Outcome } from '../../swarm/table.ts';
import { SEGMENT_BYTES } from '../../swarm/bound.ts';
import type { Case, Outside } from '../case.ts';
import { interleaved, OURS, type Runs, type Sample } from '../measure.ts';

const SCRIPT = fileURLToPath(new URL('../../swarm.js', import.meta.url));
const SIZE_MIB = 256;
const RUN_BOUND_MS = 300_000;
/** Each of them in the same rig, one after the other. */
const RIVALS = { 'BitTorrent, libtorrent': 'libtorrent', 'BitTorrent, aria2': 'aria2' } as const;
const P99 = 'p99 / bound';
const COPIES = 'copies from the origin';

export const swarm8 = swarmCase(8, 200);
export const swarm16 = swarmCase(16, 100);

function swarmCase(nodes: number, megabits: number): Case {
  return {
    name: `swarm-${nodes}x${megabits}`,
    title: `${nodes} nodes and the origin on links of ${megabits} Mbit/s: a blob of ${SIZE_MIB} MiB on all of them, cold (npm run swarm)`,
    marks: [
      { figure: P99, as: 'value', rule: 'at most', bound: 1.15 },
      { figure: COPIES, as: 'value', rule: 'at most', bound: 1.005 },
    ],
    runOutside: (outside) => runOf(outside, nodes, megabits),
  };
}

function runOf({ runs, scale, say }: Outside, nodes: number, megabits: number): Promise<Runs> {
  const shape = [String(nodes), '--rate', String(megabits), '--size', `${Math.ceil(SIZE_MIB / scale)}MiB`];
  const contenders = [
    // Where it has run for a while; BitTorrent's peers know each other, too, before the clock starts.
    { name: OURS, once: () => once([...shape, '--warm-up', '8MiB']) },
    ...Object.entries(RIVALS).map(([name, rival]) => ({ name, once: () => once([...shape, '--rival', rival]) })),
  ];
  return interleaved(contenders, runs, say);
}

async function once(args: readonly string[]): Promise<Sample> {
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, '--json', ...args], {
    timeout: RUN_BOUND_MS,
    maxBuffer: 16 * MiB,
  });
  const { figures, outcome, asked } = JSON.parse(stdout) as {
    figures: Figures;
    outcome: Outcome;
    asked: { size: number };
  };
  const { payload, segmentsAgain } = outcome.originSent;
  return {
    'p50 / bound': figures.p50,
    [P99]: figures.p99,
    'max / bound': figures.max,
    // What TCP had to send twice is no second copy.
    [COPIES]: (payload - segmentsAgain * SEGMENT_BYTES) / asked.size,
    'link bytes / size': figures.copiesSent,
    'machine busy': outcome.busy,
    ...Object.fromEntries(Object.entries(outcome.cpu).map(([part, seconds]) => [`CPU-s, ${part}`, seconds])),
  };
}
