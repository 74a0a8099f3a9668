import { MiB } from './units.ts';

/**
 * How a blob is cut into pieces. It depends on the blob's size alone, so that every node cuts alike: 1 MiB up to
 * 256 MiB, 2 MiB up to 512 MiB, 4 MiB above (about 128 to 256 pieces for common layers; smaller pieces cost messages,
 * larger ones leave slots idle at the end).
 */
export function pieceSizeOf(blobSize: number): number {
  if (blobSize <= 256 * MiB) return MiB;
  if (blobSize <= 512 * MiB) return 2 * MiB;
  return 4 * MiB;
}

/** A blob's pieces: number `count`, each `pieceSize` bytes but the last. A blob of no bytes has no pieces. */
export class Pieces {
  readonly blobSize: number;
  readonly pieceSize: number;
  readonly count: number;

  constructor(blobSize: number, pieceSize = pieceSizeOf(blobSize)) {
    this.blobSize = blobSize;
    this.pieceSize = pieceSize;
    this.count = Math.ceil(blobSize / pieceSize);
  }

  /** The first byte of piece `index`. */
  start(index: number): number {
    return index * this.pieceSize;
  }

  /** The byte after the last one of piece `index`. */
  end(index: number): number {
    return Math.min(this.blobSize, (index + 1) * this.pieceSize);
  }

  /** The piece that holds the byte at `offset`. */
  at(offset: number): number {
    return Math.floor(offset / this.pieceSize);
  }
}
