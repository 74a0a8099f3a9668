import { readFileSync, existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import { readSecretFile } from '../../src/p2p/protocol/secret-file.ts';
import { digestOn } from '../netns/digest.ts';
import type { Host } from '../netns/host.ts';
import { blobPath } from '../netns/origin.ts';
import { type Daemon, type Finished, getOn, PROGRAM, runOn, startOn } from '../netns/programs.ts';

export const SUPERNODE_PORT = 6789;
export const PIECE_PORT = 65_002;
const MIRROR = '127.0.0.1:65001';
const API = '127.0.0.1:65003';
const UPSTREAM = 'registry.test';
const STOP_BOUND_MS = 15_000;
const START_BOUND_MS = 30_000;
const COMMAND_BOUND_MS = 90_000;
const PULL_BOUND_MS = 60_000;
const ASK_BOUND_MS = 2000;
/** What is worth a line of its own in the table. */
const LOUD = new Set(['warn', 'error', 'fatal']);

type Json = Readonly<Record<string, unknown>>;

export interface LogLine {
  readonly code: string;
  readonly message: string;
  /** All of it. */
  readonly text: string;
}

/** One of Hawker's services on a host of its own, as `hawker COMMAND --config FILE`. */
export class Service {
  readonly host: Host;
  /** Its store, its configuration and its log are `NAME`, `NAME.json` and `NAME.log` here. */
  readonly dir: string;
  /** Over what the configuration says otherwise, key by key of the first level. */
  config: Json = {};
  env: NodeJS.ProcessEnv = {};
  /** The built program's main file. */
  program = PROGRAM;
  readonly #command: 'proxy' | 'supernode';
  readonly #usual: Json;
  #daemon: Daemon | undefined;
  #markedAt = 0;

  constructor(command: 'proxy' | 'supernode', { host, dir, usual }: { host: Host; dir: string; usual: Json }) {
    this.#command = command;
    this.host = host;
    this.dir = dir;
    this.#usual = usual;
  }

  get name(): string {
    return this.host.name;
  }

  get configFile(): string {
    return join(this.dir, `${this.name}.json`);
  }

  get logFile(): string {
    return join(this.dir, `${this.name}.log`);
  }

  get running(): boolean {
    return this.#daemon?.running ?? false;
  }

  /** Does not wait until it is of any use. */
  async launch(): Promise<void> {
    await writeFile(this.configFile, JSON.stringify({ ...this.#usual, ...this.config }));
    const args = [this.program, this.#command, '--config', this.configFile];
    this.#daemon = startOn(this.host, process.execPath, args, this.logFile, this.env);
  }

  async start(): Promise<void> {
    const before = this.#log().length;
    await this.launch();
    await this.#daemon!.ready('to listen', START_BOUND_MS, () => this.#log().slice(before).includes('"LISTENING"'));
  }

  async stop(): Promise<void> {
    this.resume();
    await this.#daemon?.stop(STOP_BOUND_MS);
  }

  async kill9(): Promise<void> {
    this.#daemon?.signal('SIGKILL');
    await this.#daemon?.ended(STOP_BOUND_MS);
  }

  pause(): void {
    this.#daemon?.signal('SIGSTOP');
  }

  resume(): void {
    this.#daemon?.signal('SIGCONT');
  }

  /** Only what is logged from here on counts. */
  mark(): void {
    this.#markedAt = this.#log().length;
  }

  /** Warnings and errors since the mark; what is no JSON (the last words of one that would not start) has the code ''. */
  warnings(): LogLine[] {
    const lines = this.#log().slice(this.#markedAt).split('\n').slice(0, -1);
    return lines.flatMap((line): LogLine[] => {
      if (!line.startsWith('{')) return [{ code: '', message: line, text: line }];
      const { level, code = '', msg = '' } = JSON.parse(line) as { level: string; code?: string; msg?: string };
      return LOUD.has(level) ? [{ code, message: msg, text: line }] : [];
    });
  }

  /** A command of Hawker's on this service's host, with its configuration. */
  ask(command: string, ...args: string[]): Promise<Finished> {
    const words = [this.program, command, '--config', this.configFile, ...args];
    const env = Object.entries(this.env).map(([key, value]) => `${key}=${value}`);
    return runOn(this.host, 'env', [...env, process.execPath, ...words], COMMAND_BOUND_MS);
  }

  #log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
  }
}

/** As `/api/v1/peers` gives it, as far as the rig looks. */
export interface PeersView {
  readonly peers: readonly PeerRow[];
  readonly rejected: readonly RejectedRow[];
}
export interface PeerRow {
  readonly host: string;
  readonly state: string;
  readonly reason: string;
  readonly protocol: string;
  readonly from: string;
  readonly clockSkewMs: number;
}
export interface RejectedRow {
  readonly address: string;
  readonly host?: string;
  readonly code: string;
  readonly message: string;
}

export class Supernode extends Service {
  readonly #secretFile: string;

  constructor(at: { host: Host; dir: string; secretFile: string; heartbeat: string }) {
    const { host, dir, secretFile, heartbeat } = at;
    const usual = {
      supernode: { listen: `${host.address}:${SUPERNODE_PORT}`, heartbeat },
      cluster: { secretFile },
      log: { level: 'info', format: 'json' },
    };
    super('supernode', { host, dir, usual });
    this.#secretFile = secretFile;
  }

  get url(): string {
    return `http://${this.host.address}:${SUPERNODE_PORT}`;
  }

  /** Undefined where it does not answer. */
  peers(): Promise<PeersView | undefined> {
    return this.#get<PeersView>('peers');
  }

  /** How many peers hold all of that blob, as it knows. */
  async holders(digest: string): Promise<number> {
    const found = await this.#get<{ blobs: { digest: string; holders: string[] }[] }>('blobs');
    return found?.blobs.find((blob) => blob.digest === digest)?.holders.length ?? 0;
  }

  async #get<T>(what: string): Promise<T | undefined> {
    const [readerToken] = new Membership((await readSecretFile(this.#secretFile)).first).readerTokens;
    const answer = fetch(`${this.url}/api/v1/${what}`, {
      headers: { authorization: `Bearer ${readerToken}` },
      signal: AbortSignal.timeout(ASK_BOUND_MS),
    });
    return answer.then(async (got) => (await got.json()) as T).catch(() => undefined);
  }
}

export class Proxy extends Service {
  constructor(at: { host: Host; dir: string; secretFile: string; supernode: string; originUrl: string }) {
    const { host, dir, secretFile, supernode, originUrl } = at;
    const usual = {
      proxy: { listen: MIRROR, defaultUpstream: UPSTREAM },
      peer: { listen: `${host.address}:${PIECE_PORT}` },
      api: { listen: API },
      supernodes: [supernode],
      cluster: { secretFile },
      store: { dir: join(dir, host.name), quota: '1GiB' },
      // Named, so that its private address may be asked; the others cannot be reached from here.
      upstreams: { '*': false, [UPSTREAM]: { url: originUrl } },
      log: { level: 'info', format: 'json' },
    };
    super('proxy', { host, dir, usual });
  }

  get storeDir(): string {
    return join(this.dir, this.name);
  }

  /** Whether it says itself that it has a session with the supernode at that place of its list. */
  async isConnected(index: number): Promise<boolean> {
    const text = await getOn(this.host, `http://${API}/api/v1/status`);
    if (text === undefined) return false;
    const { supernodes } = JSON.parse(text) as { supernodes?: { state: string }[] };
    return supernodes?.[index]?.state === 'connected';
  }

  /** What is wrong with what a client gets of a blob; undefined: nothing. */
  async pull(digest: string): Promise<string | undefined> {
    const got = await digestOn(this.host, `http://${MIRROR}${blobPath(digest)}`, PULL_BOUND_MS).catch(String);
    return got === digest ? undefined : got;
  }
}
