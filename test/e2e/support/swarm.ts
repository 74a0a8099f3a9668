import { join } from 'node:path';
import { Hawker, listeningAddress, MAIN } from './hawker.ts';
import { type Daemon, type Finished, must, run } from './programs.ts';
import type { Rig } from './rig.ts';
import { until } from './wait.ts';

const START_BOUND_MS = 60_000;
/** For what the supernode is to know by itself. */
const KNOWN_BOUND_MS = 15_000;

/** As `/api/v1/peers` and `/api/v1/blobs` give them, as far as the tests look. */
export interface Peers {
  readonly peers: readonly {
    id: string;
    state: string;
    reason: string;
    addresses: string[];
    blobs: number;
    version: string;
    protocol: string;
  }[];
  readonly rejected: readonly { code: string; host: string; message: string; count: number }[];
}
export interface Blobs {
  readonly blobs: readonly { digest: string; size: number; holders: string[]; downloading: string[] }[];
}

/** How a supernode is run. */
export interface SupernodeRun {
  /** Of its log, where one rig has several. */
  readonly name?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Its program, where it is not that of the proxies. */
  readonly main?: string;
}

/** A supernode and proxies, each a process of its own, with a join secret. */
export class Swarm {
  readonly secretFile: string;
  readonly #rig: Rig;
  readonly #originUrl: string;
  readonly #run: SupernodeRun;
  #address = '127.0.0.1:0';
  #supernode: Daemon | undefined;

  private constructor(rig: Rig, originUrl: string, how: SupernodeRun) {
    this.#rig = rig;
    this.#originUrl = originUrl;
    this.#run = how;
    this.secretFile = join(rig.dir, 'join-secret');
  }

  /** A supernode; the secret is made as an operator makes it, and all supernodes of one rig have the same. */
  static async start(rig: Rig, originUrl: string, main = MAIN, how: SupernodeRun = {}): Promise<Swarm> {
    const swarm = new Swarm(rig, originUrl, how);
    await must(process.execPath, [MAIN, 'token', '--secret-file', swarm.secretFile], { env: rig.environment() });
    await swarm.startSupernode(main);
    return swarm;
  }

  get url(): string {
    return `http://${this.#address}`;
  }

  /** Its process: the last one that was started. */
  get supernode(): Daemon {
    return this.#supernode!;
  }

  /** At the same address as before, where there was one; with another program, where one is given. */
  async startSupernode(main = MAIN): Promise<void> {
    const before = this.#supernode?.log().length ?? 0;
    const args = ['--supernode-listen', this.#address, '--cluster-secret-file', this.secretFile];
    const { name = 'supernode', env } = this.#run;
    const command = [main, 'supernode', ...args, '--log-format', 'json'];
    const daemon = this.#rig.daemon(name, process.execPath, command, env);
    this.#supernode = daemon;
    this.#address = await daemon.ready('LISTENING of the supernode', START_BOUND_MS, () =>
      listeningAddress(daemon.log().slice(before), 'supernode'),
    );
  }

  /** Lines of the supernode's log with a code. */
  logged(code: string): Record<string, unknown>[] {
    const lines = (this.#supernode?.log() ?? '').split('\n').slice(0, -1);
    return lines
      .filter((line) => line.includes(`"code":"${code}"`))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** SIGTERM, and its end. */
  async stopSupernode(): Promise<void> {
    this.#supernode?.signal('SIGTERM');
    await this.#supernode?.ended(START_BOUND_MS);
  }

  /** As SIGSTOP and SIGCONT. */
  signalSupernode(signal: NodeJS.Signals): void {
    this.#supernode?.signal(signal);
  }

  async killSupernode(): Promise<void> {
    this.#supernode?.signal('SIGKILL');
    await this.#supernode?.ended(5000);
  }

  /** A proxy that has joined, and can be reached. */
  async join(name: string, config: Record<string, unknown> = {}, main = MAIN): Promise<Hawker> {
    const proxy = await Hawker.start(this.#rig, name, this.#originUrl, {
      command: 'proxy',
      config: { supernodes: [this.url], cluster: { secretFile: this.secretFile }, ...config },
      main,
    });
    await this.ready(`${name} is ready`, [proxy]);
    return proxy;
  }

  /** Waits until the supernode knows the proxies, and that each can be reached. */
  async ready(what: string, proxies: readonly Pick<Hawker, 'pieces'>[]): Promise<void> {
    await until(what, KNOWN_BOUND_MS, async () => {
      const { peers } = await this.peers().catch(() => ({ peers: [] }) as unknown as Peers);
      const ready = new Set(peers.filter(({ state }) => state === 'ready').flatMap(({ addresses }) => addresses));
      return proxies.every(({ pieces }) => ready.has(pieces));
    });
  }

  /** Waits until so many peers hold each of the blobs. */
  async held(what: string, digests: Iterable<string>, by: number): Promise<void> {
    const all = [...digests];
    await until(what, KNOWN_BOUND_MS, async () => {
      const { blobs } = await this.blobs();
      return all.every((digest) => blobs.find((blob) => blob.digest === digest)?.holders.length === by);
    });
  }

  peers(): Promise<Peers> {
    return this.#get('peers');
  }

  blobs(): Promise<Blobs> {
    return this.#get('blobs');
  }

  /** Runs a command of Hawker's that asks this supernode. */
  ask(command: string, ...args: string[]): Promise<Finished> {
    const env = this.#rig.environment();
    return run(process.execPath, [MAIN, command, '--supernodes', this.url, ...args], { env });
  }

  async #get<T>(what: string): Promise<T> {
    return (await (await fetch(`${this.url}/api/v1/${what}`)).json()) as T;
  }
}

/** The sum of a proxy's samples of a metric whose line has all of `parts` in it. */
export async function metricOf(proxy: Hawker, ...parts: string[]): Promise<number> {
  const text = await (await fetch(`http://${proxy.api}/metrics`)).text();
  const lines = text.split('\n').filter((line) => !line.startsWith('#') && parts.every((part) => line.includes(part)));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}
