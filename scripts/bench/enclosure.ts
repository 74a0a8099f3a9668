import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Rig } from '../../test/e2e/support/rig.ts';
import { sandbox } from '../support/sandbox.ts';
import type { Case } from './case.ts';
import { CASES } from './cases.ts';
import { judge, type Row } from './marks.ts';
import type { Runs } from './measure.ts';
import type { Asked } from './options.ts';

/** Set for the process inside: its task. */
const TASK_VARIABLE = 'HAWKER_BENCH_TASK';

/** What the process inside is to do. */
interface Task {
  readonly case: string;
  /** In memory, and gone with the namespaces. */
  readonly dir: string;
  /** Where its runs go, outside. */
  readonly result: string;
}

/** What came of a case. */
export interface CaseResult {
  readonly name: string;
  readonly title: string;
  readonly seconds: number;
  readonly runs: Runs;
  readonly rows: readonly Row[];
}

export const say = (line: string): void => void process.stderr.write(`${line}\n`);

export function insideTask(): Task | undefined {
  const task = process.env[TASK_VARIABLE];
  return task === undefined ? undefined : (JSON.parse(task) as Task);
}

export async function runInside(task: Task, { runs, scale, profile }: Asked): Promise<void> {
  await mkdir(task.dir, { recursive: true });
  process.env['TMPDIR'] = task.dir;
  const rig = await Rig.create();
  try {
    const one = caseOf(task.case);
    if (!('run' in one)) throw new Error(`${one.name} has a rig of its own`);
    const result = await one.run({ rig, diskDir: dirname(task.result), runs, scale, profile, say });
    await writeFile(task.result, JSON.stringify(result));
  } catch (error) {
    rig.printLogs();
    throw error;
  } finally {
    await rig.close();
  }
}

/** Runs the cases that were asked for, one after the other. */
export async function runOutside(asked: Asked): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const name of asked.cases) {
    const one = caseOf(name);
    const { title, marks } = one;
    say(`${name}: ${title}`);
    const began = performance.now();
    const runs = 'run' in one ? await enclosed(name) : await one.runOutside({ ...asked, say });
    const seconds = (performance.now() - began) / 1000;
    results.push({ name, title, seconds, runs, rows: judge(name, marks, runs) });
  }
  return results;
}

function caseOf(name: string): Case {
  return CASES.find((one) => one.name === name)!;
}

async function enclosed(name: string): Promise<Runs> {
  // Short: sockets of daemons have paths of 104 bytes at most.
  const dir = await mkdtemp(join(tmpdir(), 'hb-'));
  const layers = join(dir, 'l');
  await mkdir(layers);
  const wrapper = sandbox(layers);
  if (!wrapper) throw new Error('no namespaces of its own here: that takes root, on Linux');
  const task: Task = { case: name, dir: join(layers, 'w'), result: join(dir, 'result.json') };
  const [command = '', ...args] = [...wrapper, process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const env = { ...process.env, [TASK_VARIABLE]: JSON.stringify(task) };
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'], env });
  // Their own end would leave the directory.
  const end = (signal: NodeJS.Signals) => child.kill(signal === 'SIGINT' ? 'SIGTERM' : signal);
  process.on('SIGINT', end).on('SIGTERM', end);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`the case ${name} has ended with ${code}`);
    return JSON.parse(await readFile(task.result, 'utf8')) as Runs;
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end);
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}
