import { MiB } from '../../src/base/units.ts';
import { PLAIN, type Scenario } from './scenario.ts';

const OFFICE: Partial<Scenario> = {
  nodes: 8,
  sizes: [256 * MiB],
  controlRtt: 0.3,
  peerRtt: 0.3,
  originRtt: 0.5,
};

/** The scenarios by name. Where the options say otherwise (`--nodes`, `--origin`, ...), they win. */
export const SCENARIOS: Readonly<Record<string, Partial<Scenario>>> = {
  /** Everybody begins at the very same moment. */
  flash: {},
  /** Within a tenth of a second. */
  cold: { spread: 100 },
  warm: { warm: 0.1 },
  staggered: { spread: 10_000 },
  rolling: { batches: 5 },
  layers: { spread: 100, sizes: [800e6, 400e6, 300e6] },
  layers256: { spread: 100, sizes: [256 * MiB, 256 * MiB, 256 * MiB] },
  later: { spread: 100, later: 500e3 },
  lone: { nodes: 1, originRtt: 100 },
  deaths: { spread: 100, deaths: 0.05 },
  resets: { spread: 100, deaths: 0.05, detect: 0 },
  slow: { spread: 100, slow: 0.05 },
  stall: { spread: 100, stallAt: 0.5 },
  office: { ...OFFICE, nodeRate: 25e3, originRate: 25e3 },
  office100: { ...OFFICE, nodeRate: 12.5e3, originRate: 12.5e3 },
  capped: { spread: 100, nodes: 4, connectionRate: 30e3 },
  unproven: { spread: 100, rangesKnown: false },
  noranges: { spread: 100, ranges: false, rangesKnown: false },
  manifest: { spread: 100, sizes: [2048] },
};

/** What is run when nothing is asked for. */
export function defaultRuns(): Scenario[] {
  const runs: Scenario[] = [];
  for (const nodes of [10, 100]) {
    for (const originRate of [300e3, 1200e3]) runs.push(scenario('cold', { nodes, originRate }));
  }
  for (const name of ['layers', 'later', 'warm', 'staggered', 'rolling', 'deaths', 'resets', 'slow', 'stall']) {
    runs.push(scenario(name, { nodes: 100 }));
  }
  for (const name of ['lone', 'office', 'capped', 'unproven', 'noranges', 'manifest']) runs.push(scenario(name, {}));
  return runs;
}

export function scenario(name: string, options: Partial<Scenario>): Scenario {
  return { ...PLAIN, ...SCENARIOS[name], ...options, name };
}
