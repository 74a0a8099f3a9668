import type { Digest } from '../../src/base/digest.ts';
import { Pieces } from '../../src/base/pieces.ts';

/** One blob on one virtual node: which pieces are there, and how a client that reads it in order fares. */
export class VirtualBlob {
  readonly digest: Digest;
  readonly pieces: Pieces;
  readonly startedAt: number;
  readonly #held: Uint8Array;
  #count = 0;
  /** Pieces before it are all there. */
  #prefix = 0;
  #advancedAt: number;
  firstPieceAt: number | undefined;
  longestStall = 0;
  doneAt: number | undefined;

  constructor(digest: Digest, size: number, now: number) {
    this.digest = digest;
    this.pieces = new Pieces(size);
    this.startedAt = now;
    this.#advancedAt = now;
    this.#held = new Uint8Array(this.pieces.count);
  }

  get prefix(): number {
    return this.#prefix;
  }

  has(piece: number): boolean {
    return this.#held[piece] === 1;
  }

  fill(): void {
    this.#held.fill(1);
    this.#count = this.pieces.count;
    this.#prefix = this.pieces.count;
  }

  add(piece: number, now: number): void {
    if (this.#held[piece] === 1) return;
    this.#held[piece] = 1;
    this.#count += 1;
    const before = this.#prefix;
    while (this.#held[this.#prefix] === 1) this.#prefix += 1;
    if (this.#prefix > before) {
      if (before === 0) this.firstPieceAt = now;
      else this.longestStall = Math.max(this.longestStall, now - this.#advancedAt);
      this.#advancedAt = now;
    }
    if (this.#count === this.pieces.count) this.doneAt = now;
  }
}
