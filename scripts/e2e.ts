/**
 * `npm run test:e2e`: the tests with real registries, container daemons and clients, two files at a time, each in namespaces of
 * its own. Installs what is missing where it may; leaves nothing behind but the packages. With arguments (test files, options of
 * tap): just those.
 *
 * HAWKER_E2E_REQUIRE=1 turns what would be skipped into a failure. HAWKER_TEST_RETRIES=1 runs a few files that failed once more,
 * when all others have ended. `--write`: pages that a run is compared with are written anew.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { E2E_PACKAGES, installMissing } from './support/install.ts';
import { inLanes } from './support/lanes.ts';
import { closingLines, retriesOf, runTests } from './support/run-tests.ts';
import { sandbox } from './support/sandbox.ts';
import { compiledTests, removeOrphans } from './support/test-files.ts';

const root = process.cwd();
const WRITE = '--write';
/** For one test file; every wait in it has its own, shorter bound. */
const FILE_BOUND_S = 3600;

/**
 * What these hold has to do with limits that the product sets to time or memory (how soon a node goes on without the others, what
 * it sheds): they have the machine for themselves.
 */
const ALONE = ['get-once', 'swarm', 'resources'];
/** Those that took longest (minutes, when this was written), so that no lane is left with one when the others are through. */
const FIRST = ['faults', 'strangers', 'walk', 'image', 'failures', 'heap', 'upgrade', 'clients'];
/** Most of the time daemons are waited for. */
const JOBS = 2;

const say = (line: string) => void process.stdout.write(`e2e: ${line}\n`);

/** `HAWKER_E2E_JOBS=N`: N files at a time. */
function jobs(): number {
  const given = process.env['HAWKER_E2E_JOBS'] ?? String(Math.min(JOBS, availableParallelism()));
  if (!/^[1-9]$/.test(given)) throw new Error(`HAWKER_E2E_JOBS=${given}: not a number from 1 to 9`);
  return Number(given);
}

function asked(): { options: string[]; files: string[] } {
  const given = process.argv.slice(2).filter((arg) => arg !== WRITE);
  const options = given.filter((arg) => arg.startsWith('-'));
  const paths = given.filter((arg) => !arg.startsWith('-'));
  return {
    options: ['--disable-coverage', '--allow-empty-coverage', '--jobs=1', `--timeout=${FILE_BOUND_S}`, ...options],
    files: (paths.length > 0 ? paths : ['test/e2e']).flatMap((path) => compiledTests(root, path)),
  };
}

removeOrphans(root);
installMissing(E2E_PACKAGES, say);
const dir = mkdtempSync(join(tmpdir(), 'hawker-e2e-'));
const removeDir = () => rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
process.once('exit', removeDir);

/** Surroundings of its own for one file. */
function enter(): { wrapper: readonly string[]; leave: () => void } {
  const layers = mkdtempSync(join(dir, 'layers-'));
  return {
    wrapper: sandbox(layers) ?? [],
    leave: () => rmSync(layers, { recursive: true, force: true, maxRetries: 5 }),
  };
}

const { wrapper, leave } = enter();
leave();
const isOwn = wrapper.length > 0;
if (!isOwn)
  say('no namespaces of its own here (root is needed for that): the daemons run beside those of this machine');
const outcome = await runTests(
  {
    ...asked(),
    depth: 1,
    env: { ...process.env, TMPDIR: dir, ...(process.argv.includes(WRITE) && { HAWKER_E2E_WRITE: '1' }) },
    retries: retriesOf(process.env),
  },
  inLanes({ count: isOwn ? jobs() : 1, first: FIRST, alone: ALONE, enter }),
);

const required = process.env['HAWKER_E2E_REQUIRE'] === '1';
if (required && outcome.skipped > 0) say(`HAWKER_E2E_REQUIRE=1, but ${outcome.skipped} were skipped`);
process.stdout.write(closingLines(outcome));
process.exitCode = outcome.failed > 0 || (required && outcome.skipped > 0) ? 1 : 0;
