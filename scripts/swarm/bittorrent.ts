import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { chmod, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { within, type Host } from '../netns/host.ts';
import { must, startOn, type Daemon } from '../netns/programs.ts';
import type { Pull } from './pull.ts';

export const BITTORRENT = ['libtorrent', 'aria2'] as const;
export type BitTorrentClient = (typeof BITTORRENT)[number];

const TRACKER_PORT = 6969;
/** What is best for each on this rig: the exponent of two of a piece's bytes. */
const PIECE_EXPONENT = { libtorrent: 18, aria2: 20 } as const;
const NAME = 'blob';
const START_BOUND_MS = 60_000;
const PULL_BOUND_MS = 300_000;
const PYTHON = '/usr/bin/python3';
const PEER_SCRIPT = fileURLToPath(new URL('../../../scripts/swarm/libtorrent-peer.py', import.meta.url));

interface Setup {
  readonly client: BitTorrentClient;
  readonly origin: Host;
  readonly nodes: readonly Host[];
  /** The blob's file at the origin. */
  readonly file: string;
  readonly dir: string;
}

/**
 * The blob as a torrent: tracker and seed on the origin's host, a client on each node that takes it when the clock starts, and gives
 * until the end of the run. What can be done before is: the torrent's file, the seed's check, with libtorrent also who is where.
 */
export class BitTorrent {
  readonly #setup: Setup;
  #tracker: Daemon | undefined;
  #seed: Peer | undefined;
  #leeches: Peer[] = [];

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  get pids(): { peers: number[]; seed: number[]; tracker: number[] } {
    return {
      peers: this.#leeches.map(({ pid }) => pid),
      seed: [this.#seed!.pid],
      tracker: [this.#tracker!.pid],
    };
  }

  get logFiles(): string[] {
    return ['tracker', 'seed', ...this.#setup.nodes.map(({ name }) => name)].map((name) => this.#log(name));
  }

  async start(): Promise<void> {
    const { client, origin, nodes, file, dir } = this.#setup;
    await rm(dir, { recursive: true, force: true });
    await mkdir(join(dir, 'seed'), { recursive: true });
    // opentracker gives up its rights.
    await chmod(dir, 0o755);
    await symlink(file, join(dir, 'seed', NAME));
    await writeFile(this.#complete, '#!/bin/sh\necho complete\n', { mode: 0o755 });
    const torrent = join(dir, 'blob.torrent');
    const announce = `http://${origin.address}:${TRACKER_PORT}/announce`;
    const piece = String(PIECE_EXPONENT[client]);
    await must('mktorrent', ['-l', piece, '-a', announce, '-n', NAME, '-o', torrent, join(dir, 'seed', NAME)], {
      boundMs: START_BOUND_MS,
    });
    await writeFile(join(dir, 'whitelist'), `${infoHash(await readFile(torrent))}\n`);
    const port = String(TRACKER_PORT);
    const listen = ['-i', origin.address, '-p', port, '-P', port];
    this.#tracker = startOn(origin, 'opentracker', [...listen, '-d', dir, '-w', 'whitelist'], this.#log('tracker'));
    this.#seed = this.#peer(origin, 'seed', torrent, join(dir, 'seed'));
    await this.#seed.said('ready', START_BOUND_MS);
    for (const node of nodes) {
      await mkdir(join(dir, node.name));
      this.#leeches.push(this.#peer(node, 'leech', torrent, join(dir, node.name)));
    }
    await Promise.all(this.#leeches.map((peer) => peer.said('ready', START_BOUND_MS)));
  }

  /** Lets all of them begin; what each took, and whether it has the right bytes. */
  async pullOnAll(): Promise<Pull[]> {
    const began = performance.now();
    for (const peer of this.#leeches) peer.go();
    const times = await Promise.all(
      this.#leeches.map((peer) =>
        peer.said('complete', PULL_BOUND_MS).then(
          () => ({ seconds: (performance.now() - began) / 1000, failure: undefined }),
          (error: Error) => ({ seconds: Number.POSITIVE_INFINITY, failure: error.message }),
        ),
      ),
    );
    // Nothing of it can be used before all of it is there.
    return times.map(({ seconds, failure }) => ({ seconds, firstByteSeconds: seconds, failure }));
  }

  /** The digest of what a node has. */
  async digestOn({ name }: Host): Promise<string> {
    const sum = await must('sha256sum', [join(this.#setup.dir, name, NAME)], { boundMs: PULL_BOUND_MS });
    return `sha256:${sum.slice(0, 64)}`;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#leeches, ...(this.#seed ? [this.#seed] : [])].map((peer) => peer.end()));
    this.#leeches = [];
    this.#seed = undefined;
    await this.#tracker?.stop();
    for (const { name } of this.#setup.nodes) await rm(join(this.#setup.dir, name), { recursive: true, force: true });
  }

  #peer(host: Host, role: 'seed' | 'leech', torrent: string, dir: string): Peer {
    const { client, nodes } = this.#setup;
    const command =
      client === 'libtorrent'
        ? [PYTHON, PEER_SCRIPT, role, torrent, dir, host.address, String(nodes.length)]
        : aria2(role, torrent, dir, this.#complete);
    return new Peer(host, command, this.#log(role === 'seed' ? 'seed' : host.name));
  }

  get #complete(): string {
    return join(this.#setup.dir, 'complete');
  }

  #log(name: string): string {
    return `${this.#setup.dir}-${name}.log`;
  }
}

/** It says nothing of a download's end while it goes on to give: it runs `complete` then. A seed finds the file there, and checks it. */
function aria2(role: 'seed' | 'leech', torrent: string, dir: string, complete: string): string[] {
  const options = [
    `--dir=${dir}`,
    '--file-allocation=none',
    '--bt-tracker-interval=2',
    '--bt-max-peers=60',
    '--seed-time=60',
    '--seed-ratio=0',
    '--bt-request-peer-speed-limit=200M',
    '--enable-dht=false',
    '--bt-enable-lpd=false',
    '--disk-cache=64M',
    '--summary-interval=0',
    '--console-log-level=notice',
    `--on-bt-download-complete=${complete}`,
  ];
  const wait = role === 'leech' ? 'echo ready; read go; ' : 'echo ready; ';
  const check = role === 'seed' ? ['--check-integrity=true', '--seed-time=600'] : [];
  return ['sh', '-c', `${wait}exec aria2c "$@"`, 'aria2c', ...options, ...check, torrent];
}

/** A client that says in words where it is. */
class Peer {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #output = '';

  constructor(host: Host, command: readonly string[], logFile: string) {
    this.#child = spawn('nsenter', [...within(host), ...command], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#ended = once(this.#child, 'close');
    const log = createWriteStream(logFile);
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
        log.write(text);
      });
    }
  }

  get pid(): number {
    return this.#child.pid!;
  }

  go(): void {
    this.#child.stdin!.write('go\n');
  }

  /** Waits for a word of its; rejects when it ends before. */
  async said(word: 'ready' | 'complete', boundMs: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (!this.#output.includes(`${word}\n`)) return;
        clearTimeout(timer);
        this.#child.stdout!.off('data', look);
        resolve();
      };
      const timer = setTimeout(() => reject(new Error(`not ${word} after ${boundMs} ms: ${this.#output}`)), boundMs);
      void this.#ended.then(() => reject(new Error(`ended before it was ${word}: ${this.#output}`)));
      this.#child.stdout!.on('data', look);
      look();
    });
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

/** SHA-1 of the torrent's `info` (BEP 3), which is its last key: mktorrent writes them in order. */
export function infoHash(torrent: Buffer): string {
  const start = torrent.indexOf('4:info') + '4:info'.length;
  return createHash('sha1')
    .update(torrent.subarray(start, torrent.length - 1))
    .digest('hex');
}
