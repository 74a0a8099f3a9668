import type { Digest } from '../../../../src/base/digest.ts';
import { Pieces } from '../../../../src/base/pieces.ts';
import { MiB } from '../../../../src/base/units.ts';
import { digest } from '../driver.ts';

/** A blob in the model. */
export interface ModelBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly count: number;
  readonly image: string;
}

export const BLOBS: readonly ModelBlob[] = [1, 3, 40, 9].map((mib, i) => ({
  digest: digest(`model ${i}`),
  size: mib * MiB,
  count: new Pieces(mib * MiB).count,
  image: i < 3 ? 'image' : 'other image',
}));
export const PEERS: readonly string[] = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

/** A piece that a proxy has been told to fetch. */
export interface Fetch {
  readonly piece: number;
  readonly from: string;
  /** Which life of the sender it is from. */
  readonly life: number;
  readonly begunAt: number;
}

/** A run that a proxy has been told to read. */
export interface Read {
  readonly id: number;
  next: number;
  last: number;
  /** Pieces behind `next` that have been reported. */
  readonly early: Set<number>;
  heardAt: number;
  /** It was silent for too long once: what it has not read is anybody's. */
  stalled: boolean;
}

/** What one proxy has to do with one blob. */
export class Part {
  readonly peer: string;
  readonly blob: ModelBlob;
  /** As it has said. */
  readonly held = new Set<number>();
  /** What it said and has not. */
  readonly lied = new Set<number>();
  readonly fetching = new Map<number, Fetch>();
  readonly reads = new Map<number, Read>();
  wants = false;
  origin = false;
  toldNone = false;
  /** Failed reads since a byte came. */
  tries = 0;

  constructor(peer: string, blob: ModelBlob) {
    this.peer = peer;
    this.blob = blob;
  }

  get isWhole(): boolean {
    return this.held.size === this.blob.count;
  }

  /** Nothing is under way to it any more. */
  drop(): void {
    this.wants = false;
    this.fetching.clear();
    this.reads.clear();
  }
}

/** The proxies that there are, and what each of them does: the truth, besides what the swarm believes. */
export class World {
  readonly alive = new Set<string>();
  readonly unreachable = new Set<string>();
  /** They do nothing and say nothing, until they go on. */
  readonly paused = new Set<string>();
  readonly uploadSlots = new Map<string, number>();
  readonly #lives = new Map<string, number>();
  /** Whoever cannot give what was asked of it, or was given up. */
  readonly failedOnce = new Set<string>();
  /** Blobs whose origin gives no ranges, as the swarm has been told. */
  readonly noRanges = new Set<Digest>();
  readonly #parts = new Map<string, Part>();

  /** Goes up each time that it comes anew. */
  lifeOf(peer: string): number {
    return this.#lives.get(peer) ?? 0;
  }

  part(peer: string, of: Digest): Part {
    const key = `${peer} ${of}`;
    let part = this.#parts.get(key);
    if (!part) {
      part = new Part(
        peer,
        BLOBS.find((blob) => blob.digest === of)!,
      );
      this.#parts.set(key, part);
    }
    return part;
  }

  *parts(of?: { peer?: string; digest?: Digest }): Generator<Part> {
    for (const part of this.#parts.values()) {
      if (of?.peer !== undefined && part.peer !== of.peer) continue;
      if (of?.digest !== undefined && part.blob.digest !== of.digest) continue;
      yield part;
    }
  }

  /** All that it had is gone with it. */
  forget(peer: string): void {
    this.alive.delete(peer);
    this.#lives.set(peer, this.lifeOf(peer) + 1);
    this.paused.delete(peer);
    for (const part of this.parts({ peer })) this.#parts.delete(`${peer} ${part.blob.digest}`);
    // Who fetches from it has its connection reset, and reports that later.
    for (const part of this.parts())
      for (const { from } of part.fetching.values()) if (from === peer) this.failedOnce.add(peer);
  }

  /** What is known of a blob's origin goes with the last who wants it. */
  forgetRanges(): void {
    for (const of of this.noRanges)
      if (![...this.parts({ digest: of })].some((part) => part.wants)) this.noRanges.delete(of);
  }

  /** All work that is under way at those who do any. */
  work(): ({ part: Part } & ({ fetch: Fetch; read?: undefined } | { read: Read; fetch?: undefined }))[] {
    return [...this.parts()].flatMap((part) => {
      if (this.paused.has(part.peer)) return [];
      return [
        ...[...part.fetching.values()].map((fetch) => ({ part, fetch })),
        ...[...part.reads.values()].map((read) => ({ part, read })),
      ];
    });
  }
}
