import { Pieces } from '../../base/pieces.ts';
import type { PieceRun } from '../protocol/coordinator.ts';
import { MAX_PIECES } from '../protocol/limits.ts';
import { unpackCrcs, unpackPieces } from '../protocol/packed.ts';

/** What a proxy says has the right form, and cannot be true; `message` says why. */
export class Impossible extends Error {
  override readonly name = 'Impossible';
}

/** Pieces of a blob of `size` bytes. Throws Impossible: it has too many. */
export function countOf(size: number): number {
  const { count } = new Pieces(size);
  if (count > MAX_PIECES) throw new Impossible(`a blob of ${size} bytes has too many pieces`);
  return count;
}

/** The pieces that a packed list names, of a blob of `count`. Throws Impossible: it names others. */
export function piecesOf(bits: string, count: number): number[] {
  const pieces = unpackPieces(bits, count);
  if (!pieces) throw new Impossible(`it names pieces that a blob of ${count} pieces does not have`);
  return pieces;
}

/** A packed list of `count` check sums. Throws Impossible: it has more or less. */
export function crcsOf(packed: string, count: number): Uint32Array {
  const crcs = unpackCrcs(packed, count);
  if (!crcs) throw new Impossible(`it names other than ${count} check sums`);
  return crcs;
}

/** A run as messages have it: a count of 0 is one to the end of a blob whose size is not known. */
export function runOf([first, count]: readonly [number, number]): PieceRun {
  return { first, count: count === 0 ? Number.POSITIVE_INFINITY : count };
}
