import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

/** What tap says of a run: assertions that passed, failed or were skipped. */
export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

export interface TapRun {
  /** Of `tap run`. */
  options: readonly string[];
  /** None: those of its settings (.taprc). */
  files: readonly string[];
  /** A line is shown for each test down to this depth: 0 the files, 1 the tests in them too. */
  depth: number;
  /** A command that the run is wrapped in, as `['unshare', '--net']`. */
  wrapper?: readonly string[];
  env?: NodeJS.ProcessEnv;
  /** Where the report goes, line by line; to standard output where undefined. */
  print?: ((line: string) => void) | undefined;
}

/** What came of one run of tap. */
export interface TapResult {
  tally: Tally;
  /** In which something failed, as tap names them. */
  failedFiles: readonly string[];
}

const POINT = /^( *)(not ok|ok) \d+ - (.*?)(?: # time=(.+?))?( \{)?$/;

/**
 * Makes a readable report of the TAP that `tap run` writes while it runs: a line for each test down to `depth`, and the whole
 * output of a file in which something failed. Buffered and unbuffered subtests look the same here.
 */
export class TapDigest {
  readonly #depth: number;
  readonly #print: (line: string) => void;
  readonly #failedFiles: string[] = [];
  #block: string[] = [];
  #tally: Tally | undefined;

  constructor(depth: number, print: (line: string) => void) {
    this.#depth = depth;
    this.#print = print;
  }

  line(line: string): void {
    this.#block.push(line);
    this.#tally = parseTally(line) ?? this.#tally;
    const [, indent, verdict, name, time] = POINT.exec(line) ?? [];
    if (indent === undefined || verdict === undefined) return;
    const level = indent.length / 4;
    if (level > this.#depth) return;
    if (level === 0 && verdict === 'not ok') for (const one of this.#block) this.#print(one);
    else this.#print(`${indent}${verdict} ${name}${time ? ` (${time})` : ''}`);
    if (level > 0) return;
    this.#block = [];
    if (verdict === 'not ok' && name) this.#failedFiles.push(name);
  }

  /** As tap names them: by their paths, where it was given paths. */
  get failedFiles(): readonly string[] {
    return this.#failedFiles;
  }

  /** tap's own totals. A run that failed has at least one failure in it, even where tap itself broke. */
  tally(exitCode: number): Tally {
    const tally = this.#tally ?? { passed: 0, failed: 0, skipped: 0 };
    return exitCode === 0 ? tally : { ...tally, failed: Math.max(1, tally.failed) };
  }
}

/** tap's last line but one: `# { total: 6, pass: 3, fail: 2, skip: 1 }`, without the zero ones. */
function parseTally(line: string): Tally | undefined {
  const match = /^# \{ total: \d+(.*) \}$/.exec(line);
  if (!match) return undefined;
  const count = (key: string) => Number(new RegExp(`\\b${key}: (\\d+)`).exec(match[1]!)?.[1] ?? 0);
  return { passed: count('pass'), failed: count('fail'), skipped: count('skip') + count('todo') };
}

/** Runs tap, shows its progress, and resolves when it has ended. */
export async function runTap(run: TapRun): Promise<TapResult> {
  const { options, files, depth, wrapper = [], env = process.env } = run;
  const { print = (line: string) => void process.stdout.write(`${line}\n`) } = run;
  const command = [...wrapper, process.execPath, tapProgram(), 'run', '--reporter=tap', ...options, ...files];
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'], env });
  const endWithUs = () => child.kill('SIGKILL');
  const stop = (signal: NodeJS.Signals) => child.kill(wrapper.length > 0 ? 'SIGKILL' : signal);
  process.once('exit', endWithUs).on('SIGINT', stop).on('SIGTERM', stop);
  try {
    const digest = new TapDigest(depth, print);
    const ended = new Promise<number>((resolve, reject) => {
      child.once('error', reject).once('close', (code) => resolve(code ?? 1));
    });
    createInterface({ input: child.stdout }).on('line', (line) => digest.line(line));
    return { tally: digest.tally(await ended), failedFiles: digest.failedFiles };
  } finally {
    process.off('exit', endWithUs).off('SIGINT', stop).off('SIGTERM', stop);
  }
}

function tapProgram(): string {
  const manifest = createRequire(import.meta.url).resolve('tap/package.json');
  const { bin } = createRequire(import.meta.url)(manifest) as { bin: { tap: string } };
  return join(dirname(manifest), bin.tap);
}
