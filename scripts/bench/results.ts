import { readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { GiB } from '../../src/base/units.ts';
import { run } from '../../test/e2e/support/programs.ts';
import type { CaseResult } from './enclosure.ts';
import type { Asked } from './options.ts';
import { table } from './table.ts';

/** Programs that are compared, by the Debian packages that have them. */
const PACKAGES = [
  'docker-registry',
  'nginx',
  'aria2',
  'python3-libtorrent',
  'opentracker',
  'docker.io',
  'containerd',
  'curl',
];

interface Measured extends CaseResult {
  readonly date: string;
  readonly runsEach: number;
}

interface Results {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly cases: readonly Measured[];
}

/** Prints the table and keeps the results; the exit status: 0 also where a mark is missed, for that is a figure like others. */
export async function report(asked: Asked, results: readonly CaseResult[]): Promise<number> {
  const date = new Date().toISOString().slice(0, 10);
  const measured = results.map((result) => ({ date, runsEach: asked.runs, ...result }));
  process.stdout.write(`\n${table(results.flatMap(({ rows }) => rows))}\n`);
  if (asked.scale > 1 || asked.profile !== undefined) {
    process.stdout.write('not at full size or speed: not kept\n');
    return 0;
  }
  const before = await readFile(asked.out, 'utf8').then(
    (text) => JSON.parse(text) as Results,
    () => undefined,
  );
  const others = before?.cases.filter(({ name }) => !results.some((result) => result.name === name)) ?? [];
  await mkdir(dirname(asked.out), { recursive: true });
  const all: Results = { machine: machine(), versions: await versions(), cases: [...others, ...measured] };
  await writeFile(asked.out, `${JSON.stringify(all, undefined, 2)}\n`);
  process.stdout.write(`all runs are in ${asked.out}\n`);
  return 0;
}

function machine(): Record<string, string | number> {
  return {
    cpu: cpus()[0]?.model ?? '',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / GiB),
    kernel: release(),
    system: /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? '',
  };
}

async function versions(): Promise<Record<string, string>> {
  const { stdout } = await run('dpkg-query', ['--show', '--showformat', '${Package} ${Version}\\n', ...PACKAGES]);
  const lines = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' '));
  return { node: process.version, ...(Object.fromEntries(lines) as Record<string, string>) };
}
