import type { Digest } from '../../base/digest.ts';
import { atBoth, atEither, isAt, NOWHERE, placeOf, type Places, type Shown } from '../../base/shown.ts';
import type { ShownBlobs } from '../../store/shown-blobs.ts';
import type { IncomingBytes } from './incoming-bytes.ts';
import type { PieceSource } from './piece-source.ts';
import type { Reader } from './reader.ts';
import { sampleOf, type Witness } from './witness.ts';

type BytesComing = Pick<
  IncomingBytes,
  'size' | 'pieces' | 'keptPieces' | 'losses' | 'read' | 'covers' | 'endFrom' | 'startOfPiece' | 'pieceEndAt'
>;

/** Where an origin's own bytes are shown to be: who reads without a credential shows it for everybody. */
export function shownBy(origin: Pick<PieceSource, 'name' | 'isOpen'>): Places {
  return origin.isOpen === true ? 'all' : new Set([placeOf(origin.name)]);
}

/**
 * Who may be given bytes of a blob that is coming in. Who reads where all that is here has been shown to be (`Shown`) reads on; another's
 * registry is asked for a proof by bytes: piece by piece, as what peers have of a blob that is not whole yet may be anybody's; once
 * for all where it is compared with bytes of a whole one.
 */
export class Leave {
  readonly #digest: Digest;
  readonly #bytes: BytesComing;
  readonly #book: ShownBlobs | undefined;
  /** Of what an earlier try may have left. */
  readonly #before: Shown | undefined;
  /** Of what has come since. */
  #at: Places = 'all';
  /** Who has proved to have the blob, in this download. */
  #proved: Places = NOWHERE;
  #sample: Witness | undefined;
  #isNoted = false;
  #noted: Promise<void> | undefined;
  #isWhole = false;

  /** `book` undefined: nobody has to show anything. */
  constructor(digest: Digest, bytes: BytesComing, book: ShownBlobs | undefined) {
    this.#digest = digest;
    this.#bytes = bytes;
    this.#book = book;
    this.#before = book?.get(digest);
    // What was known of the whole blob once holds for what has the same digest.
    if (this.#before?.isWhole) this.#proved = this.#before.at;
  }

  /** Of what is here. */
  get shown(): Shown {
    const kept = this.#bytes.keptPieces.size > 0 ? (this.#before?.at ?? NOWHERE) : 'all';
    return { at: atEither(atBoth(this.#at, kept), this.#proved), isWhole: this.#isWhole };
  }

  /** Bytes are about to come that have been shown to be at `at`; they are to be kept when it resolves. */
  async takes(at: Places): Promise<void> {
    const now = atBoth(this.#at, at);
    if (now === this.#at && this.#isNoted) return this.#noted;
    const isFirst = !this.#isNoted && !this.#before;
    this.#at = now;
    this.#isNoted = true;
    const noted = this.#book?.note(this.#digest, { at: atBoth(now, this.#before?.at ?? 'all'), isWhole: false });
    // As long as nothing is noted they are unknown; but no more must stand there than is true.
    this.#noted = isFirst ? undefined : noted;
    await this.#noted;
  }

  /** The same of a peer's piece, which begins at `start`. */
  async takesPiece(shown: Shown | undefined, parts: readonly Uint8Array[], start: number): Promise<void> {
    const { size } = this.#bytes;
    if (this.#book && shown?.isWhole && shown.at !== 'all' && size) this.#sample ??= sampleOf(parts, start, size);
    await this.takes(shown?.at ?? NOWHERE);
  }

  /** All bytes are here, and are right. */
  verified(): void {
    this.#isWhole = true;
    void this.#book?.note(this.#digest, this.shown);
  }

  /** Nothing of it stays. */
  dropped(): void {
    if (!this.#isWhole) void this.#book?.forget(this.#digest);
  }

  /** How far the bytes from `position` to `end` may be given to a reader; `position`: its registry has to be asked. */
  upTo({ prove, place, proven }: Reader, position: number, end: number): number {
    if (!this.#book || !prove || isAt(place, this.shown.at)) return end;
    const isProven = proven?.losses === this.#bytes.losses && proven.start <= position && position < proven.end;
    return isProven ? Math.min(end, proven.end) : position;
  }

  /** Has the reader's registry prove that it has what is here at `position`. Rejects as `DownloadRequest.prove`. */
  async ask(reader: Reader, position: number): Promise<void> {
    const bytes = this.#bytes;
    const { losses, size = 0 } = bytes;
    const read = (buffer: Uint8Array, at: number) => bytes.read(buffer, at);
    const whole = this.#isWhole ? { size, start: 0, end: size, isVerified: true, read } : this.#sample;
    if (whole) {
      await reader.prove!(whole);
      this.#proved = atEither(this.#proved, shownBy(reader.origin));
      if (this.#isWhole) void this.#book?.note(this.#digest, this.shown);
      return;
    }
    const first = bytes.startOfPiece(bytes.pieces!.at(position));
    const start = bytes.covers(first, position) ? first : position;
    const end = Math.min(bytes.endFrom(position), bytes.pieceEndAt(position));
    await reader.prove!({ size, start, end, isVerified: false, read });
    reader.proven = { start, end, losses };
  }
}
