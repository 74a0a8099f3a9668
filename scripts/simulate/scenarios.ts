import { MiB } from '../../src/base/units.ts';
import { PLAIN, type Scenario } from './scenario.ts';

/** The scenarios by name. Where the options say otherwise (`--nodes`, `--origin`, ...), they win. */
export const SCENARIOS: Readonly<Record<string, Partial<Scenario>>> = {
  cold: { spread: 100 },
  warm: { warm: 0.1 },
  staggered: { spread: 10_000 },
  rolling: { batches: 5 },
  layers: { spread: 100, sizes: [800e6, 400e6, 300e6] },
  lone: { nodes: 1, originRtt: 100 },
  deaths: { deaths: 0.05 },
  resets: { deaths: 0.05, detect: 0 },
  slow: { slow: 0.05 },
  office: {
    nodes: 8,
    nodeRate: 25e3,
    originRate: 25e3,
    sizes: [256 * MiB],
    controlRtt: 0.3,
    peerRtt: 0.3,
    originRtt: 0.5,
  },
  capped: { nodes: 4, connectionRate: 30e3 },
  unproven: { rangesKnown: false },
  manifest: { sizes: [2048] },
};

/** What is run when nothing is asked for. */
export function defaultRuns(): Scenario[] {
  const runs: Scenario[] = [];
  for (const nodes of [10, 100]) {
    for (const originRate of [300e3, 1200e3]) runs.push(scenario('cold', { nodes, originRate }));
  }
  for (const name of ['layers', 'warm', 'staggered', 'rolling', 'deaths', 'resets', 'slow']) {
    runs.push(scenario(name, { nodes: 100 }));
  }
  for (const name of ['lone', 'office', 'capped', 'unproven', 'manifest']) runs.push(scenario(name, {}));
  return runs;
}

export function scenario(name: string, options: Partial<Scenario>): Scenario {
  return { ...PLAIN, ...SCENARIOS[name], ...options, name };
}
