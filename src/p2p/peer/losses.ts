import type { Digest } from '../../base/digest.ts';
import { BlobPieceWrong } from './errors.ts';
import type { IncomingBytes } from './incoming-bytes.ts';
import type { Reader } from './reader.ts';

/**
 * The pieces that were lost while a blob came in. Whether what was here of them before was wrong is known only when the whole
 * has its digest: then who has had wrong bytes is cut off, and who has not goes on.
 */
export class Losses {
  readonly #bytes: IncomingBytes;
  /** SHA-256 of what was here of each piece first. */
  readonly #first = new Map<number, string>();

  constructor(bytes: IncomingBytes) {
    this.#bytes = bytes;
  }

  get any(): boolean {
    return this.#first.size > 0;
  }

  /** The piece, of which `sha256` is here, is lost. */
  lose(piece: number, sha256: string, readers: Iterable<Reader>): void {
    const { pieces } = this.#bytes;
    if (!pieces || !this.#bytes.lose(piece)) return;
    if (!this.#first.has(piece)) this.#first.set(piece, sha256);
    for (const reader of readers) {
      // Bytes of two versions are never right.
      const had = reader.hasHad(pieces.start(piece), pieces.end(piece));
      if (had) reader.had.set(piece, reader.had.has(piece) ? '' : sha256);
    }
  }

  /** The whole has its digest: readers that have had wrong bytes fail. What there is to tell of each piece that was lost. */
  async judge(
    digest: Digest,
    readers: Iterable<Reader>,
  ): Promise<readonly { piece: number; crc32: number; wasWrong: boolean }[]> {
    const right = new Map<number, string>();
    for (const piece of this.#first.keys()) {
      // What cannot be read back is as good as wrong.
      right.set(piece, await this.#bytes.sha256Of(piece).catch(() => ''));
    }
    for (const reader of readers) {
      const pieces = [...reader.had].filter(([piece, sha256]) => right.get(piece) !== sha256).map(([piece]) => piece);
      if (pieces.length > 0) reader.failure ??= new BlobPieceWrong({ digest, pieces });
    }
    return [...this.#first].map(([piece, sha256]) => ({
      piece,
      crc32: this.#bytes.wholePieces.get(piece)!,
      wasWrong: right.get(piece) !== sha256,
    }));
  }
}
