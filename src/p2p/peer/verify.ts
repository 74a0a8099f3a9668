/**
 * What a receiver knows of the pieces of one blob, and whom it has them from. The blob's own digest is the only authority; a
 * piece's CRC-32, told by whoever read it from the origin, only finds at once what was spoilt on the way.
 */

/** What is to be done with a piece that came: keep it (checked, or taken on trust for want of a CRC), or throw it away. */
export type PieceVerdict = 'checked' | 'trusted' | 'bad';

/** A piece that is here. */
export interface HeldPiece {
  readonly piece: number;
  /** Who gave it: a peer's id, or an origin's name. */
  readonly from: string;
  readonly crc32: number;
  /** It has the CRC that was told; otherwise it was taken on trust. */
  readonly checked: boolean;
}

/** A piece of which another reading differs from what is here: it is to be fetched again. */
export interface LostPiece {
  readonly piece: number;
  /** Who gave what was here. */
  readonly from: string;
  /** Who gave it had passed the check by CRC: then whoever told the CRC had read it wrong as well. */
  readonly checked: boolean;
}

/** The bookkeeping of one blob's pieces. */
export class PieceLedger {
  readonly #known = new Map<number, number>();
  readonly #held = new Map<number, HeldPiece>();

  /**
   * A CRC that was told for a piece. The first one stays; true: what is here agrees, or nothing is here to disagree. False: the
   * piece that is here, taken on trust, is another, and is dropped from the books: it is to be fetched again.
   */
  learn(piece: number, crc32: number): boolean {
    if (this.#known.has(piece)) return true;
    this.#known.set(piece, crc32);
    const held = this.#held.get(piece);
    if (!held) return true;
    if (held.crc32 !== crc32) {
      this.#held.delete(piece);
      return false;
    }
    this.#held.set(piece, { ...held, checked: true });
    return true;
  }

  /** A piece has come, with the CRC-32 of its bytes. One that is `bad` is not noted. */
  receive(piece: number, crc32: number, from: string): PieceVerdict {
    const known = this.#known.get(piece);
    if (known !== undefined && known !== crc32) return 'bad';
    const checked = known !== undefined;
    this.#held.set(piece, { piece, from, crc32, checked });
    return checked ? 'checked' : 'trusted';
  }

  /** This proxy has read the piece from the origin itself: that needs no check, and is what it tells others. */
  readFromOrigin(piece: number, crc32: number, origin: string): void {
    this.#held.set(piece, { piece, from: origin, crc32, checked: this.#known.get(piece) === crc32 });
  }

  /** Who gave a piece that is here. */
  sourceOf(piece: number): string | undefined {
    return this.#held.get(piece)?.from;
  }

  /**
   * The pieces that are in doubt when the whole does not have its digest, those first that nothing vouches for: taken on
   * trust, then checked. Within these, in order.
   */
  suspects(): HeldPiece[] {
    return [...this.#held.values()].toSorted((a, b) => Number(a.checked) - Number(b.checked) || a.piece - b.piece);
  }
}

/**
 * The dispute over a blob whose bytes do not have its digest: every piece is read once more by another proxy, which tells its
 * SHA-256, and whoever holds the piece compares. What differs is lost, and to be fetched again; when no piece of the blob is
 * open any more and none was lost, the origin itself gives wrong bytes.
 */
export class Dispute {
  readonly #held = new Map<number, HeldPiece>();
  readonly #lost: LostPiece[] = [];

  constructor(suspects: Iterable<HeldPiece>) {
    for (const held of suspects) this.#held.set(held.piece, held);
  }

  /** Pieces of which no second reading has come, in the order in which they were suspected. */
  get open(): readonly number[] {
    return [...this.#held.keys()];
  }

  get lost(): readonly LostPiece[] {
    return this.#lost;
  }

  /**
   * A second reading of a piece, by its SHA-256 in hex; `ours` is that of what is here. The piece, where it is lost by that. A
   * reading by whoever gave the piece here settles nothing, and one of a piece that is not open any more changes nothing.
   */
  settle(piece: number, second: { readonly sha256: string; readonly by: string }, ours: string): LostPiece | undefined {
    const held = this.#held.get(piece);
    if (!held || held.from === second.by) return undefined;
    this.#held.delete(piece);
    if (second.sha256 === ours) return undefined;
    const lost = { piece, from: held.from, checked: held.checked };
    this.#lost.push(lost);
    return lost;
  }

  /** What the dispute has come to. */
  get outcome(): 'open' | 'fetch-again' | 'origin-is-wrong' {
    if (this.#held.size > 0) return 'open';
    return this.#lost.length > 0 ? 'fetch-again' : 'origin-is-wrong';
  }
}
