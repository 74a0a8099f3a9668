import type { Digest } from '../../src/base/digest.ts';
import type { Decision, SwarmEvent } from '../../src/p2p/supernode/events.ts';
import { Link, type Flow, type Network } from './network.ts';
import type { Scenario } from './scenario.ts';
import { VirtualBlob } from './virtual-blob.ts';

/** What a node needs of the world around it. */
export interface World {
  readonly scenario: Scenario;
  readonly network: Network;
  readonly origin: Link;
  now(): number;
  after(ms: number, task: () => void): void;
  send(event: SwarmEvent): void;
  node(id: string): VirtualNode;
  readFromOrigin(bytes: number): void;
  finished(node: VirtualNode): void;
  gaveUp(node: VirtualNode): void;
}

interface Read {
  next: number;
  last: number;
  pieceStartedAt: number;
  flow: Flow | undefined;
}

interface Fetch {
  readonly from: VirtualNode;
  flow: Flow | undefined;
  over: boolean;
}

/** A proxy, as far as the network sees it: it does what it is told, and reports. */
export class VirtualNode {
  readonly id: string;
  readonly up: Link;
  readonly down: Link;
  readonly isSlow: boolean;
  readonly blobs = new Map<Digest, VirtualBlob>();
  isDead = false;
  readonly #world: World;
  readonly #reads = new Map<number, Read>();
  readonly #fetches = new Map<Digest, Map<number, Fetch>>();
  /** Pieces that others fetch from here. */
  readonly #sends = new Map<Fetch, () => void>();

  constructor(id: string, world: World, isSlow: boolean) {
    const rate = world.scenario.nodeRate / (isSlow ? 10 : 1);
    this.id = id;
    this.isSlow = isSlow;
    this.up = new Link(rate);
    this.down = new Link(rate);
    this.#world = world;
  }

  get isDone(): boolean {
    return [...this.blobs.values()].every((blob) => blob.doneAt !== undefined);
  }

  want(digest: Digest, size: number): void {
    const world = this.#world;
    const blob = new VirtualBlob(digest, size, world.now());
    this.blobs.set(digest, blob);
    world.send({
      kind: 'want',
      peer: this.id,
      digest,
      size,
      held: [],
      awaited: [{ first: 0, count: blob.pieces.count }],
      origin: 'origin.example',
      image: 'image',
    });
  }

  have(digest: Digest, size: number): void {
    const blob = new VirtualBlob(digest, size, this.#world.now());
    blob.fill();
    this.blobs.set(digest, blob);
    this.#world.send({ kind: 'have', peer: this.id, digest, size });
  }

  told(decision: Decision): void {
    if (this.isDead || decision.kind === 'trouble' || decision.kind === 'reject') return;
    const blob = this.blobs.get(decision.digest)!;
    switch (decision.kind) {
      case 'lease':
        this.#lease(blob, decision.lease, decision.run.first, decision.run.first + decision.run.count - 1);
        return;
      case 'cut':
        this.#cut(blob, decision.lease, decision.last);
        return;
      case 'fetch':
        this.#fetch(blob, decision.piece, this.#world.node(decision.from));
        return;
      case 'none':
        this.#world.gaveUp(this);
        return;
      case 'wait':
    }
  }

  /** Without a word, or with all its connections reset. */
  die(): void {
    const { network, scenario } = this.#world;
    const now = this.#world.now();
    this.isDead = true;
    for (const read of this.#reads.values()) if (read.flow) network.stop(read.flow, now);
    for (const fetches of this.#fetches.values()) {
      for (const fetch of fetches.values()) {
        fetch.over = true;
        if (fetch.flow) network.stop(fetch.flow, now);
        fetch.from.#sends.delete(fetch);
      }
    }
    for (const [fetch, fail] of this.#sends) {
      if (fetch.flow) network.stop(fetch.flow, now);
      fail();
    }
    const noticed = scenario.detect === 0 ? scenario.controlRtt : 15_000;
    this.#world.after(noticed, () => this.#world.send({ kind: 'gone', peer: this.id }));
  }

  #lease(blob: VirtualBlob, lease: number, first: number, last: number): void {
    const read: Read = { next: first, last, pieceStartedAt: 0, flow: undefined };
    this.#reads.set(lease, read);
    this.#world.after(this.#world.scenario.originRtt, () => {
      if (this.isDead) return;
      this.#world.send({ kind: 'progress', peer: this.id, digest: blob.digest, lease });
      this.#readNext(blob, lease, read);
    });
  }

  #readNext(blob: VirtualBlob, lease: number, read: Read): void {
    const world = this.#world;
    if (read.next > read.last) {
      this.#reads.delete(lease);
      world.send({ kind: 'ended', peer: this.id, digest: blob.digest, lease });
      return;
    }
    const piece = read.next;
    const bytes = blob.pieces.end(piece) - blob.pieces.start(piece);
    read.pieceStartedAt = world.now();
    read.flow = world.network.start(world.origin, this.down, {
      bytes,
      cap: world.scenario.connectionRate,
      now: world.now(),
      done: () => {
        world.readFromOrigin(bytes);
        const ms = world.now() - read.pieceStartedAt;
        read.next += 1;
        this.#got(blob, piece);
        world.send({ kind: 'piece', peer: this.id, digest: blob.digest, piece, ms, crc32: piece });
        this.#readNext(blob, lease, read);
      },
    });
    this.#sayProgress(blob, lease, read, piece);
  }

  /** Once a second while no piece gets whole. */
  #sayProgress(blob: VirtualBlob, lease: number, read: Read, piece: number): void {
    this.#world.after(1000, () => {
      if (this.isDead || read.next !== piece || !this.#reads.has(lease)) return;
      this.#world.send({ kind: 'progress', peer: this.id, digest: blob.digest, lease });
      this.#sayProgress(blob, lease, read, piece);
    });
  }

  #cut(blob: VirtualBlob, lease: number, last: number): void {
    const read = this.#reads.get(lease);
    if (!read || last >= read.last) return;
    read.last = last;
    if (read.next <= last || !read.flow) return;
    const bytes = blob.pieces.end(read.next) - blob.pieces.start(read.next);
    this.#world.readFromOrigin(bytes - this.#world.network.stop(read.flow, this.#world.now()));
    this.#readNext(blob, lease, read);
  }

  #fetch(blob: VirtualBlob, piece: number, from: VirtualNode): void {
    const world = this.#world;
    const { digest } = blob;
    const askedAt = world.now();
    const fetch: Fetch = { from, flow: undefined, over: false };
    const ofBlob = this.#fetches.get(digest) ?? new Map<number, Fetch>();
    this.#fetches.set(digest, ofBlob);
    ofBlob.set(piece, fetch);
    const end = () => {
      fetch.over = true;
      ofBlob.delete(piece);
      from.#sends.delete(fetch);
    };
    const fail = () => {
      world.after(world.scenario.detect === 0 ? world.scenario.peerRtt : world.scenario.detect, () => {
        if (fetch.over) return;
        end();
        const reason = world.scenario.detect === 0 ? 'reset' : 'timeout';
        world.send({ kind: 'failed', peer: this.id, digest, piece, from: from.id, reason });
      });
    };
    from.#sends.set(fetch, fail);
    world.after(world.scenario.peerRtt, () => {
      if (fetch.over) return;
      if (from.isDead) {
        fail();
        return;
      }
      if (!from.blobs.get(digest)?.has(piece))
        throw new Error(`${from.id} was to send piece ${piece}, which it does not have`);
      const bytes = blob.pieces.end(piece) - blob.pieces.start(piece);
      fetch.flow = world.network.start(from.up, this.down, {
        bytes,
        now: world.now(),
        done: () => {
          end();
          this.#got(blob, piece);
          const ms = world.now() - askedAt;
          world.send({ kind: 'piece', peer: this.id, digest, piece, from: from.id, ms, crc32: piece });
        },
      });
    });
  }

  #got(blob: VirtualBlob, piece: number): void {
    blob.add(piece, this.#world.now());
    if (blob.doneAt === undefined) return;
    this.#world.after(0, () => {
      this.#world.send({ kind: 'leave', peer: this.id, digest: blob.digest });
      if (this.isDone) this.#world.finished(this);
    });
  }
}
