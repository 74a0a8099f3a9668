import { crc32 } from '../../base/crc32.ts';
import type { Pieces } from '../../base/pieces.ts';

/** A piece that has become whole, with the CRC-32 of its bytes. */
export interface WholePiece {
  readonly piece: number;
  readonly crc32: number;
}

/** The part of one piece among bytes that have come. */
export interface Stretch {
  readonly piece: number;
  /** Where in those bytes it begins, and ends (exclusive). */
  readonly from: number;
  readonly to: number;
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

/** Finds, in what comes, the parts of pieces whose bytes come in order: see `PieceCrcs`. */
export class PieceStretches {
  readonly #pieces: Pieces;
  readonly #upTo = new Map<number, number>();

  constructor(pieces: Pieces) {
    this.#pieces = pieces;
  }

  /** Of `length` bytes at `position`; a piece of which a part is missing is left out. */
  take(length: number, position: number): Stretch[] {
    const stretches: Stretch[] = [];
    const end = position + length;
    for (let at = position; at < end;) {
      const piece = this.#pieces.at(at);
      const until = Math.min(end, this.#pieces.end(piece));
      const isFirst = at === this.#pieces.start(piece);
      const isLast = until === this.#pieces.end(piece);
      if (!isFirst && this.#upTo.get(piece) !== at) this.#upTo.delete(piece);
      else {
        if (isLast) this.#upTo.delete(piece);
        else this.#upTo.set(piece, until);
        stretches.push({ piece, from: at - position, to: until - position, isFirst, isLast });
      }
      at = until;
    }
    return stretches;
  }
}

/** Computes pieces' CRC-32 from their stretches, which must come in order. */
export class PieceCrcs {
  readonly #open = new Map<number, number>();

  /** The pieces that end in these bytes; without those of which it has not seen the beginning. */
  add(bytes: Uint8Array, stretches: readonly Stretch[]): WholePiece[] {
    const whole: WholePiece[] = [];
    for (const { piece, from, to, isFirst, isLast } of stretches) {
      const before = isFirst ? 0 : this.#open.get(piece);
      if (before === undefined) continue;
      const crc = crc32(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to), before);
      if (isLast) {
        this.#open.delete(piece);
        whole.push({ piece, crc32: crc });
      } else this.#open.set(piece, crc);
    }
    return whole;
  }
}
