import type { Digest } from '../../base/digest.ts';
import { Pieces } from '../../base/pieces.ts';
import { MAX_ANNOUNCED, MAX_BATCH, MAX_MESSAGE_BYTES, MAX_PIECES } from '../protocol/limits.ts';
import type { FromProxy, Message } from '../protocol/messages.ts';
import { packCrcs, packPieces } from '../protocol/packed.ts';

export type Announce = Message<FromProxy, 'announce'>;

/** A part of a blob that this proxy can give away. */
export interface PartialBlob {
  readonly digest: Digest;
  readonly size: number;
  /** Its whole, checked pieces with their CRC-32. */
  readonly pieces: ReadonlyMap<number, number>;
}

export interface InventoryOptions {
  /** Whose blobs are announced: the store, then other shelves. */
  readonly shelves: readonly { list(): Iterable<{ readonly digest: Digest; readonly size: number }> }[];
  /** Blobs of which a part is here and nobody fetches the rest. */
  readonly parts?: () => Iterable<PartialBlob>;
  /** What must stay on this node is not announced. */
  readonly isShared?: (digest: Digest) => boolean;
  /** The pieces' CRC-32s of a blob, where they were kept. */
  readonly crcsOf?: (digest: Digest) => ArrayLike<number> | undefined;
}

/** Entries are cut into messages of about this size. */
const MESSAGE_BYTES = MAX_MESSAGE_BYTES / 2;

/** What this proxy tells a supernode that it has: all of it to a new one, afterwards what has changed. */
export class Inventory {
  readonly #options: InventoryOptions;
  #told = new Set<Digest>();
  /** What the supernode knows from reports, and may not be here for good. */
  readonly #doubtful = new Set<Digest>();

  constructor(options: InventoryOptions) {
    this.#options = options;
  }

  /** Everything, for a supernode that knows nothing (or what was true earlier). */
  full(epoch: string): Announce[] {
    const before = this.#told;
    this.#told = new Set();
    const frames = new Frames(epoch);
    const here = this.#list();
    this.#tellNew(here, frames);
    for (const digest of before) if (!here.has(digest)) frames.gone(digest);
    const { parts, isShared } = this.#options;
    for (const part of parts?.() ?? []) if (isShared?.(part.digest) ?? true) frames.part(part);
    return frames.take();
  }

  /** What has come and gone since it was last asked. */
  changes(epoch: string): Announce[] {
    const frames = new Frames(epoch);
    const here = this.#list();
    for (const digest of this.#doubtful) if (!here.has(digest) && !this.#told.has(digest)) frames.gone(digest);
    this.#doubtful.clear();
    for (const digest of this.#told) {
      if (here.has(digest)) continue;
      this.#told.delete(digest);
      frames.gone(digest);
    }
    this.#tellNew(here, frames);
    return frames.take();
  }

  /** The download of the blob is over: at the next look it is known whether it stays. */
  ended(digest: Digest): void {
    this.#doubtful.add(digest);
  }

  #list(): Map<Digest, number> {
    const here = new Map<Digest, number>();
    const { shelves, isShared } = this.#options;
    for (const shelf of shelves) {
      for (const { digest, size } of shelf.list()) {
        if (here.size >= MAX_ANNOUNCED) return here;
        if (isShared?.(digest) ?? true) here.set(digest, size);
      }
    }
    return here;
  }

  #tellNew(here: ReadonlyMap<Digest, number>, frames: Frames): void {
    for (const [digest, size] of here) {
      if (this.#told.has(digest) || new Pieces(size).count > MAX_PIECES) continue;
      this.#told.add(digest);
      frames.blob(digest, size, this.#options.crcsOf?.(digest));
    }
  }
}

/** Announcements, cut into messages. */
class Frames {
  readonly #epoch: string;
  readonly #done: Announce[] = [];
  #frame: Announce;
  #entries = 0;
  #bytes = 0;

  constructor(epoch: string) {
    this.#epoch = epoch;
    this.#frame = { t: 'announce', epoch };
  }

  blob(digest: Digest, size: number, crcs: ArrayLike<number> | undefined): void {
    const packed = crcs?.length === new Pieces(size).count ? packCrcs(crcs) : '';
    this.#room(digest.length + packed.length);
    (this.#frame.blobs ??= []).push([digest, size, packed]);
  }

  part({ digest, size, pieces }: PartialBlob): void {
    const { count } = new Pieces(size);
    const indices = [...pieces.keys()].filter((piece) => piece < count).sort((a, b) => a - b);
    if (count > MAX_PIECES || indices.length === 0) return;
    const bits = packPieces(indices, count);
    const crcs = packCrcs(indices.map((piece) => pieces.get(piece)!));
    this.#room(digest.length + bits.length + crcs.length);
    (this.#frame.parts ??= []).push([digest, size, bits, crcs]);
  }

  gone(digest: Digest): void {
    this.#room(digest.length);
    (this.#frame.gone ??= []).push(digest);
  }

  take(): Announce[] {
    if (this.#entries > 0) this.#done.push(this.#frame);
    return this.#done;
  }

  #room(length: number): void {
    // Quotes, commas, a number.
    const bytes = length + 32;
    if (this.#entries >= MAX_BATCH || this.#bytes + bytes > MESSAGE_BYTES) {
      this.#done.push(this.#frame);
      this.#frame = { t: 'announce', epoch: this.#epoch };
      this.#entries = 0;
      this.#bytes = 0;
    }
    this.#entries += 1;
    this.#bytes += bytes;
  }
}
