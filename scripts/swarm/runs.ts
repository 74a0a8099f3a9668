import { cp, mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BitTorrent } from './bittorrent.ts';
import { Cluster, MIRROR_URL, sumOf } from './cluster.ts';
import { machineTimes, processSeconds } from './cpu.ts';
import { digestOn } from '../netns/digest.ts';
import { endWithOutside } from '../netns/enclosure.ts';
import type { Host } from '../netns/host.ts';
import { Network, sentBy } from '../netns/network.ts';
import type { Asked } from './options.ts';
import { blobPath, Registry } from '../netns/origin.ts';
import { pullOnAll, type Pull } from './pull.ts';
import { figures, report, title, type NodeBytes, type Outcome } from './table.ts';

/** The origin is quiet when nothing has left it for so long. */
const QUIET_MS = 500;
const VERIFY_BOUND_MS = 600_000;
/** Less is not of the pull: ARP, keep-alives, reads of its own. In bytes. */
const NOISE_BYTES = 4096;

const say = (line: string) => void process.stdout.write(`${line}\n`);

/** Something that nodes pull from. */
interface Mirror {
  /** A new one, with nothing in it. */
  start(): Promise<void>;
  /** Where a client on the node gets `path`. */
  urlOf(path: string): string;
  /** Pids by part. */
  pids(): Readonly<Record<string, readonly number[]>>;
  bytesOf(node: Host): Promise<NodeBytes | undefined>;
  /** How all nodes pull, where it is not by HTTP; and the digest of what a node then has. */
  readonly own?: { pullOnAll(): Promise<Pull[]>; digestOn(node: Host): Promise<string> };
  /** Its nodes can be asked again without a byte of the origin: what they give is hashed. */
  readonly isVerified: boolean;
  stop(): Promise<void>;
  readonly logFiles: readonly string[];
}

interface Rig {
  readonly asked: Asked;
  readonly origin: Registry;
  readonly nodes: readonly Host[];
  readonly digest: string;
  /** Of the blob that is pulled before the clock starts. */
  readonly warmUp: string | undefined;
  readonly mirror: Mirror;
}

/** All runs that were asked for, inside the enclosure; the exit status: 1 where a pull failed. */
export async function runAll(asked: Asked, dir: string): Promise<number> {
  endWithOutside();
  const network = await Network.create();
  const origin = new Registry(await network.host('origin', '10.77.0.2', asked.originRate), join(dir, 'origin'));
  const nodes: Host[] = [];
  for (let i = 1; i <= asked.nodes; i += 1) nodes.push(await network.host(`n${i}`, `10.77.1.${i}`, asked.rate));
  await origin.start();
  const warmUp = asked.warmUp > 0 ? await origin.push(asked.warmUp) : undefined;
  const digest = await origin.push(asked.size);
  const mirror = await mirrorOf(asked, network, { origin, nodes, dir, digest });
  if (!asked.json) say(title(asked, asked.rival ?? 'hawker'));
  let failed = 0;
  for (let run = 1; run <= asked.runs; run += 1) {
    const outcome = await once({ asked, origin, nodes, digest, warmUp, mirror });
    if (asked.json) say(JSON.stringify({ asked, run, figures: figures(asked, outcome), outcome }));
    else say(`\nrun ${run} of ${asked.runs}\n${report(asked, outcome)}`);
    failed += outcome.nodes.filter(({ failure }) => failure !== undefined).length;
    if (asked.logs !== undefined) await keepLogs([...mirror.logFiles, origin.logFile], join(asked.logs, `run-${run}`));
  }
  await origin.stop();
  return failed > 0 ? 1 : 0;
}

async function once({ asked, origin, nodes, digest, warmUp, mirror }: Rig): Promise<Outcome> {
  await mirror.start();
  try {
    const url = mirror.urlOf(blobPath(digest));
    if (warmUp !== undefined && !mirror.own) {
      const pulls = await pullOnAll(nodes, mirror.urlOf(blobPath(warmUp)), { size: asked.warmUp, staggerMs: 0 });
      for (const { failure } of pulls) if (failure !== undefined) throw new Error(`warming up: ${failure}`);
    }
    await untilQuiet(origin.host);
    const before = await bytesOfAll(mirror, nodes);
    await origin.mark();
    const parts = Object.entries({ ...mirror.pids(), origin: [origin.pid] });
    const sentBefore = await sentBy(origin.host);
    const machine = machineTimes();
    const used = parts.map(([, pids]) => processSeconds(pids));
    const began = performance.now();
    const pulls = await (mirror.own?.pullOnAll() ?? pullOnAll(nodes, url, asked));
    const seconds = (performance.now() - began) / 1000;
    const { total, busy } = machineTimes();
    const cpu = parts.map(([name, pids], i) => [name, processSeconds(pids) - used[i]!]);
    // What goes on behind the last client counts too.
    await untilQuiet(origin.host);
    const sent = await sentBy(origin.host);
    const requests = (await origin.blobRequests(digest)).filter(({ method }) => method === 'GET');
    const after = await bytesOfAll(mirror, nodes);
    const digestGiven = (node: Host) => mirror.own?.digestOn(node) ?? digestOn(node, url, VERIFY_BOUND_MS);
    const failures: (string | undefined)[] = [];
    for (const [i, node] of nodes.entries()) {
      const given = pulls[i]!.failure === undefined && mirror.isVerified ? await digestGiven(node) : digest;
      failures.push(pulls[i]!.failure ?? (given === digest ? undefined : `it gives ${given}`));
    }
    return {
      nodes: nodes.map(({ name }, i) => ({
        name,
        ...pulls[i]!,
        failure: failures[i],
        bytes: less(after[i], before[i]),
      })),
      originSent: {
        bytes: sent.bytes - sentBefore.bytes,
        payload: sent.payload - sentBefore.payload,
        segmentsAgain: sent.segmentsAgain - sentBefore.segmentsAgain,
      },
      originRequests: requests.length,
      originWrote: requests.reduce((sum, { written }) => sum + written, 0),
      seconds,
      busy: (busy - machine.busy) / (total - machine.total),
      cpu: Object.fromEntries(cpu) as Record<string, number>,
    };
  } finally {
    await mirror.stop();
  }
}

async function bytesOfAll(mirror: Mirror, nodes: readonly Host[]): Promise<(NodeBytes | undefined)[]> {
  const all: (NodeBytes | undefined)[] = [];
  for (const node of nodes) all.push(await mirror.bytesOf(node));
  return all;
}

function less(after: NodeBytes | undefined, before: NodeBytes | undefined): NodeBytes | undefined {
  return after && before && { origin: after.origin - before.origin, peers: after.peers - before.peers };
}

async function mirrorOf(
  asked: Asked,
  network: Network,
  { origin, nodes, dir, digest }: { origin: Registry; nodes: readonly Host[]; dir: string; digest: string },
): Promise<Mirror> {
  if (asked.rival === 'direct') return { ...plain, urlOf: (path) => origin.url + path };
  if (asked.rival === 'pull-through') {
    const cache = new Registry(await network.host('cache', '10.77.0.4', asked.originRate), join(dir, 'cache'));
    return {
      ...plain,
      start: () => cache.start(origin.url),
      stop: () => cache.stop(),
      urlOf: (path) => cache.url + path,
      pids: () => ({ cache: [cache.pid] }),
      logFiles: [cache.logFile],
    };
  }
  if (asked.rival !== undefined) {
    const file = origin.fileOf(digest);
    const swarm = new BitTorrent({ client: asked.rival, origin: origin.host, nodes, file, dir: join(dir, 'bt') });
    return {
      ...plain,
      start: () => swarm.start(),
      stop: () => swarm.stop(),
      urlOf: (path) => origin.url + path,
      own: swarm,
      pids: () => swarm.pids,
      isVerified: true,
      logFiles: swarm.logFiles,
    };
  }
  const supernode = await network.host('supernode', '10.77.0.3', asked.rate);
  const setup = { supernode, nodes, originUrl: origin.url, dir: join(dir, 'cluster'), logLevel: asked.logLevel };
  const cluster = new Cluster(setup);
  return {
    start: () => cluster.start(),
    stop: () => cluster.stop(),
    urlOf: (path) => MIRROR_URL + path,
    pids: () => {
      const { supernode, proxies } = cluster.pids;
      return { proxies, supernode: [supernode] };
    },
    bytesOf: async (node) => {
      const metrics = await cluster.metrics(node);
      return {
        origin: sumOf(metrics, 'hawker_origin_bytes_total'),
        peers: sumOf(metrics, 'hawker_peer_bytes_total', 'direction="in"'),
      };
    },
    isVerified: true,
    logFiles: cluster.logFiles,
  };
}

/** The origin itself. */
const plain: Omit<Mirror, 'urlOf'> = {
  start: async () => {},
  stop: async () => {},
  pids: () => ({}),
  bytesOf: async () => undefined,
  isVerified: false,
  logFiles: [],
};

async function untilQuiet(origin: Host): Promise<void> {
  for (let before = (await sentBy(origin)).bytes; ;) {
    await sleep(QUIET_MS);
    const now = (await sentBy(origin)).bytes;
    if (now - before < NOISE_BYTES) return;
    before = now;
  }
}

async function keepLogs(files: readonly string[], dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  for (const file of files) await cp(file, join(dir, basename(file)));
}
