import { crc32 as zlibCrc32 } from 'node:zlib';
import { digestOf, type Digest } from '../../../src/base/digest.ts';
import { MiB } from '../../../src/base/units.ts';
import type { PieceFailure } from '../../../src/p2p/protocol/coordinator.ts';
import type { Decision, SwarmEvent } from '../../../src/p2p/supernode/events.ts';
import type { SwarmRules } from '../../../src/p2p/supernode/limits.ts';
import { Directory } from '../../../src/p2p/supernode/directory.ts';
import { Swarm } from '../../../src/p2p/supernode/swarm.ts';
import type { LeaseFailure, PieceRun } from '../../../src/p2p/protocol/coordinator.ts';

export type Fetch = Extract<Decision, { kind: 'fetch' }>;
export type Lease = Extract<Decision, { kind: 'lease' }>;
export type Cut = Extract<Decision, { kind: 'cut' }>;

export function digest(name: string): Digest {
  return digestOf(name);
}

export const BLOB = digest('blob');

/** Numbers in [0, 1) that look random and are the same each time. */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** More than can fall due in the time that a test lets pass. */
const MAX_TICKS = 100_000;

/** Drives a swarm by hand: short words for events, and what it said, by kind. */
export class Driver {
  readonly swarm: Swarm;
  /** What the swarm knows. */
  readonly directory = new Directory();
  now: number;
  /** All decisions since `take` was called last. */
  #said: Decision[] = [];

  constructor(
    options: { rules?: Partial<SwarmRules>; settleMs?: number; seed?: number; firstLease?: number; now?: number } = {},
  ) {
    const { rules = {}, settleMs = 0, seed = 1, firstLease = 1, now = 1000 } = options;
    this.now = now;
    const { directory } = this;
    this.swarm = new Swarm({ now: this.now, random: numbers(seed), settleMs, rules, firstLease, directory });
  }

  tell(event: SwarmEvent): Decision[] {
    const said = this.swarm.apply(event, this.now);
    this.#said.push(...said);
    return said;
  }

  /** Lets time pass, with every tick in its time; `heard` is told of each at its time. */
  pass(ms: number, heard: (said: readonly Decision[]) => void = () => undefined): Decision[] {
    const end = this.now + ms;
    const said: Decision[] = [];
    let ticks = 0;
    while (this.swarm.nextTick <= end) {
      ticks += 1;
      if (ticks > MAX_TICKS) throw new Error('the swarm ticks for ever');
      this.now = Math.max(this.now, this.swarm.nextTick);
      const now = this.swarm.tick(this.now);
      heard(now);
      said.push(...now);
    }
    this.now = end;
    this.#said.push(...said);
    return said;
  }

  /** Nothing runs for so long, then everything is late. */
  sleep(ms: number, heard: (said: readonly Decision[]) => void): void {
    this.now += ms;
    this.pass(0, heard);
  }

  /** What was said since the last call. */
  take(): Decision[] {
    const said = this.#said;
    this.#said = [];
    return said;
  }

  peers(...names: string[]): void {
    for (const peer of names) this.tell({ kind: 'peer', peer, reachable: true });
  }

  /** Has the origin prove that it gives ranges. */
  proveRanges(upstream = 'origin'): void {
    this.peers('earlier');
    const blob = digest('earlier');
    const said = this.want('earlier', { blob, mib: 2, held: [0], origin: upstream });
    this.tell({ kind: 'progress', peer: 'earlier', digest: blob, lease: leases(said)[0]!.lease });
    this.tell({ kind: 'gone', peer: 'earlier' });
    this.take();
  }

  have(peer: string, mib: number, pieces?: number[], blob = BLOB): Decision[] {
    return this.tell({ kind: 'have', peer, digest: blob, size: mib * MiB, pieces });
  }

  want(
    peer: string,
    options: {
      blob?: Digest;
      mib?: number;
      held?: number[];
      awaited?: PieceRun[];
      origin?: string;
      image?: string;
    } = {},
  ): Decision[] {
    const {
      blob = BLOB,
      mib,
      held = [],
      awaited = [{ first: 0, count: mib ?? Number.POSITIVE_INFINITY }],
      origin,
      image,
    } = options;
    return this.tell({
      kind: 'want',
      peer,
      digest: blob,
      size: mib === undefined ? undefined : mib * MiB,
      held,
      awaited,
      origin,
      image,
    });
  }

  got(
    peer: string,
    piece: number,
    from?: string,
    options: { ms?: number; blob?: Digest; crc32?: number } = {},
  ): Decision[] {
    const { ms = 10, blob = BLOB, crc32 = piece } = options;
    return this.tell({ kind: 'piece', peer, digest: blob, piece, from, ms, crc32 });
  }

  failed(peer: string, piece: number, from: string, reason: PieceFailure, blob = BLOB): Decision[] {
    return this.tell({ kind: 'failed', peer, digest: blob, piece, from, reason });
  }

  progress(peer: string, lease: number, blob = BLOB): Decision[] {
    return this.tell({ kind: 'progress', peer, digest: blob, lease });
  }

  mismatch(peer: string): Decision[] {
    return this.tell({ kind: 'mismatch', peer, digest: BLOB });
  }

  /** It has read a piece again; the bytes are known by a word. */
  again(peer: string, lease: number, piece: number, bytes: string): Decision[] {
    const [crc32, sha256] = [crcOf(bytes), `sha of ${bytes}`];
    return this.tell({ kind: 'second-reading', peer, digest: BLOB, lease, piece, crc32, sha256 });
  }

  lostPiece(peer: string, piece: number): Decision[] {
    return this.tell({ kind: 'lost-piece', peer, digest: BLOB, piece });
  }

  settled(peer: string, piece: number, bytes: string): Decision[] {
    return this.tell({ kind: 'settled', peer, digest: BLOB, piece, crc32: crcOf(bytes) });
  }

  ended(peer: string, lease: number, failure?: LeaseFailure, blob = BLOB): Decision[] {
    return this.tell({ kind: 'ended', peer, digest: blob, lease, failure });
  }
}

export function crcOf(bytes: string): number {
  return zlibCrc32(bytes);
}

export type ReadAgain = Extract<Decision, { kind: 'read-again' }>;

export function readsAgain(said: readonly Decision[], peer?: string): ReadAgain[] {
  return said.filter((one): one is ReadAgain => one.kind === 'read-again' && (peer === undefined || one.peer === peer));
}

export function leases(said: readonly Decision[], peer?: string): Lease[] {
  return said.filter((one): one is Lease => one.kind === 'lease' && (peer === undefined || one.peer === peer));
}

export function fetches(said: readonly Decision[], peer?: string): Fetch[] {
  return said.filter((one): one is Fetch => one.kind === 'fetch' && (peer === undefined || one.peer === peer));
}

export function cuts(said: readonly Decision[], peer?: string): Cut[] {
  return said.filter((one): one is Cut => one.kind === 'cut' && (peer === undefined || one.peer === peer));
}

export function kinds(said: readonly Decision[]): string[] {
  return said.map((one) => one.kind);
}
