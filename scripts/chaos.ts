/**
 * `npm run test:chaos`: the catalogue of faults (test/chaos), each row against processes of the built program: `-- --help`.
 */
import { randomInt } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { parseOptions, USAGE, type Asked } from './chaos/options.ts';
import { outdated, withTable, type Result } from './chaos/table.ts';
import { runScript } from './support/run-script.ts';
import { closingLines, retriesOf, runTests } from './support/run-tests.ts';
import { compiledTests, removeOrphans } from './support/test-files.ts';

const root = process.cwd();
const PAGE = 'docs/reliability.md';
/** For one test file; every row in it has its own, shorter bound. */
const FILE_BOUND_S = 3600;

const say = (line: string) => void process.stdout.write(`chaos: ${line}\n`);

async function main(asked: Asked): Promise<number> {
  removeOrphans(root);
  const dir = mkdtempSync(join(tmpdir(), 'hawker-chaos-'));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
  const results = join(dir, 'results');
  mkdirSync(results);
  say(`seed ${asked.seed}: HAWKER_CHAOS_SEED=${asked.seed} repeats what is random here`);
  const startedAt = performance.now();
  const outcome = await runTests({
    options: ['--disable-coverage', '--allow-empty-coverage', `--jobs=${asked.jobs}`, `--timeout=${FILE_BOUND_S}`],
    files: (asked.files.length > 0 ? asked.files : ['test/chaos']).flatMap((path) => compiledTests(root, path)),
    depth: 1,
    // Where a row is to fail, or what is seen is written down, the first time counts.
    retries: asked.without || asked.write ? 0 : retriesOf(process.env),
    env: {
      ...process.env,
      TMPDIR: dir,
      HAWKER_CHAOS_SEED: String(asked.seed),
      HAWKER_CHAOS_RESULTS: results,
      ...(asked.row !== undefined && { HAWKER_CHAOS_ROW: asked.row }),
      ...(asked.without && { HAWKER_CHAOS_WITHOUT: '1' }),
    },
  });
  const found = readdirSync(results).map((file) => JSON.parse(readFileSync(join(results, file), 'utf8')) as Result);
  const isAll = asked.files.length === 0 && asked.row === undefined;
  let isOld = false;
  if (asked.write && outcome.failed === 0) await writePage(found, !isAll);
  else if (isAll && !asked.without && outcome.failed === 0) isOld = saysOtherwise(found);
  say(`${found.length} rows held, ${Math.round((performance.now() - startedAt) / 1000)} s`);
  process.stdout.write(closingLines(outcome));
  return outcome.failed > 0 || isOld ? 1 : 0;
}

async function writePage(results: readonly Result[], keepOthers: boolean): Promise<void> {
  const text = withTable(readFileSync(PAGE, 'utf8'), results, keepOthers);
  writeFileSync(PAGE, await format(text, { ...(await resolveConfig(PAGE)), filepath: PAGE }));
  say(`written: ${PAGE}`);
}

/** The page is to say of each row what holds. */
function saysOtherwise(results: readonly Result[]): boolean {
  const ids = outdated(readFileSync(PAGE, 'utf8'), results);
  for (const id of ids) say(`${PAGE} does not say what now holds of ${id}: npm run test:chaos -- --write`);
  return ids.length > 0;
}

const parse = (args: readonly string[]) =>
  parseOptions(args, process.env['HAWKER_CHAOS_SEED'], () => randomInt(1_000_000));
process.exitCode = await runScript(process.argv.slice(2), { usage: USAGE, parse }, main);
