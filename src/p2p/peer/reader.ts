import type { Digest } from '../../base/digest.ts';
import { placeOf } from '../../base/shown.ts';
import type { ByteSource } from '../../base/metrics.ts';
import type { BodySource, LentBytes } from '../../http/body-source.ts';
import type { PieceSource } from './piece-source.ts';
import type { Readers } from './readers.ts';
import type { ThroughBody } from './through-body.ts';
import { SMALL_BLOB_BYTES } from './release.ts';
import type { Witness } from './witness.ts';

/** A range of bytes as a client asks for it; `end` exclusive. */
export interface AskedRange {
  readonly start: number;
  readonly end?: number | undefined;
}

/** What a client asks, as far as it is about where it may read. */
export interface ReaderRequest {
  /** Where this client may read it. */
  readonly origin: PieceSource;
  /**
   * Set where that origin has not yet said that the client may read it: asks it. Called only where bytes would go out that
   * the origin does not give in this very download. Rejects with the origin's no.
   */
  readonly confirm?: (() => Promise<void>) | undefined;
  /**
   * Has that origin prove that it knows the bytes of `witness`. Called where bytes would go out that have not been shown to be there
   * (`Shown`). Rejects with BLOB_NOT_PROVED, or the origin's no. Undefined: whoever names the blob may read it.
   */
  readonly prove?: ((witness: Witness) => Promise<void>) | undefined;
}

/** One client's response that reads a blob while it comes in. */
export class Reader implements BodySource {
  readonly #readers: Readers;
  readonly #asked: AskedRange | undefined;
  #size: number | undefined;
  #closed = false;
  /** The byte that it reads next. */
  position: number;
  /** The byte that it waits for, while it waits. */
  waitsAt: number | undefined;
  /** Set when the store cannot take the blob: from then on it reads from here. */
  through: ThroughBody | undefined;

  /** Where its client may read the blob. */
  readonly origin: PieceSource;
  /** Asks that origin for leave; set while it has not given it. */
  confirm: ReaderRequest['confirm'];
  readonly prove: ReaderRequest['prove'];
  /** That origin, as one that shows what it has. */
  readonly place: string;
  /** What it has proved to have, of the bytes that were here after so many `losses`. */
  proven: { readonly start: number; readonly end: number; readonly losses: number } | undefined;
  /** Set when that origin has refused it, or what it has been given was wrong. */
  failure: Error | undefined;
  /** SHA-256 of each piece of which it has had bytes before the piece was lost. */
  readonly had = new Map<number, string>();
  readonly #from: number;
  /** What it has been given ends before this byte. */
  #givenTo: number;

  constructor(
    readers: Readers,
    { origin, confirm, prove }: ReaderRequest,
    { range, position }: { range: AskedRange | undefined; position: number },
  ) {
    this.#readers = readers;
    this.origin = origin;
    this.confirm = confirm;
    this.prove = prove;
    this.place = placeOf(origin.name);
    this.#asked = range;
    this.position = position;
    this.#from = position;
    this.#givenTo = position;
  }

  /** Whether it has been given any byte from `start` to `end` (exclusive). */
  hasHad(start: number, end: number): boolean {
    return this.#from < end && this.#givenTo > start;
  }

  /** The blob's size is known: it may turn a range into the whole. */
  setSize(size: number): void {
    this.#size = size;
  }

  get digest(): Digest {
    return this.#readers.digest;
  }

  get mediaType(): string | undefined {
    return this.#readers.mediaType;
  }

  get size(): number {
    return this.#size ?? Number.NaN;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get start(): number {
    return this.#asked?.start ?? 0;
  }

  /** The byte after the last one that it wants. */
  get end(): number {
    return Math.min(this.#asked?.end ?? Number.POSITIVE_INFINITY, this.#size ?? Number.POSITIVE_INFINITY);
  }

  /** Whether the whole blob is to come in for it, as fast as it comes; small blobs always do. */
  get wantsWhole(): boolean {
    return this.#asked === undefined || (this.#size ?? 0) <= SMALL_BLOB_BYTES;
  }

  /** Whether its response could pass for the whole blob, and so may not end before the digest is known. */
  get holdsBack(): boolean {
    return this.#size === undefined || this.#size <= SMALL_BLOB_BYTES || (this.start === 0 && this.end === this.#size);
  }

  /** The store does not take the blob: it is read from the origin for this reader alone, and has to be read to go on. */
  get isThrough(): boolean {
    return this.through !== undefined;
  }

  ready(position: number): Promise<number> {
    return this.#readers.readyFor(this, position);
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    if (this.through) return this.through.read(buffer, position);
    const count = await this.#readers.readFor(this, buffer, position);
    this.#givenTo = position + count;
    return count;
  }

  lend(position: number, length: number): LentBytes | undefined {
    const lent = this.through ? undefined : this.#readers.lendFor(this, position, length);
    if (lent) this.#givenTo = position + lent.bytes.length;
    return lent;
  }

  sourceAt(position: number): ByteSource {
    return this.through ? 'origin' : this.#readers.sourceAt(position);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.through?.close();
    this.#readers.leave(this);
  }
}
