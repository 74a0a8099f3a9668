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
  /** The pieces' CRC-32s of a blob, where they were kept. Never rejects. */
  readonly crcsOf?: (digest: Digest) => Promise<ArrayLike<number> | undefined>;
}

/** Entries are cut into messages of about this size. */
const MESSAGE_BYTES = MAX_MESSAGE_BYTES / 2;
/** Blobs whose check sums are asked for at the same time. */
const LOOKUPS = 32;

/** What this proxy tells a supernode that it has: all of it to a new one, afterwards what has changed. */
export class Inventory {
  readonly #options: InventoryOptions;
  #told = new Set<Digest>();
  /** What the supernode knows from reports, and may not be here for good. */
  readonly #doubtful = new Set<Digest>();

  constructor(options: InventoryOptions) {
    this.#options = options;
  }

  /**
   * Everything, for a supernode that knows nothing (or what was true earlier), message by message: a node may have many
   * blobs. One that is left before its end is to be followed by another `full`.
   */
  async *full(epoch: string): AsyncGenerator<Announce> {
    const before = this.#told;
    const told = new Set<Digest>();
    this.#told = told;
    const frames = new Frames(epoch);
    const here = this.#list();
    for (const digest of before) if (!here.has(digest)) frames.gone(digest);
    const { parts, isShared } = this.#options;
    for (const part of parts?.() ?? []) if (isShared?.(part.digest) ?? true) frames.part(part);
    yield* this.#tellNew(here, told, frames);
    yield* frames.take();
  }

  /** What has come and gone since it was last asked. */
  async *changes(epoch: string): AsyncGenerator<Announce> {
    const told = this.#told;
    const frames = new Frames(epoch);
    const here = this.#list();
    for (const digest of this.#doubtful) if (!here.has(digest) && !told.has(digest)) frames.gone(digest);
    this.#doubtful.clear();
    for (const digest of told) {
      if (here.has(digest)) continue;
      told.delete(digest);
      frames.gone(digest);
    }
    yield* this.#tellNew(here, told, frames);
    yield* frames.take();
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

  async *#tellNew(here: ReadonlyMap<Digest, number>, told: Set<Digest>, frames: Frames): AsyncGenerator<Announce> {
    const fresh = [...here].filter(([digest, size]) => !told.has(digest) && new Pieces(size).count <= MAX_PIECES);
    for (let at = 0; at < fresh.length; at += LOOKUPS) {
      const some = fresh.slice(at, at + LOOKUPS);
      const crcs = await Promise.all(some.map(async ([digest]) => this.#options.crcsOf?.(digest)));
      for (const [index, [digest, size]] of some.entries()) {
        told.add(digest);
        frames.blob(digest, size, crcs[index]);
      }
      yield* frames.full();
    }
  }
}

/** Announcements, cut into messages. */
class Frames {
  readonly #epoch: string;
  #done: Announce[] = [];
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

  /** The messages that are full, taken out. */
  full(): Announce[] {
    const done = this.#done;
    this.#done = [];
    return done;
  }

  /** All of them, taken out. */
  take(): Announce[] {
    if (this.#entries > 0) this.#next();
    return this.full();
  }

  #room(length: number): void {
    // Quotes, commas, a number.
    const bytes = length + 32;
    if (this.#entries >= MAX_BATCH || this.#bytes + bytes > MESSAGE_BYTES) this.#next();
    this.#entries += 1;
    this.#bytes += bytes;
  }

  #next(): void {
    this.#done.push(this.#frame);
    this.#frame = { t: 'announce', epoch: this.#epoch };
    this.#entries = 0;
    this.#bytes = 0;
  }
}
