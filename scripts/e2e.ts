/**
 * `npm run test:e2e`: the tests with real registries, container daemons and clients, one file after the other. Installs what is
 * missing where it may; leaves nothing behind but the packages. With arguments (test files, options of tap): just those.
 *
 * HAWKER_E2E_REQUIRE=1 turns what would be skipped into a failure. HAWKER_TEST_RETRIES=1 runs a few files that failed once more. `--write`: pages that a run is compared with are written anew.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { E2E_PACKAGES, installMissing } from './support/install.ts';
import { closingLines, retriesOf, runTests } from './support/run-tests.ts';
import { sandbox } from './support/sandbox.ts';
import { compiledTests, removeOrphans } from './support/test-files.ts';

const root = process.cwd();
const WRITE = '--write';
/** For one test file; every wait in it has its own, shorter bound. */
const FILE_BOUND_S = 3600;

const say = (line: string) => void process.stdout.write(`e2e: ${line}\n`);

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

const layers = join(dir, 'layers');
mkdirSync(layers);
const wrapper = sandbox(layers);
if (!wrapper)
  say('no namespaces of its own here (root is needed for that): the daemons run beside those of this machine');
const env = { ...process.env, TMPDIR: dir, ...(process.argv.includes(WRITE) && { HAWKER_E2E_WRITE: '1' }) };
const retries = retriesOf(process.env);
const outcome = await runTests({ ...asked(), depth: 1, env, retries, ...(wrapper && { wrapper }) });

const required = process.env['HAWKER_E2E_REQUIRE'] === '1';
if (required && outcome.skipped > 0) say(`HAWKER_E2E_REQUIRE=1, but ${outcome.skipped} were skipped`);
process.stdout.write(closingLines(outcome));
process.exitCode = outcome.failed > 0 || (required && outcome.skipped > 0) ? 1 : 0;
