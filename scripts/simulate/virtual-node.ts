import type { Digest } from '../../src/base/digest.ts';
import type { Decision } from '../../src/p2p/supernode/events.ts';
import { Link, type Flow } from './flow.ts';
import { OriginRead } from './origin-read.ts';
import { VirtualBlob } from './virtual-blob.ts';
import type { World } from './world.ts';

/** Until a silent proxy counts as gone: three heartbeats. */
const STALE_MS = 15_000;

interface Fetch {
  readonly from: VirtualNode;
  flow: Flow | undefined;
  isOver: boolean;
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
  readonly #reads = new Map<number, OriginRead>();
  readonly #fetches = new Map<Digest, Map<number, Fetch>>();
  /** Pieces that others fetch from here. */
  readonly #sends = new Map<Fetch, () => void>();
  /** Connections to the origin that were broken off: in their place new ones have to be opened. */
  #broken = 0;

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

  /** It has a read from the origin that brings bytes. */
  get isReading(): boolean {
    return [...this.#reads.values()].some((read) => read.isReading);
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
        this.#read(blob, decision.lease, decision.run.first, decision.run.first + decision.run.count - 1);
        return;
      case 'cut':
        this.#reads.get(decision.lease)?.cut(decision.last);
        return;
      case 'fetch':
        this.#fetch(blob, decision.piece, this.#world.node(decision.from));
        return;
      case 'none':
        this.#world.gaveUp(this);
        return;
      case 'wait':
      // Nobody reads anything wrong here, so nothing is disputed.
      case 'read-again':
      case 'second-reading':
      case 'dispute':
      case 'blamed':
    }
  }

  /** Its reads from the origin bring nothing any more. */
  stall(): void {
    for (const read of this.#reads.values()) read.stall();
  }

  /** Without a word, or with all its connections reset. */
  die(): void {
    const { network, scenario } = this.#world;
    const now = this.#world.now();
    this.isDead = true;
    for (const read of this.#reads.values()) read.die();
    for (const fetches of this.#fetches.values()) {
      for (const fetch of fetches.values()) {
        fetch.isOver = true;
        if (fetch.flow) network.stop(fetch.flow, now);
        fetch.from.#sends.delete(fetch);
      }
    }
    for (const [fetch, fail] of this.#sends) {
      if (fetch.flow) network.stop(fetch.flow, now);
      fail();
    }
    const noticed = scenario.detect === 0 ? scenario.controlRtt : STALE_MS;
    this.#world.after(noticed, () => this.#world.send({ kind: 'gone', peer: this.id }));
  }

  #read(blob: VirtualBlob, lease: number, first: number, last: number): void {
    const world = this.#world;
    const read = new OriginRead(
      world,
      this.id,
      this.down,
      { blob, lease, first, last },
      {
        came: (piece) => this.#got(blob, piece),
        ended: (keepsConnection) => {
          this.#reads.delete(lease);
          if (!keepsConnection) this.#broken += 1;
        },
      },
    );
    this.#reads.set(lease, read);
    const roundTrips = this.#broken > 0 ? 2 : 1;
    if (this.#broken > 0) this.#broken -= 1;
    world.after(roundTrips * world.scenario.originRtt, () => read.begin());
  }

  #fetch(blob: VirtualBlob, piece: number, from: VirtualNode): void {
    const world = this.#world;
    const { scenario } = world;
    const { digest } = blob;
    const askedAt = world.now();
    const fetch: Fetch = { from, flow: undefined, isOver: false };
    const ofBlob = this.#fetches.get(digest) ?? new Map<number, Fetch>();
    this.#fetches.set(digest, ofBlob);
    ofBlob.set(piece, fetch);
    const end = () => {
      fetch.isOver = true;
      ofBlob.delete(piece);
      from.#sends.delete(fetch);
    };
    const fail = () => {
      world.after(scenario.detect === 0 ? scenario.peerRtt : scenario.detect, () => {
        if (fetch.isOver) return;
        end();
        const reason = scenario.detect === 0 ? 'reset' : 'timeout';
        world.send({ kind: 'failed', peer: this.id, digest, piece, from: from.id, reason });
      });
    };
    from.#sends.set(fetch, fail);
    world.after(scenario.peerRtt, () => {
      if (fetch.isOver) return;
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
          return 0;
        },
      });
    });
  }

  #got(blob: VirtualBlob, piece: number): void {
    const wasDone = blob.doneAt !== undefined;
    blob.add(piece, this.#world.now());
    if (wasDone || blob.doneAt === undefined) return;
    this.#world.after(0, () => {
      this.#world.send({ kind: 'leave', peer: this.id, digest: blob.digest });
      if (this.isDone) this.#world.finished(this);
    });
  }
}
