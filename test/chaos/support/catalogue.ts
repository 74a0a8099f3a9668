import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Test } from 'tap';
import { copyBuild, obstacles, PROGRAM } from '../../../scripts/support/build-copy.ts';
import { within } from '../../e2e/support/wait.ts';
import { judge } from './judge.ts';
import { resultOf } from './result.ts';
import type { Row } from './row.ts';
import { Scene } from './scene.ts';

/** Rows of one file at the same time: most of what each does is wait; but each starts processes, and the product has limits of time. */
const JOBS = Math.min(6, 2 * availableParallelism());
const ROW_BOUND_MS = 150_000;

/** Set by scripts/chaos.ts. */
const seed = Number(process.env['HAWKER_CHAOS_SEED'] ?? 1);
const isWithout = process.env['HAWKER_CHAOS_WITHOUT'] === '1';
const resultsDir = process.env['HAWKER_CHAOS_RESULTS'];
const only = process.env['HAWKER_CHAOS_ROW'];

/** Runs rows, each as a test of its own, several at a time: fewer where they keep the machine busy. */
export function catalogue(t: Test, rows: readonly Row[], jobs = JOBS): void {
  const asked = rows.filter(({ id }) => only === undefined || id.includes(only));
  t.jobs = jobs;
  // What the rows wait for has bounds of its own.
  t.setTimeout(0);
  for (const row of asked) {
    t.test(row.id, { buffered: true, timeout: 0 }, async (t) => {
      if (isWithout) await fails(t, row);
      else await holds(t, row);
    });
  }
  if (asked.length === 0) t.pass('no row of this file was asked for');
}

async function holds(t: Test, row: Row): Promise<void> {
  t.same(await obstacles(row.without.edits), [], 'what it guards can still be taken out');
  const { faults, seconds } = await play(row, PROGRAM);
  t.same(faults, [], `${row.fault}: all as it should be (HAWKER_CHAOS_SEED=${seed})`);
  if (faults.length > 0 || resultsDir === undefined) return;
  writeFileSync(join(resultsDir, `${row.id.replace('/', ' ')}.json`), JSON.stringify(resultOf(row, seconds)));
}

/** Without the handling that it guards a row must fail, or one of the two is wrong. */
async function fails(t: Test, row: Row): Promise<void> {
  const { taken, edits } = row.without;
  const dir = await mkdtemp(join(tmpdir(), 'hawker-without-'));
  try {
    const main = await copyBuild(join(dir, 'build'), edits);
    const { status, stderr } = spawnSync(process.execPath, [main, 'version'], { encoding: 'utf8' });
    t.equal(status, 0, `the program still starts without ${taken} ${stderr}`);
    const { faults } = await play(row, main);
    t.ok(faults.length > 0, `${row.id} fails without ${taken}`);
    t.comment(faults.length > 0 ? `fails: ${faults.join('; ')}` : 'it WOULD STILL PASS');
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** What is wrong, a line each, and what it took in seconds. */
async function play(row: Row, main: string): Promise<{ faults: readonly string[]; seconds: number }> {
  const scene = await Scene.open({ main, seed: (seed ^ crc32(row.id)) >>> 0 });
  try {
    const evidence = await within('end of the row', row.boundMs ?? ROW_BOUND_MS, row.run(scene));
    const faults = await judge(row, evidence);
    if (faults.length > 0 && !isWithout) scene.printLogs();
    const { pulls, seconds = Math.max(0, ...pulls.map((pull) => pull.seconds)) } = evidence;
    return { faults, seconds };
  } catch (error) {
    if (!isWithout) scene.printLogs();
    return { faults: [String(error)], seconds: 0 };
  } finally {
    await scene.close();
  }
}
