import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

export const USAGE = `usage: npm run test:chaos -- [option...] [test file...]

Breaks what surrounds a node in every way that the catalogue (test/chaos) knows, and looks at what clients, log and metrics say.

  --row TEXT   only the rows whose id has TEXT in it
  --without    takes out of each row the handling that it guards: every row must fail
  --write      fills the table in docs/reliability.md
  --jobs N     test files at the same time (default 3, or fewer where there are fewer processors)
  --help       this

HAWKER_CHAOS_SEED=N repeats what was random in a run: each run prints its own.`;

export interface Asked {
  readonly help: boolean;
  readonly files: readonly string[];
  readonly row: string | undefined;
  readonly without: boolean;
  readonly write: boolean;
  readonly jobs: number;
  readonly seed: number;
}

/** Throws for what is none of the options, or no number. `random`: a seed, where none is given. */
export function parseOptions(args: readonly string[], seed: string | undefined, random: () => number): Asked {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: 'boolean', default: false },
      row: { type: 'string' },
      without: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      jobs: { type: 'string', default: String(Math.min(3, availableParallelism())) },
    },
  });
  const { help, row, without, write, jobs } = values;
  if (without && write) throw new Error('--write tells of rows that hold, --without of rows that fail');
  return {
    help,
    files: positionals,
    row,
    without,
    write,
    jobs: wholeNumber('--jobs', jobs),
    seed: seed === undefined ? random() : wholeNumber('HAWKER_CHAOS_SEED', seed),
  };
}

function wholeNumber(name: string, text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new Error(`${name} is no whole number: ${text}`);
}
