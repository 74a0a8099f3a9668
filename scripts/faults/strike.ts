import { setTimeout as sleep } from 'node:timers/promises';
import type { Cause, Cure, Site } from './cause.ts';
import {
  codesOf,
  diagnosisOf,
  doctorFaults,
  type Diagnosis,
  type Outcome,
  peersCell,
  peersCellOf,
  plain,
  supernodeWarnings,
  unseen,
} from './outcome.ts';
import type { Proxy, Supernode } from './service.ts';
import type { World } from './world.ts';

/** For a fault to be seen, and for a cluster to be whole again: what takes longer is a failure. Far more than it takes. */
const SEEN_BOUND_MS = 300_000;
const WHOLE_BOUND_MS = 300_000;
const READY_BOUND_MS = 150_000;
/** Often enough for a figure of tenths of a second, seldom enough to be no load that changes it. */
const POLL_MS = 200;

/** A supernode, and proxies that nothing strikes. */
export interface Cluster {
  readonly supernode: Supernode;
  readonly others: readonly Proxy[];
}

export interface Terms {
  readonly world: World;
  /** How long what is frozen stays so, in milliseconds. */
  readonly freezeMs: number;
  readonly hasDoctor: boolean;
  /** What `hawker peers` shows is taken from the API that it reads: a process less. */
  readonly quick: boolean;
}

/** A fault that is there. */
export interface Struck {
  readonly site: Site;
  readonly cause: Cause;
  readonly cure: Cure | undefined;
  /** What is not as it must be, so far. */
  readonly faults: readonly string[];
  /** From the start of the node to the fault's being seen, where it started into it. */
  readonly seenMs: number;
}

/** Supernode and proxies, ready. */
export async function clusterOf(
  world: World,
  names: { supernode: string; others: readonly string[] },
): Promise<Cluster> {
  const supernode = await world.supernode(names.supernode);
  const others: Proxy[] = [];
  for (const name of names.others) others.push(await world.proxy(name, supernode));
  await supernode.start();
  for (const other of others) await other.launch();
  await Promise.all(others.map((other) => untilReady(supernode, other, READY_BOUND_MS)));
  return { supernode, others };
}

async function untilReady(supernode: Supernode, proxy: Proxy, boundMs: number): Promise<void> {
  await until(`${proxy.name} is ready`, boundMs, () => isReady({ supernode, index: 0 }, proxy));
}

async function isReady({ supernode, index }: Site['current'], proxy: Proxy): Promise<boolean> {
  const peers = (await supernode.peers())?.peers ?? [];
  return peers.some(({ host, state }) => host === proxy.name && state === 'ready') && proxy.isConnected(index);
}

/** Puts the fault in, and waits until it is seen. `cluster`: that the node is of; undefined: one of its own. */
export async function strike(
  terms: Terms,
  cause: Cause,
  cluster: Cluster | undefined,
  name = cause.name,
): Promise<Struck> {
  const site = await siteOf(terms.world, cause, cluster, name);
  const { node } = site;
  await cause.prepare?.(site);
  if (!cluster) {
    await site.supernode.start();
    for (const other of site.others) await other.launch();
    await Promise.all(site.others.map((other) => untilReady(site.supernode, other, READY_BOUND_MS)));
  }
  if (cause.from === 'ready') {
    await node.launch();
    await untilReady(site.supernode, node, READY_BOUND_MS);
  }
  for (const service of [node, ...(cluster ? [] : [site.supernode])]) service.mark();
  const cure = await cause.begin(site);
  if (cause.from === 'start') await node.launch();
  const began = performance.now();
  const faults = await untilSeen(site, cause);
  const seenMs = performance.now() - began;
  if (cause.frozen) await sleep(Math.max(0, terms.freezeMs - seenMs));
  return { site, cause, cure, faults, seenMs };
}

async function siteOf(world: World, { name }: Cause, cluster: Cluster | undefined, host: string): Promise<Site> {
  const supernode = cluster?.supernode ?? (await world.supernode(`${name}-s1`));
  const spare = cluster ? undefined : await world.supernode(`${name}-s2`);
  const others = cluster?.others ?? [await world.proxy(`${name}-o`, supernode)];
  const node = await world.proxy(host, supernode);
  return { world, supernode, spare, node, others, current: { supernode, index: 0 }, digest: world.blob() };
}

async function until(what: string, boundMs: number, condition: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + boundMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${boundMs} ms in vain: ${what}`);
    await sleep(POLL_MS);
  }
}

/** What is still not seen in the end. */
async function untilSeen(site: Site, { name }: Cause): Promise<string[]> {
  const end = performance.now() + SEEN_BOUND_MS;
  for (;;) {
    const faults = unseen(site, name, await site.current.supernode.peers());
    if (faults.length === 0 || performance.now() > end) return faults;
    await sleep(POLL_MS);
  }
}

/** Looks at a fault as an operator does, and has something pulled meanwhile; then has it cured, and waits until all is well. */
export async function outcomeOf(terms: Terms, struck: Struck): Promise<Outcome> {
  const { site, cause, cure } = struck;
  const { node, others } = site;
  const puller = cause.pullElsewhere ? others[0]! : node;
  const runs = node.running || cause.pullElsewhere;
  const [wrong, peers, doctor] = await Promise.all([
    runs ? puller.pull(site.digest) : undefined,
    peersShown(terms, site),
    diagnosed(terms, node),
  ]);
  const proxyLog = codesOf(node.warnings());
  const supernodeLog = codesOf(supernodeWarnings(site));
  const faults = [
    ...struck.faults,
    ...(wrong === undefined ? [] : [`a pull through ${puller.name} gave ${wrong}`]),
    ...doctorFaults(cause.name, doctor),
  ];
  let wholeMs: number | undefined = cause.from === 'start' ? struck.seenMs : undefined;
  try {
    wholeMs = cure ? await healed(site, cure) : wholeMs;
    if (!cure && !(await isReady(site.current, node))) faults.push(`${node.name} is no longer ready`);
  } catch (error) {
    wholeMs = undefined;
    faults.push(String(error));
  }
  return {
    cause,
    peers: plain(site, peers),
    doctor,
    proxyLog: proxyLog.map((line) => plain(site, line)),
    supernodeLog,
    wholeMs,
    cured: cure !== undefined,
    faults,
  };
}

async function peersShown({ quick }: Terms, site: Site): Promise<string> {
  const { supernode } = site.current;
  if (quick) return peersCell(site, await supernode.peers());
  return peersCellOf(site, await site.others[0]!.ask('peers', '--supernodes', supernode.url, '--json'));
}

function diagnosed({ hasDoctor }: Terms, node: Proxy): Promise<Diagnosis> | undefined {
  return hasDoctor ? node.ask('doctor', '--json').then(diagnosisOf) : undefined;
}

async function healed(site: Site, cure: Cure): Promise<number> {
  await cure();
  const began = performance.now();
  const proxies = site.spare ? [site.node, ...site.others] : [site.node];
  await until('the cluster is whole', WHOLE_BOUND_MS, async () => {
    for (const proxy of proxies) if (!(await isReady(site.current, proxy))) return false;
    return true;
  });
  return performance.now() - began;
}
