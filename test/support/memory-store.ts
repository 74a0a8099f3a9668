import { crc32 } from 'node:zlib';
import type { Digest } from '../../src/base/digest.ts';
import { Pieces } from '../../src/base/pieces.ts';
import type { BlobShape, BlobStore, IncomingBlob, StoredBlob } from '../../src/store/blob-store.ts';
import {
  StoreDigestMismatch,
  StoreIncomingBusy,
  StoreNoRoom,
  StoreReadFailed,
  StoreSizeMismatch,
  StoreWriteFailed,
} from '../../src/store/errors.ts';

interface Blob {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly crcs: Uint32Array | undefined;
  users: number;
  dropped: boolean;
}

interface Partial {
  readonly shape: BlobShape;
  bytes: Buffer;
  readonly pieces: Map<number, number>;
}

interface IncomingHost {
  /** Makes room up to `end`. */
  write(end: number): void;
  /** The returned function ends the use of the published blob. */
  publish(bytes: Buffer): () => void;
  ended(kept: Partial | undefined): void;
}

function crcsIn({ pieces }: Partial, size: number): Uint32Array | undefined {
  const { count } = new Pieces(size);
  if (count <= 1 || pieces.size !== count) return undefined;
  return Uint32Array.from({ length: count }, (_, piece) => pieces.get(piece)!);
}

/** The twin of `DiskStore`, in memory: each byte counts as one byte of the quota. */
export class MemoryStore implements BlobStore {
  readonly quotaBytes: number;
  /** A write that reaches beyond this byte of a blob throws STORE_NO_ROOM, as on a full disk. */
  failWritesFrom = Infinity;
  /** A read of a stored blob that reaches beyond this byte throws STORE_READ_FAILED, and the blob is dropped. */
  failReadsFrom = Infinity;
  /** The least recently used first. */
  readonly #blobs = new Map<Digest, Blob>();
  /** The longest idle first. */
  readonly #idle = new Map<Digest, Partial>();
  readonly #incoming = new Map<Digest, { reserved: number }>();
  readonly #droppedInUse = new Set<Blob>();

  constructor(options: { quotaBytes?: number } = {}) {
    this.quotaBytes = options.quotaBytes ?? Infinity;
  }

  usage(): { bytes: number; quota: number } {
    return { bytes: this.#committed(), quota: this.quotaBytes };
  }

  sizeOf(digest: Digest): number | undefined {
    return this.#blobs.get(digest)?.bytes.length;
  }

  async open(digest: Digest): Promise<StoredBlob | undefined> {
    const blob = this.#blobs.get(digest);
    if (!blob) return undefined;
    blob.users += 1;
    return new MemoryStoredBlob(blob, this);
  }

  mayHavePart(digest: Digest): boolean {
    return this.#incoming.has(digest) || this.#idle.has(digest);
  }

  async receive(digest: Digest, shape: BlobShape): Promise<IncomingBlob> {
    if (this.#incoming.has(digest)) throw new StoreIncomingBusy({ digest });
    const idle = this.#idle.get(digest);
    this.#idle.delete(digest);
    const slot = { reserved: 0 };
    try {
      this.#makeRoom(digest, shape.size ?? 0);
    } catch (error) {
      if (idle) this.#idle.set(digest, idle);
      throw error;
    }
    slot.reserved = shape.size ?? 0;
    this.#incoming.set(digest, slot);
    const fits = idle && idle.shape.size === shape.size && idle.shape.pieceSize === shape.pieceSize;
    const partial = fits ? idle : { shape, bytes: Buffer.alloc(0), pieces: new Map<number, number>() };
    return new MemoryIncomingBlob(digest, partial, {
      write: (end) => {
        if (end > this.failWritesFrom) throw new StoreNoRoom({ digest, needBytes: end, why: 'the disk is full' });
        if (end <= slot.reserved) return;
        this.#makeRoom(digest, end - slot.reserved);
        slot.reserved = end;
      },
      publish: (bytes) => {
        const before = this.#blobs.get(digest);
        if (before) this.#drop(before);
        slot.reserved = 0;
        const blob: Blob = { digest, bytes, crcs: crcsIn(partial, bytes.length), users: 1, dropped: false };
        this.#blobs.set(digest, blob);
        return () => this.release(blob);
      },
      ended: (kept) => {
        this.#incoming.delete(digest);
        if (kept) this.#idle.set(digest, kept);
      },
    });
  }

  async remove(digest: Digest): Promise<boolean> {
    const blob = this.#blobs.get(digest);
    if (blob) this.#drop(blob);
    return blob !== undefined;
  }

  async crcsOf(digest: Digest): Promise<Uint32Array | undefined> {
    const blob = this.#blobs.get(digest);
    return blob?.crcs;
  }

  *list(): Generator<{ readonly digest: Digest; readonly size: number }> {
    const blobs = [...this.#blobs.values()].reverse();
    const inUseFirst = [...blobs.filter((blob) => blob.users > 0), ...blobs.filter((blob) => blob.users === 0)];
    for (const { digest, bytes } of inUseFirst) yield { digest, size: bytes.length };
  }

  /** A user less; after the last the blob is the most recently used. */
  release(blob: Blob): void {
    blob.users -= 1;
    if (blob.users > 0) return;
    this.#droppedInUse.delete(blob);
    if (blob.dropped) return;
    this.#blobs.delete(blob.digest);
    this.#blobs.set(blob.digest, blob);
  }

  /** The blob was found damaged. */
  damaged(blob: Blob): void {
    if (!blob.dropped) this.#drop(blob);
  }

  #drop(blob: Blob): void {
    blob.dropped = true;
    this.#blobs.delete(blob.digest);
    if (blob.users > 0) this.#droppedInUse.add(blob);
  }

  #committed(): number {
    let bytes = 0;
    for (const blob of [...this.#blobs.values(), ...this.#droppedInUse]) bytes += blob.bytes.length;
    for (const { reserved } of this.#incoming.values()) bytes += reserved;
    for (const idle of this.#idle.values()) bytes += idle.bytes.length;
    return bytes;
  }

  #makeRoom(digest: Digest, needBytes: number): void {
    const mayGo: { bytes: number; go: () => void }[] = [];
    for (const [key, idle] of this.#idle) mayGo.push({ bytes: idle.bytes.length, go: () => this.#idle.delete(key) });
    for (const blob of this.#blobs.values()) {
      if (blob.users === 0) mayGo.push({ bytes: blob.bytes.length, go: () => this.#drop(blob) });
    }
    let missing = this.#committed() + needBytes - this.quotaBytes;
    if (missing > mayGo.reduce((sum, { bytes }) => sum + bytes, 0)) {
      throw new StoreNoRoom({ digest, needBytes, why: `the quota is ${this.quotaBytes} bytes` });
    }
    for (const { bytes, go } of mayGo) {
      if (missing <= 0) return;
      go();
      missing -= bytes;
    }
  }
}

class MemoryStoredBlob implements StoredBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly #blob: Blob;
  readonly #store: MemoryStore;
  #closed = false;

  constructor(blob: Blob, store: MemoryStore) {
    this.digest = blob.digest;
    this.size = blob.bytes.length;
    this.#blob = blob;
    this.#store = store;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const { digest } = this;
    if (this.#closed) throw new StoreReadFailed({ digest, why: 'it is closed' });
    const part = this.#blob.bytes.subarray(position, position + buffer.byteLength);
    if (position + part.length > this.#store.failReadsFrom) {
      this.#store.damaged(this.#blob);
      throw new StoreReadFailed({ digest, why: 'EIO' });
    }
    buffer.set(part);
    return part.length;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#store.release(this.#blob);
  }
}

class MemoryIncomingBlob implements IncomingBlob {
  readonly digest: Digest;
  readonly kept: ReadonlyMap<number, number>;
  readonly #partial: Partial;
  readonly #host: IncomingHost;
  #release: (() => void) | undefined;
  #closed = false;

  constructor(digest: Digest, partial: Partial, host: IncomingHost) {
    this.digest = digest;
    this.#partial = partial;
    this.#host = host;
    this.kept = new Map([...partial.pieces].filter(([piece, crc]) => crc32(this.#bytesOf(piece)) === crc));
  }

  async write(buffer: Uint8Array, position: number): Promise<void> {
    const { digest } = this;
    const end = position + buffer.byteLength;
    const { size } = this.#partial.shape;
    if (this.#closed || this.#release) throw new StoreWriteFailed({ digest, why: 'it is published or closed' });
    if (size !== undefined && end > size) throw new StoreWriteFailed({ digest, why: 'beyond its size' });
    this.#host.write(end);
    if (end > this.#partial.bytes.length) {
      this.#partial.bytes = Buffer.concat([this.#partial.bytes, Buffer.alloc(end - this.#partial.bytes.length)]);
    }
    this.#partial.bytes.set(buffer, position);
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const { digest } = this;
    if (this.#closed) throw new StoreReadFailed({ digest, why: 'it is closed' });
    if (position >= (this.#partial.shape.size ?? Infinity)) return 0;
    const part = this.#partial.bytes.subarray(position, position + buffer.byteLength);
    if (part.length === 0 && buffer.byteLength > 0) throw new StoreReadFailed({ digest, why: 'not written yet' });
    buffer.set(part);
    return part.length;
  }

  record(piece: number, crc: number): void {
    const { size, pieceSize } = this.#partial.shape;
    if (size === undefined || this.#closed || this.#release) return;
    const { count } = new Pieces(size, pieceSize);
    if (!Number.isInteger(piece) || piece < 0 || piece >= count) throw new RangeError(`piece ${piece} of ${count}`);
    this.#partial.pieces.set(piece, crc >>> 0);
  }

  async publish(actual: Digest, size: number): Promise<void> {
    const { digest } = this;
    if (actual !== digest) throw new StoreDigestMismatch({ digest, actual });
    const expected = this.#partial.shape.size ?? size;
    if (size !== expected) throw new StoreSizeMismatch({ digest, expected, actual: size });
    if (this.#release) return;
    if (this.#closed) throw new StoreWriteFailed({ digest, why: 'it is closed' });
    const { length } = this.#partial.bytes;
    if (length !== size) throw new StoreSizeMismatch({ digest, expected: size, actual: length });
    this.#release = this.#host.publish(this.#partial.bytes);
  }

  async close(): Promise<void> {
    this.#end(true);
  }

  async discard(): Promise<void> {
    this.#end(false);
  }

  #end(keep: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    const kept = keep && !this.#release && this.#partial.shape.size !== undefined;
    this.#host.ended(kept ? this.#partial : undefined);
    this.#release?.();
  }

  #bytesOf(piece: number): Buffer {
    const pieces = new Pieces(this.#partial.shape.size ?? 0, this.#partial.shape.pieceSize);
    return this.#partial.bytes.subarray(pieces.start(piece), pieces.end(piece));
  }
}
