import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import { digestFrom, type Digest, type DigestAlgorithm } from '../../base/digest.ts';
import { PieceCrcs, type Stretch, type WholePiece } from './piece-crcs.ts';

/** All that is computed over the bytes of one blob as they come. */
export interface BlobSums {
  /**
   * Takes bytes in: into the hash where they are the next ones (`isNext`), and into the CRCs of the pieces that they belong to;
   * the pieces that end with them. Until then the bytes must stay as they are.
   */
  add(bytes: Uint8Array, isNext: boolean, stretches: readonly Stretch[]): WholePiece[] | Promise<WholePiece[]>;
  /** The digest of all that was taken into the hash; the last thing that is asked of it, once every `add` is over. */
  finish(): Digest;
  /** It is not used any more. */
  close(): void;
}

/** In this thread. */
export class LocalSums implements BlobSums {
  readonly #algorithm: DigestAlgorithm;
  readonly #hash: Hash;
  readonly #crcs = new PieceCrcs();

  constructor(algorithm: DigestAlgorithm) {
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  add(bytes: Uint8Array, isNext: boolean, stretches: readonly Stretch[]): WholePiece[] {
    if (isNext) this.#hash.update(bytes);
    return this.#crcs.add(bytes, stretches);
  }

  /** The digest of what was taken so far; it can go on. */
  soFar(): Digest {
    return digestFrom(this.#algorithm, this.#hash.copy());
  }

  finish(): Digest {
    return digestFrom(this.#algorithm, this.#hash);
  }

  close(): void {}
}
