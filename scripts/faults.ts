/**
 * What does an operator see when something is wrong? Clusters in network namespaces with real firewalls, DNS, signals and clocks,
 * broken in every way that the catalogue knows: `npm run faults -- --help`. A whole run writes docs/faults.md.
 *
 * Everything is inside network, mount and process namespaces of its own (netns/enclosure.ts): nothing of the host is touched, and
 * whatever ends this program ends all of it.
 */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { describeError } from '../src/base/errors.ts';
import { formatTime } from '../src/base/units.ts';
import { runCatalogue } from './faults/catalogue.ts';
import { CAUSES } from './faults/causes.ts';
import { EIGHT, runEight } from './faults/eight.ts';
import { missing } from './faults/needs.ts';
import { parseOptions, USAGE, type Asked } from './faults/options.ts';
import type { Outcome } from './faults/outcome.ts';
import { outcomeText, page, type RunFacts } from './faults/report.ts';
import { World } from './faults/world.ts';
import { enclosed, enclosureDir, endWithOutside } from './netns/enclosure.ts';
import { runScript } from './support/run-script.ts';

const PAGE = 'docs/faults.md';

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

async function runAll(asked: Asked, dir: string): Promise<number> {
  const { only, jobs, freezeMs, heartbeat, logs } = asked;
  const causes = CAUSES.filter(({ name }) => only.length === 0 || only.includes(name));
  const world = await World.create(dir, { heartbeat, blobs: causes.length + EIGHT.length });
  const onOutcome = (one: Outcome) => say(outcomeText(one));
  const outcomes = await runCatalogue(world, { causes, jobs, freezeMs, quick: false, onOutcome });
  const eight = only.length === 0 ? await runEight(world, 0) : undefined;
  await world.close();
  if (logs !== undefined) {
    await mkdir(logs, { recursive: true });
    await cp(dir, logs, { recursive: true, filter: (path) => path === dir || /\.(?:json|log)$/.test(path) });
  }
  const faults = [...outcomes, ...(eight?.nodes ?? [])].filter((one) => one.faults.length > 0);
  for (const one of faults) say(`not right: ${one.cause.name}: ${one.faults.join('; ')}`);
  // The page says that all was as it must be.
  if (eight && faults.length === 0) await writePage(page(outcomes, eight, factsOf(asked)));
  return faults.length > 0 ? 1 : 0;
}

async function writePage(text: string): Promise<void> {
  await writeFile(PAGE, await format(text, { ...(await resolveConfig(PAGE)), filepath: PAGE }));
  say(`written: ${PAGE}`);
}

function factsOf({ heartbeat, freezeMs }: Asked): RunFacts {
  const [cpu] = cpus();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  const machine = `${cpus().length} x ${cpu?.model ?? 'unknown'}, ${memory}, Linux ${release()}, Node ${process.version}`;
  return { date: new Date().toISOString().slice(0, 10), machine, heartbeat, freeze: formatTime(freezeMs) };
}

process.exitCode = await runScript(process.argv.slice(2), { usage: USAGE, parse: parseOptions }, main);
// Inside, this process is the first of its namespace: with it ends all that it has started.
if (enclosureDir() !== undefined) process.exit();
