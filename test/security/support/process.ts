import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { until } from '../../e2e/support/wait.ts';
import { ALLOWANCE } from '../../support/patience.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.js', import.meta.url));
const START_BOUND_MS = 60_000;
const END_BOUND_MS = 20_000 * ALLOWANCE;
const SNAPSHOT_BOUND_MS = 60_000;

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Of node itself. */
  readonly node?: readonly string[];
  /** For heap snapshots. */
  readonly dir: string;
}

/** The program, in a process of its own whose heap can be looked at. */
export class Program {
  readonly child: ChildProcess;
  /** All that it has said, on both streams. */
  output = '';
  readonly #ended: Promise<unknown>;
  readonly #dir: string;

  constructor(t: Test, args: readonly string[], { env = {}, node = [], dir }: RunOptions) {
    const given = Object.entries(process.env).filter(([name]) => !name.startsWith('HAWKER_'));
    const inspecting = ['--heapsnapshot-signal=SIGUSR2', `--diagnostic-dir=${dir}`, ...node];
    this.#dir = dir;
    this.child = spawn(process.execPath, [...inspecting, MAIN, ...args], {
      env: { ...Object.fromEntries(given), ...env },
      cwd: dir,
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
    this.#ended = once(this.child, 'close');
    t.teardown(async () => {
      this.child.kill('SIGKILL');
      await this.#ended;
    });
  }

  /** The address that it logs at its start. */
  address(role: string): Promise<string> {
    const line = new RegExp(`"code":"LISTENING","role":"${role}","address":"([^"]+)"`);
    return until(`${role} listens`, START_BOUND_MS, () => {
      if (this.child.exitCode !== null) throw new Error(`it has ended early: ${this.output}`);
      return line.exec(this.output)?.[1];
    });
  }

  /** Its exit status. */
  async ended(): Promise<number | null> {
    const late = setTimeout(() => this.child.kill('SIGKILL'), END_BOUND_MS);
    await this.#ended;
    clearTimeout(late);
    return this.child.exitCode;
  }

  /** What the system tells of it to others. */
  procfs(): string {
    return ['cmdline', 'environ', 'comm']
      .map((file) => readFileSync(`/proc/${this.child.pid}/${file}`, 'utf8'))
      .join('\n');
  }

  /** All that is in its heap after a garbage collection, as V8 writes it down. */
  async heap(): Promise<Buffer> {
    const isHere = (name: string) =>
      name.startsWith('Heap.') && name.endsWith('.heapsnapshot') && name.includes(`.${this.child.pid}.`);
    const before = new Set(readdirSync(this.#dir));
    this.child.kill('SIGUSR2');
    const file = await until('the heap is written', SNAPSHOT_BOUND_MS, () => {
      const name = readdirSync(this.#dir).find((one) => isHere(one) && !before.has(one));
      if (name === undefined) return undefined;
      const path = join(this.#dir, name);
      // Its last member, and the end of the document.
      return /\]\s*\}\s*$/.test(endOf(path)) ? path : undefined;
    });
    const text = readFileSync(file);
    rmSync(file);
    return text;
  }
}

/** The last few bytes of a file that may be large, and may grow. */
function endOf(path: string): string {
  const file = openSync(path, 'r');
  try {
    const end = Buffer.alloc(50);
    const length = readSync(file, end, 0, end.length, Math.max(0, fstatSync(file).size - end.length));
    return end.toString('latin1', 0, length);
  } finally {
    closeSync(file);
  }
}

/** The names and contents of all files below a directory. */
export function filesBelow(dir: string): { path: string; bytes: Buffer }[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true }).map((entry) => {
    const path = join(entry.parentPath, entry.name);
    return { path, bytes: entry.isFile() ? readFileSync(path) : Buffer.alloc(0) };
  });
}
