import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from '../../test/e2e/support/programs.ts';
import { PROGRAM } from '../netns/programs.ts';

const START_BOUND_MS = 60_000;
const STOP_BOUND_MS = 60_000;

export type Json = Readonly<Record<string, unknown>>;

/** One of Hawker's processes: started, ended in every way, stopped and continued; at the same addresses after each start. */
export class Service {
  readonly name: string;
  readonly dir: string;
  readonly command: 'proxy' | 'supernode';
  /** What its configuration says but for the addresses. */
  readonly config: Json;
  /** By role, as they were logged. */
  readonly addresses = new Map<string, string>();
  /** It can be asked: started, and neither ended nor stopped. */
  isUp = false;
  isPaused = false;
  /** When it was last ended, started or stopped on purpose, on `performance.now()`. */
  disturbedAt = Number.NEGATIVE_INFINITY;
  /** When its present process began to serve. */
  startedAt = Number.NEGATIVE_INFINITY;
  /** Ends that nobody asked for. */
  readonly crashes: string[] = [];
  /** Where its debugger listens. */
  inspector: string | undefined;
  #daemon: Daemon | undefined;
  #ending = false;

  constructor(command: 'proxy' | 'supernode', name: string, dir: string, config: Json) {
    this.command = command;
    this.name = name;
    this.dir = dir;
    this.config = config;
  }

  get storeDir(): string {
    return join(this.dir, `${this.name}-store`);
  }

  get logFile(): string {
    return join(this.dir, `${this.name}.log`);
  }

  get pid(): number | undefined {
    return this.#daemon?.running ? this.#daemon.pid : undefined;
  }

  url(role: string): string {
    return `http://${this.addresses.get(role)}`;
  }

  async start(): Promise<void> {
    const file = join(this.dir, `${this.name}.json`);
    await writeFile(file, JSON.stringify(this.#wholeConfig()));
    const before = this.#log().length;
    const args = ['--inspect=127.0.0.1:0', PROGRAM, this.command, '--config', file];
    const env = { PATH: process.env['PATH'], HOME: this.dir };
    const daemon = new Daemon(this.name, process.execPath, args, this.logFile, env);
    this.#daemon = daemon;
    this.#ending = false;
    void daemon.ended(2 ** 31 - 1).then((how) => {
      this.isUp = false;
      if (!this.#ending) this.crashes.push(`${this.name} ended by itself: ${how}`);
    });
    const roles = this.command === 'proxy' ? ['mirror', 'pieces', 'api'] : ['supernode'];
    await daemon.ready('LISTENING', START_BOUND_MS, () => {
      const text = this.#log().slice(before);
      this.inspector = /Debugger listening on (ws:\S+)/.exec(text)?.[1];
      for (const role of roles) {
        const address = new RegExp(`"code":"LISTENING","role":"${role}","address":"([^"]+)"`).exec(text)?.[1];
        if (address === undefined) return false;
        this.addresses.set(role, address);
      }
      return true;
    });
    this.startedAt = performance.now();
    this.disturbedAt = this.startedAt;
    this.isUp = true;
  }

  /** Gives how it ended: an exit status, or the signal. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | NodeJS.Signals | null> {
    this.#ending = true;
    this.isUp = false;
    this.disturbedAt = performance.now();
    if (this.isPaused) this.resume();
    this.#daemon?.signal(signal);
    const how = (await this.#daemon?.ended(STOP_BOUND_MS)) ?? null;
    this.disturbedAt = performance.now();
    return how;
  }

  pause(): void {
    this.isPaused = true;
    this.#daemon?.signal('SIGSTOP');
  }

  resume(): void {
    this.isPaused = false;
    this.#daemon?.signal('SIGCONT');
  }

  /** Only while it is down. */
  async wipe(): Promise<void> {
    await rm(this.storeDir, { recursive: true, force: true });
  }

  /** Whatever happens: nothing of it is left. */
  async destroy(): Promise<void> {
    this.#ending = true;
    await this.#daemon?.stop(0);
  }

  /** Lines of its log that warn, by code. */
  warnings(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const line of this.#log().split('\n')) {
      if (!line.startsWith('{"level":"')) continue;
      const { level, code = '?' } = JSON.parse(line) as { level: string; code?: string };
      if (level === 'warn' || level === 'error' || level === 'fatal') counts.set(code, (counts.get(code) ?? 0) + 1);
    }
    return counts;
  }

  #wholeConfig(): Json {
    const at = (role: string) => this.addresses.get(role) ?? '127.0.0.1:0';
    const log = { level: 'info', format: 'json' };
    if (this.command === 'supernode') return { ...this.config, supernode: { listen: at('supernode') }, log };
    return {
      ...this.config,
      proxy: { listen: at('mirror'), defaultUpstream: 'soak.test' },
      peer: { listen: at('pieces') },
      api: { listen: at('api') },
      store: { dir: this.storeDir, ...(this.config['store'] as object) },
      log,
    };
  }

  #log(): string {
    try {
      return readFileSync(this.logFile, 'utf8');
    } catch {
      return '';
    }
  }
}
