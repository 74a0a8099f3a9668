import type { Digest } from '../base/digest.ts';
import { codeOf, describeError } from '../base/errors.ts';
import { Pieces } from '../base/pieces.ts';
import type { BlobShape, IncomingBlob } from './blob-store.ts';
import { StoreDigestMismatch, StoreNoRoom, StoreSizeMismatch, StoreWriteFailed } from './errors.ts';
import type { FileInfo, OpenFile } from './files.ts';
import type { JournalWriter } from './journal.ts';
import type { OpenedIncoming } from './open-incoming.ts';
import { mustBePosition, readWithin } from './stored-file.ts';

/** Full disk, full user quota, and a file larger than the file system takes: no room, rather than a fault. */
const NO_ROOM_CODES = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** Whether a call failed for want of room on the disk. */
export function isFull(error: unknown): boolean {
  return NO_ROOM_CODES.has(codeOf(error));
}

/** The error for a failed write, sync or rename of the store: STORE_NO_ROOM where the disk is full, else STORE_WRITE_FAILED. */
export function writeError(digest: Digest, error: unknown): Error {
  if (error instanceof StoreNoRoom || error instanceof StoreWriteFailed) return error;
  const why = describeError(error);
  return isFull(error)
    ? new StoreNoRoom({ digest, needBytes: undefined, why: `the disk is full (${why})` }, { cause: error })
    : new StoreWriteFailed({ digest, why }, { cause: error });
}

/** What an incoming blob needs of the store around it. */
export interface IncomingHost {
  /** Holds room for the blob's first `bytes` bytes: for a blob of unknown size. Throws STORE_NO_ROOM. */
  makeRoom(bytes: number): Promise<void>;
  /** Evicts so that about `bytes` more fit on the disk; false: nothing was left that may go. */
  evictFor(bytes: number): Promise<boolean>;
  /** The disk has refused a write. */
  failed(error: unknown): void;
  wrote(bytes: number): void;
  /** Moves the whole, synced file to its place among the verified blobs. After a rejection it is where it was. */
  place(file: FileInfo): Promise<void>;
  /** The handle was closed. `kept` where pieces stay for a later try. */
  ended(kept: FileInfo | undefined): void;
}

export class IncomingFile implements IncomingBlob {
  readonly digest: Digest;
  readonly kept: ReadonlyMap<number, number>;
  readonly #size: number | undefined;
  readonly #pieceCount: number;
  readonly #file: OpenFile;
  readonly #journal: JournalWriter | undefined;
  readonly #host: IncomingHost;
  readonly #writes = new Set<Promise<void>>();
  #sealed = false;
  #published = false;
  #publishing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(digest: Digest, shape: BlobShape, opened: OpenedIncoming, host: IncomingHost) {
    this.digest = digest;
    this.kept = opened.kept;
    this.#size = shape.size;
    this.#pieceCount = shape.size === undefined ? 0 : new Pieces(shape.size, shape.pieceSize).count;
    this.#file = opened.file;
    this.#journal = opened.journal;
    this.#host = host;
  }

  /** `close` or `discard` was called. */
  get isClosing(): boolean {
    return this.#closing !== undefined;
  }

  async write(buffer: Uint8Array, position: number): Promise<void> {
    mustBePosition(position);
    if (this.#sealed || this.#closing) throw this.#refused('it is published or closed');
    const end = position + buffer.byteLength;
    if (this.#size !== undefined && end > this.#size)
      throw this.#refused(`byte ${end} is beyond its size ${this.#size}`);
    const write = this.#write(buffer, position);
    this.#writes.add(write);
    try {
      await write;
    } finally {
      this.#writes.delete(write);
    }
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return readWithin(this.#file, { digest: this.digest, size: this.#size ?? Infinity }, buffer, position);
  }

  record(piece: number, crc: number): void {
    if (this.#size === undefined || this.#sealed || this.#closing) return;
    if (!Number.isInteger(piece) || piece < 0 || piece >= this.#pieceCount) {
      throw new RangeError(`piece ${piece} of ${this.#pieceCount}`);
    }
    this.#journal?.append(piece, crc >>> 0);
  }

  async publish(actual: Digest, size: number): Promise<void> {
    if (actual !== this.digest) throw new StoreDigestMismatch({ digest: this.digest, actual });
    if (this.#size !== undefined && size !== this.#size) throw this.#sizeMismatch(this.#size, size);
    if (this.#closing && !this.#published) throw this.#refused('it is closed');
    this.#publishing ??= this.#publish(size);
    return this.#publishing;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close(this.#journal !== undefined);
    return this.#closing;
  }

  discard(): Promise<void> {
    this.#closing ??= this.#close(false);
    return this.#closing;
  }

  async #write(buffer: Uint8Array, position: number): Promise<void> {
    try {
      if (this.#size === undefined) await this.#host.makeRoom(position + buffer.byteLength);
      await this.#writeEvicting(buffer, position);
      this.#host.wrote(buffer.byteLength);
    } catch (error) {
      this.#host.failed(error);
      throw writeError(this.digest, error);
    }
  }

  /** Others may have taken the room that was held on the disk: then what may go makes way. */
  async #writeEvicting(buffer: Uint8Array, position: number): Promise<void> {
    try {
      await this.#file.write(buffer, position);
    } catch (error) {
      if (!isFull(error) || !(await this.#host.evictFor(buffer.byteLength))) throw error;
      await this.#file.write(buffer, position);
    }
  }

  async #publish(size: number): Promise<void> {
    // A write that was begun before must not land in a blob that counts as verified.
    this.#sealed = true;
    try {
      await Promise.allSettled(this.#writes);
      const info = await this.#file.stat();
      if (info.size !== size) throw this.#sizeMismatch(size, info.size);
      await this.#file.sync();
      await this.#host.place(info);
      this.#published = true;
    } catch (error) {
      this.#publishing = undefined;
      this.#sealed = false;
      if (error instanceof StoreSizeMismatch) throw error;
      this.#host.failed(error);
      throw writeError(this.digest, error);
    }
  }

  /** Never rejects: what was published is synced, and what is kept is checked before it is used. */
  async #close(keep: boolean): Promise<void> {
    await this.#publishing?.catch(() => undefined);
    await Promise.allSettled(this.#writes);
    await this.#journal?.close().catch(() => undefined);
    const kept = keep && !this.#published ? await this.#file.stat().catch(() => undefined) : undefined;
    await this.#file.close().catch(() => undefined);
    this.#host.ended(kept);
  }

  #sizeMismatch(expected: number, actual: number): Error {
    return new StoreSizeMismatch({ digest: this.digest, expected, actual });
  }

  #refused(why: string): Error {
    return new StoreWriteFailed({ digest: this.digest, why });
  }
}
