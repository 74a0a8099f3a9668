/**
 * What does an operator see when something is wrong? Clusters in network namespaces with real firewalls, DNS, signals and clocks,
 * broken in every way that the catalogue knows: `npm run faults -- --help`. A whole run writes docs/faults.md.
 *
 * Everything is inside network, mount and process namespaces of its own (netns/enclosure.ts): nothing of the host is touched, and
 * whatever ends this program ends all of it.
 */
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../src/base/errors.ts';
import { runCatalogue } from './faults/catalogue.ts';
import { CAUSES } from './faults/causes.ts';
import { missing } from './faults/needs.ts';
import { parseOptions, USAGE, type Asked } from './faults/options.ts';
import { outcomeText } from './faults/report.ts';
import { World } from './faults/world.ts';
import { enclosed, enclosureDir, endWithOutside } from './netns/enclosure.ts';
import { runScript } from './support/run-script.ts';

const say = (line: string) => void process.stdout.write(`${line}\n`);

async function main(asked: Asked): Promise<number> {
  const dir = enclosureDir();
  if (dir === undefined) {
    const reasons = missing();
    for (const reason of reasons) process.stderr.write(`faults: ${reason}\n`);
    return reasons.length > 0 ? 1 : enclosed(process.argv.slice(2));
  }
  endWithOutside();
  try {
    return await runAll(asked, join(dir, 'world'));
  } catch (error) {
    process.stderr.write(`faults: ${describeError(error)}\n`);
    return 1;
  }
}

async function runAll({ only, jobs, freezeMs, heartbeat, logs }: Asked, dir: string): Promise<number> {
  const causes = CAUSES.filter(({ name }) => only.length === 0 || only.includes(name));
  const world = await World.create(dir, { heartbeat, blobs: causes.length });
  const outcomes = await runCatalogue(world, { causes, jobs, freezeMs, onOutcome: (one) => say(outcomeText(one)) });
  await world.close();
  if (logs !== undefined) {
    await mkdir(logs, { recursive: true });
    await cp(dir, logs, { recursive: true, filter: (path) => path === dir || /\.(?:json|log)$/.test(path) });
  }
  return outcomes.some(({ faults }) => faults.length > 0) ? 1 : 0;
}

process.exitCode = await runScript(process.argv.slice(2), { usage: USAGE, parse: parseOptions }, main);
// Inside, this process is the first of its namespace: with it ends all that it has started.
if (enclosureDir() !== undefined) process.exit();
