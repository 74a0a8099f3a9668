import { digestOf, type Digest } from '../../src/base/digest.ts';
import { Agenda } from '../../src/p2p/supernode/agenda.ts';
import type { Decision, SwarmEvent } from '../../src/p2p/supernode/events.ts';
import { Swarm } from '../../src/p2p/supernode/swarm.ts';
import { randomFrom } from '../support/random.ts';
import { Link } from './flow.ts';
import { Network } from './network.ts';
import { lowerBound, type Scenario } from './scenario.ts';
import { VirtualNode } from './virtual-node.ts';
import type { VirtualBlob } from './virtual-blob.ts';
import type { World } from './world.ts';

/** Messages are counted in such stretches of time, to find the peak. */
const BUCKET_MS = 100;
/** Until a silent peer counts as unreachable. */
const DIAL_TIMEOUT_MS = 1000;
/** A run that is not over by then will not be. */
const LIMIT_LOWER_BOUNDS = 200;

export interface Outcome {
  /** Milliseconds from its own start to its last piece, for each node that got everything and is not slow. */
  readonly times: readonly number[];
  readonly timesToFirstPiece: readonly number[];
  readonly longestStalls: readonly number[];
  /** From the wish for a blob that came later to its last byte. */
  readonly timesOfLater: readonly number[];
  readonly unfinished: number;
  readonly originBytes: number;
  readonly leases: number;
  /** Messages to the supernode, and from it; the most in a second, both ways. */
  readonly messagesIn: number;
  readonly messagesOut: number;
  readonly peakMessages: number;
  readonly duration: number;
  /** CPU time that the swarm took over them, and that all of the simulation took, in milliseconds. */
  readonly swarmMs: number;
  readonly cpuMs: number;
}

/** Runs the swarm's own code in a world of virtual time. */
export class Simulation implements World {
  readonly scenario: Scenario;
  readonly network = new Network();
  readonly origin: Link;
  readonly #agenda = new Agenda();
  readonly #swarm: Swarm;
  readonly #nodes = new Map<string, VirtualNode>();
  readonly #digests: Digest[];
  readonly #later = digestOf('later');
  readonly #waves: VirtualNode[][] = [];
  readonly #left = new Set<VirtualNode>();
  readonly #buckets: number[] = [];
  #now = 0;
  #originBytes = 0;
  #leases = 0;
  #messagesIn = 0;
  #messagesOut = 0;
  #swarmMs = 0;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.origin = new Link(scenario.originRate);
    this.#digests = scenario.sizes.map((_size, index) => digestOf(`blob ${index}`));
    this.#swarm = new Swarm({ now: 0, random: randomFrom(scenario.seed), settleMs: 0, rules: scenario.rules });
    this.#populate();
  }

  run(): Outcome {
    const begun = performance.now();
    const cpu = process.cpuUsage();
    const { scenario } = this;
    const limit = LIMIT_LOWER_BOUNDS * lowerBound(scenario) + scenario.spread + 60_000;
    while ((this.#left.size > 0 || this.#waves.length > 0) && this.#step(limit));
    const { user, system } = process.cpuUsage(cpu);
    const cpuMs = (user + system) / 1000;
    // Other processes hold up the swarm and the rest of the simulation alike.
    const swarmMs = (cpuMs * this.#swarmMs) / (performance.now() - begun);
    const finished = [...this.#nodes.values()].filter((node) => node.isDone && !node.isDead && !node.isSlow);
    const downloads = finished.map((node) => this.#digests.map((digest) => node.blobs.get(digest)!));
    const cold = downloads.filter((of) => of.every((blob) => blob.doneAt! > 0));
    const later = finished.flatMap((node) => node.blobs.get(this.#later) ?? []);
    return {
      times: cold.map((of) => Math.max(...of.map(timeOf))),
      timesToFirstPiece: cold.map((of) => Math.max(...of.map((blob) => blob.firstPieceAt! - blob.startedAt))),
      longestStalls: cold.map((of) => Math.max(...of.map((blob) => blob.longestStall))),
      timesOfLater: later.map(timeOf),
      unfinished: this.#left.size,
      originBytes: this.#originBytes,
      leases: this.#leases,
      messagesIn: this.#messagesIn,
      messagesOut: this.#messagesOut,
      peakMessages:
        (Array.from(this.#buckets, (count) => count ?? 0).reduce((a, b) => Math.max(a, b), 0) * 1000) / BUCKET_MS,
      duration: this.#now,
      swarmMs,
      cpuMs,
    };
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, task: () => void): void {
    this.#agenda.add(this.#now + ms, task);
  }

  send(event: SwarmEvent): void {
    this.after(this.scenario.controlRtt / 2, () => this.#apply(event));
  }

  node(id: string): VirtualNode {
    return this.#nodes.get(id)!;
  }

  readFromOrigin(bytes: number): void {
    this.#originBytes += bytes;
  }

  finished(node: VirtualNode): void {
    if (!this.#left.delete(node) || this.#left.size > 0) return;
    this.#startWave();
  }

  gaveUp(node: VirtualNode): void {
    throw new Error(`${node.id} was told that nobody can give it what it lacks`);
  }

  #populate(): void {
    const { nodes, warm, slow, batches, spread, deaths, rangesKnown, sizes, stallAt } = this.scenario;
    const cold: VirtualNode[] = [];
    for (let i = 0; i < nodes; i += 1) {
      const node = new VirtualNode(`node-${i}`, this, isOneOf(i, slow));
      this.#nodes.set(node.id, node);
      this.#tell({ kind: 'peer', peer: node.id, reachable: true });
      if (i < Math.round(nodes * warm)) this.#digests.forEach((digest, at) => node.have(digest, sizes[at]!));
      else cold.push(node);
    }
    if (rangesKnown) this.#proveRanges();
    const perWave = Math.ceil(cold.length / batches);
    for (let i = 0; i < cold.length; i += perWave) this.#waves.push(cold.slice(i, i + perWave));
    const doomed = cold.filter((_node, index) => isOneOf(index, deaths));
    for (const node of doomed) this.#agenda.add(lowerBound(this.scenario) / 2 + spread, () => this.#kill(node));
    if (stallAt > 0) this.#agenda.add(lowerBound(this.scenario) * stallAt, () => this.#stallOne());
    this.#startWave();
  }

  /** The origin falls silent to the first node that reads from it. */
  #stallOne(): void {
    const reader = [...this.#nodes.values()].find((node) => node.isReading);
    if (reader) reader.stall();
    else this.after(10, () => this.#stallOne());
  }

  /** A small blob that was read earlier has shown that the origin gives ranges. */
  #proveRanges(): void {
    const digest = digestOf('earlier');
    this.#tell({ kind: 'peer', peer: 'earlier', reachable: true });
    const want = {
      kind: 'want',
      peer: 'earlier',
      digest,
      size: 2 ** 21,
      held: [0],
      awaited: [{ first: 1, count: 1 }],
    } as const;
    const lease = this.#tell({ ...want, origin: 'origin.example' }).find((decision) => decision.kind === 'lease');
    if (lease?.kind === 'lease') this.#tell({ kind: 'progress', peer: 'earlier', digest, lease: lease.lease });
    this.#tell({ kind: 'gone', peer: 'earlier' });
  }

  #startWave(): void {
    const { spread, sizes, later } = this.scenario;
    const wave = this.#waves.shift() ?? [];
    wave.forEach((node, index) => {
      this.#left.add(node);
      const startsIn = (spread * index) / wave.length;
      this.after(startsIn, () => {
        if (!node.isDead) this.#digests.forEach((digest, at) => node.want(digest, sizes[at]!));
      });
      if (later === 0) return;
      this.after(startsIn + lowerBound(this.scenario) / 2, () => {
        if (!node.isDead) node.want(this.#later, later);
      });
    });
  }

  #kill(node: VirtualNode): void {
    if (node.isDone) return;
    node.die();
    this.finished(node);
  }

  /** False: nothing happens any more, or not in time. */
  #step(limit: number): boolean {
    const at = Math.min(this.#agenda.nextAt, this.network.nextAt, this.#swarm.nextTick);
    if (!(at < limit)) return false;
    this.#now = Math.max(this.#now, at);
    if (at === this.network.nextAt) this.network.finishNext();
    else if (at === this.#agenda.nextAt) this.#agenda.takeDue(at)!();
    else this.#deliver(this.#timed(() => this.#swarm.tick(this.#now)));
    return true;
  }

  #apply(event: SwarmEvent): void {
    this.#messagesIn += 1;
    this.#count(1);
    this.#deliver(this.#timed(() => this.#swarm.apply(event, this.#now)));
  }

  #tell(event: SwarmEvent): Decision[] {
    return this.#swarm.apply(event, this.#now);
  }

  #timed(decide: () => Decision[]): Decision[] {
    const before = performance.now();
    const decisions = decide();
    this.#swarmMs += performance.now() - before;
    return decisions;
  }

  #deliver(decisions: readonly Decision[]): void {
    this.#messagesOut += decisions.length;
    this.#count(decisions.length);
    for (const decision of decisions) {
      if (decision.kind === 'lease') this.#leases += 1;
      if (decision.kind === 'trouble') {
        this.#test(decision.peer);
        continue;
      }
      if (decision.kind === 'reject') throw new Error(`the swarm rejected a report: ${decision.code}`);
      const node = this.#nodes.get(decision.peer)!;
      this.after(this.scenario.controlRtt / 2, () => node.told(decision));
    }
  }

  /** The supernode dials a peer that others have trouble with. */
  #test(id: string): void {
    if (!this.node(id).isDead) return;
    this.after(DIAL_TIMEOUT_MS, () => this.#apply({ kind: 'peer', peer: id, reachable: false }));
  }

  #count(messages: number): void {
    const bucket = Math.floor(this.#now / BUCKET_MS);
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + messages;
  }
}

function timeOf(blob: VirtualBlob): number {
  return blob.doneAt! - blob.startedAt;
}

/** Picks a part of things, spread evenly over them. */
function isOneOf(index: number, part: number): boolean {
  return Math.floor((index + 1) * part * (1 - 1e-9)) > Math.floor(index * part * (1 - 1e-9));
}
