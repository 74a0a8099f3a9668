import type { PieceRun, Want } from '../protocol/coordinator.ts';
import { MAX_PIECES } from '../protocol/limits.ts';

/** What is known of the blob of one ticket, which pieces of it are here, and which are awaited. */
export class TicketPieces {
  readonly #held: Set<number>;
  readonly #crcs: Map<number, number>;
  #count: number | undefined;
  #size: number | undefined;
  #awaited: readonly PieceRun[] = [];

  constructor({ held, crcs, pieceCount, size }: Pick<Want, 'held' | 'crcs' | 'pieceCount' | 'size'>) {
    this.#held = new Set(held);
    this.#crcs = new Map(crcs);
    this.#count = pieceCount;
    this.#size = size;
  }

  /** Of the whole blob; undefined while its size is not known. */
  get count(): number | undefined {
    return this.#count;
  }

  /** In bytes, where known. */
  get size(): number | undefined {
    return this.#size;
  }

  get held(): ReadonlySet<number> {
    return this.#held;
  }

  get awaited(): readonly PieceRun[] {
    return this.#awaited;
  }

  /** Among several proxies pieces are told apart by the blob's size alone. */
  get canBeCoordinated(): boolean {
    return this.#count === undefined || (this.#size !== undefined && this.#count <= MAX_PIECES);
  }

  /** The size has become known. */
  sized(count: number, size: number | undefined): void {
    this.#count = count;
    this.#size ??= size;
  }

  /** Replaces what was awaited before. */
  awaiting(runs: readonly PieceRun[]): void {
    this.#awaited = runs;
  }

  has(piece: number): boolean {
    return this.#held.has(piece);
  }

  add(piece: number, crc32: number): void {
    this.#held.add(piece);
    this.#crcs.set(piece, crc32);
  }

  /** It was here, and is thrown away. */
  remove(piece: number): void {
    this.#held.delete(piece);
    this.#crcs.delete(piece);
  }

  /** The pieces that are here and of which the CRC-32 is known, in their order. */
  checked(): (readonly [piece: number, crc32: number])[] {
    return [...this.#crcs].filter(([piece]) => this.#held.has(piece)).sort(([a], [b]) => a - b);
  }

  /** Awaited pieces that are not here, the most urgent first. Without end while the blob's size is not known. */
  *missing(): Generator<number> {
    for (const { first, count } of this.#awaited) {
      const end = Math.min(first + count, this.#count ?? Number.POSITIVE_INFINITY);
      for (let piece = first; piece < end; piece += 1) if (!this.#held.has(piece)) yield piece;
    }
  }

  get areMissing(): boolean {
    return this.missing().next().done !== true;
  }
}
