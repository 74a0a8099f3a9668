import type { Digest } from '../../base/digest.ts';
import { MAX_PIECES } from '../protocol/limits.ts';
import { PIECE_FAILURES, type FromProxy, type Message } from '../protocol/messages.ts';
import type { PeerId, SwarmEvent } from './events.ts';
import { countOf, crcsOf, piecesOf, runOf } from './plausible.ts';
import { WishBook } from './wish-book.ts';

/** Who hears of it. */
export interface SwarmHost {
  swarm(event: SwarmEvent): void;
  /** The peer that was introduced by that number; undefined: none, or none any more. */
  peerOf(number: number): PeerId | undefined;
}

/** Who says it, by its peer id once that is proved: before that nothing is said. */
export interface Speaker {
  readonly peer: PeerId;
}

/**
 * What one proxy says of blobs in a session, as events for the swarm: wishes and peers come as numbers, lists come packed. All
 * methods throw Impossible for what cannot be true. Of `want` and `announce` nothing has happened then; of a `report` what stands
 * before it may have.
 */
export class SwarmWords {
  readonly #speaker: Speaker;
  readonly #host: SwarmHost;
  readonly #wishes = new WishBook();

  constructor(speaker: Speaker, host: SwarmHost) {
    this.#speaker = speaker;
    this.#host = host;
  }

  /** The number that the proxy gave to its wish for the blob. */
  wishOf(digest: Digest): number | undefined {
    return this.#wishes.numberOf(digest);
  }

  /** The session takes the place of another one of the same instance, whose wishes go on. */
  inherit(before: SwarmWords): void {
    this.#wishes.inherit(before.#wishes);
  }

  /** Wishes are made again right after the welcome: those that were not by now are over. */
  leaveInherited(): void {
    for (const digest of this.#wishes.takeInherited()) this.#left(digest);
  }

  announce({ blobs, parts, gone }: Message<FromProxy, 'announce'>): void {
    const { peer } = this.#speaker;
    const events: SwarmEvent[] = [];
    for (const [digest, size, packed] of blobs ?? []) {
      const count = countOf(size);
      const crcs = packed === '' ? undefined : crcsOf(packed, count);
      events.push({ kind: 'have', peer, digest, size, crcs: crcs?.entries() });
    }
    for (const [digest, size, bits, packed] of parts ?? []) {
      const pieces = piecesOf(bits, countOf(size));
      const crcs = packed === '' ? undefined : crcsOf(packed, pieces.length);
      const pairs = crcs && pieces.map((piece, index): [number, number] => [piece, crcs[index]!]);
      events.push({ kind: 'have', peer, digest, size, pieces, crcs: pairs });
    }
    for (const digest of gone ?? []) events.push({ kind: 'lost', peer, digest });
    for (const event of events) this.#host.swarm(event);
  }

  want({ w, digest, size, held, awaited, origin, image, reading }: Message<FromProxy, 'want'>): void {
    const pieces = piecesOf(held, size === undefined ? MAX_PIECES : countOf(size));
    this.#wishes.make(w, digest);
    const { peer } = this.#speaker;
    this.#host.swarm({ kind: 'want', peer, digest, size, held: pieces, awaited: [], origin, image });
    for (const [lease, first, count] of reading ?? []) {
      this.#host.swarm({ kind: 'reading', peer, digest, lease, run: runOf([first, count]) });
    }
    // Only now that it is known what it reads already is it asked for more.
    if (awaited.length > 0) this.#host.swarm({ kind: 'awaiting', peer, digest, awaited: awaited.map(runOf) });
  }

  awaiting({ w, awaited }: Message<FromProxy, 'awaiting'>): void {
    const digest = this.#wishes.digestOf(w);
    if (digest) this.#host.swarm({ kind: 'awaiting', peer: this.#speaker.peer, digest, awaited: awaited.map(runOf) });
  }

  leave({ w }: Message<FromProxy, 'leave'>): void {
    const digest = this.#wishes.leave(w);
    if (digest) this.#left(digest);
  }

  report({ s, n, g, x, p, f, q, e, d, y }: Message<FromProxy, 'r'>): void {
    const { peer } = this.#speaker;
    this.#checkWishes(s, n, g, x, p, f, q, e, d, y);
    for (const [w, size] of s ?? []) {
      const digest = this.#wishes.digestOf(w);
      if (digest && countOf(size) >= 0) this.#host.swarm({ kind: 'size', peer, digest, size });
    }
    for (const w of n ?? []) {
      const digest = this.#wishes.digestOf(w);
      if (digest) this.#host.swarm({ kind: 'no-ranges', peer, digest });
    }
    for (const [w, lease] of g ?? []) {
      const digest = this.#wishes.digestOf(w);
      if (digest) this.#host.swarm({ kind: 'progress', peer, digest, lease });
    }
    for (const [w, piece] of x ?? []) {
      const digest = this.#wishes.digestOf(w);
      if (digest) this.#host.swarm({ kind: 'lost-piece', peer, digest, piece });
    }
    for (const [w, piece, number, ms, crc32] of p ?? []) {
      const digest = this.#wishes.digestOf(w);
      if (!digest) continue;
      const from = number === 0 ? undefined : (this.#host.peerOf(number) ?? '');
      this.#host.swarm({ kind: 'piece', peer, digest, piece, from, ms, crc32 });
    }
    for (const [w, piece, number, reason] of f ?? []) {
      const digest = this.#wishes.digestOf(w);
      const from = this.#host.peerOf(number);
      if (digest && from)
        this.#host.swarm({ kind: 'failed', peer, digest, piece, from, reason: PIECE_FAILURES[reason]! });
    }
    for (const [w, lease, piece, crc32, sha256] of q ?? []) {
      const digest = this.#wishes.digestOf(w);
      if (digest) this.#host.swarm({ kind: 'second-reading', peer, digest, lease, piece, crc32, sha256 });
    }
    for (const [w, lease, code, final, retryAfterMs] of e ?? []) {
      const digest = this.#wishes.digestOf(w);
      if (!digest) continue;
      const failure = code === '' ? undefined : { code, final: final === 1, retryAfterMs };
      this.#host.swarm({ kind: 'ended', peer, digest, lease, failure });
    }
    for (const w of d ?? []) {
      const digest = this.#wishes.digestOf(w);
      if (digest) this.#host.swarm({ kind: 'mismatch', peer, digest });
    }
    for (const [w, piece, crc32] of y ?? []) {
      const digest = this.#wishes.digestOf(w);
      if (digest) this.#host.swarm({ kind: 'settled', peer, digest, piece, crc32 });
    }
  }

  #left(digest: Digest): void {
    this.#host.swarm({ kind: 'leave', peer: this.#speaker.peer, digest });
  }

  /** Before any of it is believed. */
  #checkWishes(...lists: readonly (readonly (number | readonly [number, ...unknown[]])[] | undefined)[]): void {
    for (const entries of lists) {
      for (const entry of entries ?? []) this.#wishes.check(typeof entry === 'number' ? entry : entry[0]);
    }
  }
}
