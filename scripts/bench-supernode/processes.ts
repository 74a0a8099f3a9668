import { fork, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { KiB, MiB } from '../../src/base/units.ts';

export const BENCH_SECRET = 'a join secret for benchmarks, of nobody else';
/** Of /proc/<pid>/stat: USER_HZ, which is 100 on every Linux. */
const TICKS_PER_SECOND = 100;

const hasTaskset = spawnSync('taskset', ['-p', String(process.pid)]).status === 0;

/** A script beside this one, in a process of its own, on one core where the system can say so. */
export class Child {
  readonly #process: ChildProcess;
  readonly ended: Promise<void>;

  constructor(
    script: string,
    args: readonly (string | number)[],
    { core, node = [] }: { core: number; node?: string[] },
  ) {
    const path = fileURLToPath(new URL(script, import.meta.url));
    const words = args.map(String);
    this.#process = hasTaskset
      ? spawn('taskset', ['-c', String(core), process.execPath, ...node, path, ...words], {
          stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        })
      : fork(path, words, { execArgv: node });
    this.ended = new Promise((resolve) => this.#process.once('exit', () => resolve()));
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** The next thing that it says. Rejects when it ends instead. */
  heard<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      const ended = () =>
        reject(new Error(`a process of the benchmark has ended (${this.#process.spawnargs.join(' ')})`));
      this.#process.once('exit', ended);
      this.#process.once('message', (message) => {
        this.#process.off('exit', ended);
        resolve(message as T);
      });
    });
  }

  async ask<T>(command: string): Promise<T> {
    const heard = this.heard<T>();
    this.#process.send(command);
    return heard;
  }

  /** Ends it, with what it writes at its end. */
  async stop(): Promise<void> {
    if (this.#process.connected) this.#process.send('stop');
    await this.ended;
  }

  /** User and system time of all its threads so far. */
  cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'latin1');
    // The second field, the name, may hold anything but is in brackets.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }

  /** Resident memory, in MiB. */
  residentMiB(): number {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, 'latin1'))![1];
    return (Number(kib) * KiB) / MiB;
  }
}
