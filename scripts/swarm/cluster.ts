import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LogLevel } from '../../src/base/log.ts';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import type { Host } from '../netns/host.ts';
import { getOn, PROGRAM, startOn, until, type Daemon } from '../netns/programs.ts';

const SUPERNODE_PORT = 6789;
const PIECE_PORT = 65_002;
const MIRROR = '127.0.0.1:65001';
const API = '127.0.0.1:65003';
const UPSTREAM = 'registry.test';
const READY_BOUND_MS = 60_000;
/** For so long a new supernode grants no lease, since proxies may be coming back to it. */
const SETTLED_MS = 2500;

/** Where a client on a node pulls. */
export const MIRROR_URL = `http://${MIRROR}`;

interface Setup {
  readonly supernode: Host;
  readonly nodes: readonly Host[];
  readonly originUrl: string;
  readonly dir: string;
  readonly logLevel: LogLevel;
}

/** A supernode, and a proxy on each node. */
export class Cluster {
  readonly #setup: Setup;
  #supernode: Daemon | undefined;
  #authorization = '';
  #proxies: Daemon[] = [];

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  get pids(): { supernode: number; proxies: number[] } {
    return { supernode: this.#supernode!.pid, proxies: this.#proxies.map(({ pid }) => pid) };
  }

  get logFiles(): string[] {
    const { dir, nodes } = this.#setup;
    return ['supernode', ...nodes.map(({ name }) => name)].map((name) => join(dir, `${name}.log`));
  }

  /** Starts all of it with empty stores; resolves when every proxy is `ready`. */
  async start(): Promise<void> {
    const { supernode, nodes, dir, logLevel } = this.#setup;
    await mkdir(dir, { recursive: true });
    const secretFile = join(dir, 'join-secret');
    const secret = randomBytes(32).toString('base64url');
    await writeFile(secretFile, `${secret}\n`, { mode: 0o600 });
    this.#authorization = `Bearer ${new Membership(secret).readerTokens[0]}`;
    const started = performance.now();
    const listen = [
      '--supernode-listen',
      `${supernode.address}:${SUPERNODE_PORT}`,
      '--cluster-secret-file',
      secretFile,
    ];
    this.#supernode = this.#run(supernode, ['supernode', ...listen, '--log-level', logLevel, '--log-format', 'json']);
    this.#proxies = [];
    for (const node of nodes) this.#proxies.push(await this.#startProxy(node, secretFile));
    await until(`${nodes.length} proxies that are ready`, READY_BOUND_MS, () => this.#allReady());
    await sleep(Math.max(0, SETTLED_MS - (performance.now() - started)));
  }

  async stop(): Promise<void> {
    const { dir, nodes } = this.#setup;
    const daemons = [...this.#proxies, ...(this.#supernode ? [this.#supernode] : [])];
    await Promise.all(daemons.map((daemon) => daemon.stop()));
    for (const { name } of nodes) await rm(join(dir, name), { recursive: true, force: true });
  }

  /** A proxy's metrics, each summed over its labels but for those in braces: `hawker_peer_bytes_total{direction="in"}`. */
  async metrics(node: Host): Promise<string> {
    const text = await getOn(node, `http://${API}/metrics`);
    if (text === undefined) throw new Error(`${node.name} gives no metrics`);
    return text;
  }

  async #startProxy(node: Host, secretFile: string): Promise<Daemon> {
    const { supernode, originUrl, dir, logLevel } = this.#setup;
    const config = join(dir, `${node.name}.json`);
    await writeFile(
      config,
      JSON.stringify({
        proxy: { listen: MIRROR, defaultUpstream: UPSTREAM },
        peer: { listen: `${node.address}:${PIECE_PORT}` },
        api: { listen: API },
        supernodes: [`http://${supernode.address}:${SUPERNODE_PORT}`],
        cluster: { secretFile },
        store: { dir: join(dir, node.name), quota: '1TiB' },
        // Named, so that its private address may be asked.
        upstreams: { [UPSTREAM]: { url: originUrl } },
        log: { level: logLevel, format: 'json' },
      }),
    );
    return this.#run(node, ['proxy', '--config', config]);
  }

  #run(host: Host, args: readonly string[]): Daemon {
    return startOn(host, process.execPath, [PROGRAM, ...args], join(this.#setup.dir, `${host.name}.log`));
  }

  async #allReady(): Promise<boolean> {
    const { supernode, nodes } = this.#setup;
    for (const daemon of [this.#supernode!, ...this.#proxies]) await daemon.ready('to run', 1, () => true);
    const text = await getOn(
      supernode,
      `http://${supernode.address}:${SUPERNODE_PORT}/api/v1/peers`,
      this.#authorization,
    );
    if (text === undefined) return false;
    const { peers } = JSON.parse(text) as { peers: { state: string }[] };
    return peers.filter(({ state }) => state === 'ready').length === nodes.length;
  }
}

/** The sum of a metric's series whose labels contain `label` (Prometheus text format). */
export function sumOf(metrics: string, name: string, label = ''): number {
  let sum = 0;
  for (const line of metrics.split('\n')) {
    const [, labels = '', value] = /^\w+(\{.*\})? (\S+)$/.exec(line.startsWith(name) ? line : '') ?? [];
    if (value !== undefined && /^[{ ]/.test(line.slice(name.length)) && labels.includes(label)) sum += Number(value);
  }
  return sum;
}
