/**
 * Does anything break a pull, or grow? Real supernodes and proxies, an origin that misbehaves, random clients, and something broken
 * every few seconds: `npm run soak -- --help`. Linux only: it reads /proc.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { reportOf } from './soak/report.ts';
import { soak } from './soak/soak.ts';
import { runScript } from './support/run-script.ts';

const USAGE = `Usage: npm run soak -- [options]

Two supernodes and some proxies, each a process of its own, under clients that compare every byte; the registry misbehaves, and
processes are killed, stopped and restarted at random. Ends with what memory, descriptors and disk have come to. Exit status 1
where a pull failed that a source could have served, or anything grew, stayed behind or ended by itself.

  --minutes N   how long things are broken (20)
  --seed WORD   the same seed breaks the same things (a random one, printed)
  --nodes N     proxies, 3 or more (4)
  --keep        keeps the stores and logs, also where all went well
  --quiet       prints the result only
  --help`;

interface Asked {
  readonly help: boolean;
  readonly minutes: number;
  readonly seed: string;
  readonly nodes: number;
  readonly keep: boolean;
  readonly quiet: boolean;
}

function parse(args: readonly string[]): Asked {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '20' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
      nodes: { type: 'string', default: '4' },
      keep: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const minutes = Number(values.minutes);
  const nodes = Number(values.nodes);
  if (!(minutes > 0)) throw new Error(`--minutes takes a number, not ${values.minutes}`);
  if (!Number.isInteger(nodes) || nodes < 3) throw new Error(`--nodes takes a number from 3 on, not ${values.nodes}`);
  return { ...values, minutes, nodes };
}

async function main({ minutes, seed, nodes, keep, quiet }: Asked): Promise<number> {
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  const dir = await mkdtemp(join(tmpdir(), 'hawker-soak-'));
  say(`seed ${seed}: ${minutes} minutes, ${nodes} proxies, in ${dir}`);
  const beganAt = performance.now();
  const log = (line: string) => {
    if (!quiet) say(`${((performance.now() - beganAt) / 1000).toFixed(1).padStart(7)} s  ${line}`);
  };
  const result = await soak({ minutes, seed, nodes, dir, log });
  say(reportOf(result));
  const isGood = result.failures.length === 0;
  if (isGood && !keep) await rm(dir, { recursive: true, force: true });
  else say(`stores and logs are kept in ${dir}; --seed ${seed} runs the same again`);
  return isGood ? 0 : 1;
}

process.exitCode = await runScript(process.argv.slice(2), { usage: USAGE, parse }, main);
