import { basename } from 'node:path';
import { runTap, type Tally, type TapResult, type TapRun } from './run-tap.ts';

/** How test files that know nothing of each other are run side by side. */
export interface Lanes {
  /** So many files at the same time. */
  readonly count: number;
  /** Names, without folder and ending, of those that are started first, in this order: the longest, so that none is left at the end. */
  readonly first?: readonly string[];
  /** Names, without folder and ending, of those that are run when all others have ended. */
  readonly alone: readonly string[];
  /** The command that one file's run is wrapped in; `leave` is called when it has ended. */
  readonly enter: (file: string) => { readonly wrapper: readonly string[]; readonly leave: () => void };
}

/**
 * A `runTap` that runs each file by itself in surroundings of its own, some at a time, in the order of the list but for those
 * that are named. What a file reports is shown when it has ended, so that the reports of two do not mix.
 */
export function inLanes({ count, first = [], alone, enter }: Lanes, runOne: typeof runTap = runTap) {
  return async ({ print = (line) => void process.stdout.write(`${line}\n`), ...run }: TapRun): Promise<TapResult> => {
    const results: TapResult[] = [];
    const runFile = async (file: string): Promise<void> => {
      const lines: string[] = [];
      const { wrapper, leave } = enter(file);
      try {
        const { tally, failedFiles } = await runOne({
          ...run,
          files: [file],
          wrapper,
          print: (line) => lines.push(line),
        });
        // Where not even tap could say what failed, the file has.
        results.push({ tally, failedFiles: tally.failed > 0 && failedFiles.length === 0 ? [file] : failedFiles });
      } finally {
        leave();
        for (const line of lines) print(line);
      }
    };
    const isAlone = (file: string) => alone.includes(nameOf(file));
    const placeOf = (file: string) => (first.includes(nameOf(file)) ? first.indexOf(nameOf(file)) : first.length);
    const queue = run.files.filter((file) => !isAlone(file)).toSorted((a, b) => placeOf(a) - placeOf(b));
    const lane = async (): Promise<void> => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runFile(file);
    };
    await Promise.all(Array.from({ length: count }, lane));
    for (const file of run.files.filter(isAlone)) await runFile(file);
    return { tally: sumOf(results), failedFiles: results.flatMap(({ failedFiles }) => failedFiles) };
  };
}

/** `swarm` of `.build/test/e2e/swarm.test.js`. */
export function nameOf(file: string): string {
  return basename(file).replace(/\.test\.js$/, '');
}

function sumOf(results: readonly TapResult[]): Tally {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const { tally } of results) {
    sum.passed += tally.passed;
    sum.failed += tally.failed;
    sum.skipped += tally.skipped;
  }
  return sum;
}
