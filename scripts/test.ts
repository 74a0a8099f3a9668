/**
 * `npm test`: every test but the end-to-end ones, with coverage, and the coverage gate. With arguments (test files or folders,
 * options of tap): just those, without the gate.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { judgeCoverage, leastCovered } from './support/coverage-gate.ts';
import { runTap, tallyLine } from './support/run-tap.ts';
import { compiledTests, removeOrphans } from './support/test-files.ts';

const root = process.cwd();
const WORST_FILES_SHOWN = 10;

removeOrphans(root);
const given = process.argv.slice(2);
const args = given.flatMap((arg) => (arg.startsWith('-') ? [arg] : compiledTests(root, arg)));
// A subset must neither read nor leave behind what looks like the coverage of a whole run.
rmSync(join(root, '.tap/report'), { recursive: true, force: true });
const tally = await runTap({ args: given.length > 0 ? ['--allow-empty-coverage', ...args] : [], depth: 0 });

let shut = false;
if (given.length === 0) {
  const { percent, failures } = judgeCoverage(root);
  shut = failures.length > 0;
  process.stdout.write(`\ncoverage: ${percent.toFixed(2)} % of the lines of src/\n`);
  for (const failure of failures) process.stdout.write(`coverage: ${failure}\n`);
  if (shut) for (const file of leastCovered(root, WORST_FILES_SHOWN)) process.stdout.write(`  ${file}\n`);
}
process.stdout.write(`${tallyLine(tally)}\n`);
process.exitCode = tally.failed > 0 || shut ? 1 : 0;
