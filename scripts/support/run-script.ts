import { describeError } from '../../src/base/errors.ts';

/**
 * Runs a script of the command line; gives the exit status: 2 where the words are wrong (what `parse` throws says why), 0 after
 * `--help`, else what `work` gives.
 */
export async function runScript<A extends { readonly help: boolean }>(
  args: readonly string[],
  { usage, parse }: { usage: string; parse: (args: readonly string[]) => A },
  work: (asked: A) => number | Promise<number>,
): Promise<number> {
  let asked: A;
  try {
    asked = parse(args);
  } catch (error) {
    process.stderr.write(`${describeError(error)} (--help says more)\n`);
    return 2;
  }
  if (!asked.help) return work(asked);
  process.stdout.write(`${usage}\n`);
  return 0;
}
