import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CASES } from './cases.ts';

const MAX_RUNS = 100;
const MAX_SCALE = 1024;

export const USAGE = `Usage: npm run bench -- [options] [CASE...]
       node .build/scripts/bench.js [options] [CASE...]      (built by npm run build && npm run build:test)

Runs Hawker and its rivals in turn, installs what it needs for that (apt-get), prints a table of medians against their marks, and
writes every single run to bench/results.json. Needs root, Linux and 16 GiB of memory. Without CASE: all of them.

${CASES.map(({ name, title }) => `  ${name.padEnd(20)} ${title}`).join('\n')}

  --runs N              of each contender (5)
  --out FILE            where the results go (bench/results.json; of single cases: into it, beside the others)
  --scale N             blobs are so much smaller: to try the benchmark itself, not for figures (1)
  --profile DIR         writes CPU profiles of Hawker's processes there: slower, not for figures
  --help`;

export interface Asked {
  readonly help: boolean;
  readonly cases: readonly string[];
  readonly runs: number;
  readonly scale: number;
  readonly out: string;
  readonly profile: string | undefined;
}

/** Throws an `Error` that says what is wrong. */
export function parseOptions(args: readonly string[]): Asked {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
      runs: { type: 'string', default: '5' },
      scale: { type: 'string', default: '1' },
      out: { type: 'string', default: 'bench/results.json' },
    },
  });
  const known = CASES.map(({ name }) => name);
  const unknown = positionals.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`there is no case ${unknown}; there are ${known.join(', ')}`);
  return {
    help: values.help,
    cases: positionals.length > 0 ? known.filter((name) => positionals.includes(name)) : known,
    runs: whole('--runs', values.runs, MAX_RUNS),
    scale: whole('--scale', values.scale, MAX_SCALE),
    out: values.out,
    profile: values.profile === undefined ? undefined : resolve(values.profile),
  };
}

function whole(name: string, text: string, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > most) throw new Error(`${name} is from 1 to ${most}, not ${text}`);
  return value;
}
