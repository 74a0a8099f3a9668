/**
 * `npm run test:e2e`: the tests with real registries, container daemons and clients, one file after the other. Installs what is
 * missing where it may; leaves nothing behind but the packages. With arguments (test files, options of tap): just those.
 *
 * HAWKER_E2E_REQUIRE=1 turns what would be skipped into a failure. `--write`: pages that a run is compared with are written anew.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { E2E_PACKAGES, installMissing } from './support/install.ts';
import { runTap, tallyLine } from './support/run-tap.ts';
import { sandbox } from './support/sandbox.ts';
import { compiledTests, removeOrphans } from './support/test-files.ts';

const root = process.cwd();
const WRITE = '--write';
/** For one test file; every wait in it has its own, shorter bound. */
const FILE_BOUND_S = 3600;

const say = (line: string) => void process.stdout.write(`e2e: ${line}\n`);

function tapArguments(): string[] {
  const given = process.argv.slice(2).filter((arg) => arg !== WRITE);
  const options = given.filter((arg) => arg.startsWith('-'));
  const paths = given.filter((arg) => !arg.startsWith('-'));
  const files = (paths.length > 0 ? paths : ['test/e2e']).flatMap((path) => compiledTests(root, path));
  return [
    '--disable-coverage',
    '--allow-empty-coverage',
    '--jobs=1',
    `--timeout=${FILE_BOUND_S}`,
    ...options,
    ...files,
  ];
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
const tally = await runTap({ args: tapArguments(), depth: 1, env, ...(wrapper && { wrapper }) });

const required = process.env['HAWKER_E2E_REQUIRE'] === '1';
if (required && tally.skipped > 0) say(`HAWKER_E2E_REQUIRE=1, but ${tally.skipped} were skipped`);
process.stdout.write(`${tallyLine(tally)}\n`);
process.exitCode = tally.failed > 0 || (required && tally.skipped > 0) ? 1 : 0;
