import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { until, within } from './wait.ts';

const LOG_TAIL_LINES = 40;

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** The program is killed after this time. */
  readonly boundMs?: number;
}

/** Runs a program to its end; its exit code is for the caller to judge. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { boundMs = 120_000 } = options;
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: options.env ?? process.env,
    detached: true,
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  try {
    const [code] = (await within(`end of ${command} ${args.join(' ')}`, boundMs, once(child, 'close'))) as [
      number | null,
    ];
    return { code, ...output };
  } finally {
    endGroup(child, 'SIGKILL');
  }
}

/** Runs a program that must succeed; its standard output. */
export async function must(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, options);
  if (code === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')}: exit ${code}\n${tail(stdout)}\n${tail(stderr)}`);
}

/** A program that goes on running, in a process group of its own, with its output in a file. */
export class Daemon {
  readonly name: string;
  readonly logFile: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor(name: string, command: string, args: readonly string[], logFile: string, env: NodeJS.ProcessEnv) {
    this.name = name;
    this.logFile = logFile;
    const log = openSync(logFile, 'a');
    this.#child = spawn(command, args, { stdio: ['ignore', log, log], env, detached: true });
    closeSync(log);
    this.#ended = once(this.#child, 'exit');
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  /** Waits for a condition while the program runs; its early end is a failure that shows the log. */
  async ready<T>(
    what: string,
    boundMs: number,
    condition: () => T | undefined | false | Promise<T | undefined | false>,
  ): Promise<T> {
    return await until(`${this.name}: ${what}`, boundMs, () => {
      if (!this.running) throw new Error(`${this.name} has ended early:\n${tail(this.log())}`);
      return condition();
    });
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal);
  }

  /** Waits for the program's end; its exit code, or the signal that ended it. */
  async ended(boundMs: number): Promise<number | NodeJS.Signals | null> {
    if (this.running) await within(`end of ${this.name}`, boundMs, this.#ended);
    return this.#child.exitCode ?? this.#child.signalCode;
  }

  /** Ends it: asks first, then insists, on the whole group. */
  async stop(graceMs = 10_000): Promise<void> {
    if (!this.running) return;
    this.signal('SIGTERM');
    await this.ended(graceMs).catch(() => undefined);
    endGroup(this.#child, 'SIGKILL');
    await this.#ended;
  }
}

function endGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group has ended.
  }
}

/** The last lines of a text. */
export function tail(text: string): string {
  return text.trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
}
