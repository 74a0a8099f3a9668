/**
 * `npm test`: every test but the end-to-end ones, with coverage, and the coverage gate. With arguments (test files or folders,
 * options of tap): just those, without the gate.
 *
 * HAWKER_SEED=N repeats what was random; HAWKER_TEST_RETRIES=1 runs a few files that failed once more.
 */
import { randomInt } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { judgeCoverage, leastCovered } from './support/coverage-gate.ts';
import { closingLines, retriesOf, runTests } from './support/run-tests.ts';
import { compiledTests, removeOrphans } from './support/test-files.ts';

const root = process.cwd();
const WORST_FILES_SHOWN = 10;

removeOrphans(root);
const given = process.argv.slice(2);
/** The program refuses settings that it does not know, in its environment too: tests begin with none. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HAWKER_')));
const seed = process.env['HAWKER_SEED'] ?? String(randomInt(1_000_000));
process.stdout.write(`seed ${seed}: HAWKER_SEED=${seed} repeats what is random here\n`);
// A subset must neither read nor leave behind what looks like the coverage of a whole run.
rmSync(join(root, '.tap/report'), { recursive: true, force: true });
const outcome = await runTests({
  options: [
    `--node-arg=--import=${join(root, '.build/test/support/seeded.js')}`,
    ...(given.length > 0 ? ['--allow-empty-coverage'] : []),
    ...given.filter((arg) => arg.startsWith('-')),
  ],
  files: given.filter((arg) => !arg.startsWith('-')).flatMap((path) => compiledTests(root, path)),
  depth: 0,
  env: { ...env, HAWKER_SEED: seed },
  retries: retriesOf(process.env),
});

let shut = false;
if (given.length === 0) {
  const { percent, failures } = judgeCoverage(root);
  shut = failures.length > 0;
  process.stdout.write(`\ncoverage: ${percent.toFixed(2)} % of the lines of src/\n`);
  for (const failure of failures) process.stdout.write(`coverage: ${failure}\n`);
  if (shut) for (const file of leastCovered(root, WORST_FILES_SHOWN)) process.stdout.write(`  ${file}\n`);
}
process.stdout.write(closingLines(outcome));
process.exitCode = outcome.failed > 0 || shut ? 1 : 0;
