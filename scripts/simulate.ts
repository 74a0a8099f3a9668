/**
 * How good is the swarm? Runs the supernode's own code, thousands of virtual proxies and a modelled network in virtual time:
 * `node .build/scripts/simulate.js --help`.
 */
import { defaultRuns, scenario } from './simulate/scenarios.ts';
import { parseOptions, USAGE, type Asked } from './simulate/options.ts';
import type { Scenario } from './simulate/scenario.ts';
import { Simulation } from './simulate/simulation.ts';
import { header, LEGEND, line } from './simulate/table.ts';
import { runScript } from './support/run-script.ts';

function runsOf({ scenarios, nodes, originRates, seeds, options }: Asked): Scenario[] {
  if (scenarios.length === 0) return defaultRuns();
  const runs: Scenario[] = [];
  for (const name of scenarios) {
    for (const count of nodes ?? [scenario(name, {}).nodes]) {
      for (const originRate of originRates ?? [scenario(name, options).originRate]) {
        for (const seed of seeds) runs.push(scenario(name, { ...options, nodes: count, originRate, seed }));
      }
    }
  }
  return runs;
}

function main(asked: Asked): number {
  process.stdout.write(`${LEGEND}\n\n${header()}\n`);
  let hangs = 0;
  for (const run of runsOf(asked)) {
    const outcome = new Simulation(run).run();
    hangs += outcome.unfinished;
    process.stdout.write(`${line(run, outcome)}\n`);
  }
  return hangs > 0 ? 1 : 0;
}

process.exitCode = await runScript(process.argv.slice(2), { usage: USAGE, parse: parseOptions }, main);
