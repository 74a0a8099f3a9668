import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Daemon } from './programs.ts';
import type { Rig } from './rig.ts';

export const MAIN = fileURLToPath(new URL('../../../src/main.js', import.meta.url));
const START_BOUND_MS = 60_000;
const STOP_BOUND_MS = 10_000;
/** A second name for the same origin, without a port: podman and skopeo could not put one into a path. */
export const SECOND_UPSTREAM = 'registry.test';
/** A third, with a port as a private registry has it. */
export const THIRD_UPSTREAM = 'registry.test:5000';

/** How a node is run: the command, and what its configuration says beside the usual. */
export interface Role {
  readonly command: 'up' | 'proxy';
  readonly config: Readonly<Record<string, unknown>>;
  /** The program, where it is not the one that is built for the tests. */
  readonly main?: string;
  /** A program that it is run by, as `prlimit` with its options. */
  readonly by?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** What `upstreams` says of the origin, beside its address. */
  readonly upstream?: Readonly<Record<string, unknown>>;
}

const UP: Role = { command: 'up', config: { supernode: { listen: '127.0.0.1:0' } } };

/** A node as a child process (`hawker up`, or what `role` says), with a store of its own. */
export class Hawker {
  /** `127.0.0.1:port` of the mirror; the same after a restart. */
  address = '127.0.0.1:0';
  readonly storeDir: string;
  /** The program: another one may take its place at the next start. */
  main: string;
  readonly #rig: Rig;
  readonly #name: string;
  readonly #originUrl: string;
  readonly #role: Role;
  #daemon: Daemon | undefined;

  /** `127.0.0.1:port` of the piece port, and of the node's API; the same after a restart. */
  pieces = '';
  api = '';

  private constructor(rig: Rig, name: string, originUrl: string, storeDir: string, role: Role) {
    this.#role = role;
    this.main = role.main ?? MAIN;
    this.#rig = rig;
    this.#name = name;
    this.#originUrl = originUrl;
    this.storeDir = storeDir;
  }

  /** Starts one named `name` with an empty store, with the origin at `originUrl` as Docker Hub. */
  static async start(rig: Rig, name: string, originUrl: string, role = UP): Promise<Hawker> {
    const hawker = new Hawker(rig, name, originUrl, await rig.folder(`${name}-store`), role);
    await hawker.start();
    return hawker;
  }

  get url(): string {
    return `http://${this.address}`;
  }

  get running(): boolean {
    return this.#daemon?.running ?? false;
  }

  get pid(): number {
    return this.#daemon!.pid;
  }

  /** Lines of its log with a code. */
  logged(code: string): Record<string, unknown>[] {
    const lines = this.log()
      .split('\n')
      .filter((line) => line.includes(`"code":"${code}"`));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  log(): string {
    return this.#daemon?.log() ?? '';
  }

  async start(): Promise<void> {
    const config = join(this.#rig.dir, `${this.#name}.json`);
    await writeFile(
      config,
      JSON.stringify({
        proxy: { listen: this.address, defaultUpstream: 'docker.io' },
        peer: { listen: this.pieces || '127.0.0.1:0' },
        api: { listen: this.api || '127.0.0.1:0' },
        ...this.#role.config,
        store: { dir: this.storeDir, quota: '20GiB', ...(this.#role.config['store'] as object | undefined) },
        upstreams: {
          ...Object.fromEntries(
            ['docker.io', SECOND_UPSTREAM, THIRD_UPSTREAM].map((host) => [
              host,
              { url: this.#originUrl, ...this.#role.upstream },
            ]),
          ),
          ...(this.#role.config['upstreams'] as object | undefined),
        },
        log: { level: 'debug', format: 'json' },
      }),
    );
    const before = this.#daemon?.log().length ?? 0;
    const [command, ...args] = [
      ...(this.#role.by ?? []),
      process.execPath,
      this.main,
      this.#role.command,
      '--config',
      config,
    ];
    const daemon = this.#rig.daemon(this.#name, command, args, this.#role.env);
    this.#daemon = daemon;
    const address = (role: string) => listeningAddress(daemon.log().slice(before), role);
    this.address = await daemon.ready('LISTENING of the mirror', START_BOUND_MS, () => address('mirror'));
    this.pieces = await daemon.ready('LISTENING of the piece port', START_BOUND_MS, () => address('pieces'));
    this.api = await daemon.ready('LISTENING of the API', START_BOUND_MS, () => address('api'));
  }

  /** SIGTERM; does not wait. */
  terminate(): void {
    this.#daemon?.signal('SIGTERM');
  }

  /** As SIGHUP, on which it reads its configuration again. */
  signal(signal: NodeJS.Signals): void {
    this.#daemon?.signal(signal);
  }

  /** Waits for its end: the exit code, or the signal. */
  async ended(boundMs: number): Promise<number | NodeJS.Signals | null> {
    return (await this.#daemon?.ended(boundMs)) ?? null;
  }

  async kill9(): Promise<void> {
    this.#daemon?.signal('SIGKILL');
    await this.ended(5000);
  }

  async restart(): Promise<void> {
    await this.#stop();
    await this.start();
  }

  /** Restarted with nothing in its store. */
  async restartEmpty(): Promise<void> {
    await this.#stop();
    await rm(this.storeDir, { recursive: true });
    await this.start();
  }

  /** With nothing under way it must end at once, and well. */
  async #stop(): Promise<void> {
    this.terminate();
    const code = await this.ended(STOP_BOUND_MS);
    if (code !== 0) throw new Error(`${this.#name} ended with ${code}`);
  }
}

/** The address in the log line `{"code":"LISTENING","role":"mirror","address":"127.0.0.1:65001"}`. */
export function listeningAddress(log: string, role: string): string | undefined {
  for (const line of log.split('\n').slice(0, -1)) {
    if (!line.includes('"LISTENING"')) continue;
    const entry = JSON.parse(line) as { role?: string; address?: string };
    if (entry.role === role) return entry.address;
  }
  return undefined;
}
