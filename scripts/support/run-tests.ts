import { runTap, type Tally, type TapResult, type TapRun } from './run-tap.ts';

/** So many files of a run may fail by chance; where more do, something is broken. */
export const MAX_FLAKY_FILES = 3;

/** A file that is run again has the machine for itself, and adds nothing to the coverage. */
const ALONE = ['--disable-coverage', '--allow-empty-coverage', '--jobs=1'];

/** What came of a run. */
export interface Outcome extends Tally {
  /** Files in which something failed that did not fail when they were run again by themselves. */
  readonly flaky: readonly string[];
}

/** As `runTap`, but that files that failed are run again. */
export interface TestRun extends TapRun {
  /** How often a file that failed is run again; 0 where undefined. */
  readonly retries?: number | undefined;
}

/**
 * Runs test files, and those few that fail once more, alone: tests with real daemons on a machine that others use too meet the
 * limits that the product itself sets to time. What held only the second time is not hidden: its first output stays, and it is
 * named at the end as flaky. What fails again has failed.
 */
export async function runTests(
  { retries = 0, ...run }: TestRun,
  runOnce: (run: TapRun) => Promise<TapResult> = runTap,
): Promise<Outcome> {
  const { tally, failedFiles } = await runOnce(run);
  if (tally.failed === 0) return { ...tally, flaky: [] };
  // Where tap itself broke, or what failed has no name, nothing can be run again.
  const isFew = failedFiles.length > 0 && failedFiles.length <= MAX_FLAKY_FILES;
  const times = isFew ? retries : 0;
  let { failed } = tally;
  let still = failedFiles;
  for (let again = 0; again < times && failed > 0; again += 1) {
    const second = await runOnce({ ...run, options: [...run.options, ...ALONE], files: still });
    ({ failed } = second.tally);
    still = second.failedFiles;
  }
  return { ...tally, failed, flaky: failedFiles.filter((file) => failed === 0 || !still.includes(file)) };
}

/** `HAWKER_TEST_RETRIES`: how often files that fail are run again. */
export function retriesOf(env: NodeJS.ProcessEnv): number {
  const given = env['HAWKER_TEST_RETRIES'] ?? '0';
  if (!/^\d$/.test(given)) throw new Error(`HAWKER_TEST_RETRIES=${given}: not a number from 0 to 9`);
  return Number(given);
}

/** The lines that end a run; `.ci/run` adds up the last ones, and repeats the others. */
export function closingLines({ passed, failed, skipped, flaky }: Outcome): string {
  const named = flaky.map((file) => `flaky: ${file} failed, and passed when it was run again\n`);
  return `${named.join('')}${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`;
}
