import { crc32 } from 'node:zlib';
import type { Pieces } from '../../base/pieces.ts';

/** A piece that has become whole, with the CRC-32 of its bytes. */
export interface WholePiece {
  readonly piece: number;
  readonly crc32: number;
}

/** Computes pieces' CRC-32 in the pass in which their bytes come. The bytes of one piece must come in order. */
export class PieceCrcs {
  readonly #pieces: Pieces;
  readonly #open = new Map<number, { crc: number; upTo: number }>();

  constructor(pieces: Pieces) {
    this.#pieces = pieces;
  }

  /** Takes bytes at `position`; the pieces that they complete. A piece of which a part is missing is left out. */
  feed(bytes: Uint8Array, position: number): WholePiece[] {
    const whole: WholePiece[] = [];
    const end = position + bytes.length;
    for (let at = position; at < end;) {
      const piece = this.#pieces.at(at);
      const until = Math.min(end, this.#pieces.end(piece));
      const crc = this.#add(piece, bytes.subarray(at - position, until - position), at);
      if (crc !== undefined && until === this.#pieces.end(piece)) {
        this.#open.delete(piece);
        whole.push({ piece, crc32: crc });
      }
      at = until;
    }
    return whole;
  }

  #add(piece: number, bytes: Uint8Array, at: number): number | undefined {
    const known = at === this.#pieces.start(piece) ? { crc: 0, upTo: at } : this.#open.get(piece);
    if (known?.upTo !== at) {
      this.#open.delete(piece);
      return undefined;
    }
    const crc = crc32(bytes, known.crc);
    this.#open.set(piece, { crc, upTo: at + bytes.length });
    return crc;
  }
}
