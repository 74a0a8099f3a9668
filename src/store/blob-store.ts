import type { Digest } from '../base/digest.ts';

/**
 * The port to a store of verified blobs. `DiskStore` is the real one, `MemoryStore` (tests) its twin; both pass one
 * conformance suite. Nothing in it knows a network.
 */
export interface BlobStore {
  /** Size in bytes of a verified blob that is here; no I/O, does not count as a use. */
  sizeOf(digest: Digest): number | undefined;
  /** Opens a verified blob; until closed it is not evicted. Undefined: not here (or found damaged, and dropped). */
  open(digest: Digest): Promise<StoredBlob | undefined>;
  /** Whether an earlier try may have left a part of a blob that `receive` would find; no I/O. */
  mayHavePart(digest: Digest): boolean;
  /**
   * Opens the incoming file of a blob, with the good pieces of an earlier try if there was one. One incoming blob a digest
   * at a time. Throws STORE_NO_ROOM where the quota or the disk cannot hold it (an error of the disk itself is its cause):
   * the blob is then to be streamed through.
   */
  receive(digest: Digest, shape: BlobShape): Promise<IncomingBlob>;
  /** Removes a verified blob; false if it was not here. What is being read stays readable to its readers. */
  remove(digest: Digest): Promise<boolean>;
  /** The CRC-32 of each piece of a verified blob, where they were kept; a blob of one piece has none. Never rejects. */
  crcsOf(digest: Digest): Promise<Uint32Array | undefined>;
  /** Every verified blob, most recently used first. */
  list(): Iterable<{ readonly digest: Digest; readonly size: number }>;
}

/** Size in bytes (undefined: not known until its end has come, such a blob is not resumed) and piece size of a blob. */
export interface BlobShape {
  readonly size: number | undefined;
  readonly pieceSize: number;
}

export interface StoredBlob {
  readonly digest: Digest;
  readonly size: number;
  /** Reads into `buffer` from `position`; 0 only at the end. Throws STORE_READ_FAILED. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** See `BodySource.readNow`. */
  readNow?(buffer: Uint8Array, position: number): number;
  /** Ends the use; more than once does no harm. */
  close(): Promise<void>;
}

/** A blob that is coming in: a sparse file, and a journal of its checked pieces. */
export interface IncomingBlob {
  readonly digest: Digest;
  /** Pieces found whole (their CRC-32 checked) from an earlier try: index to CRC. Empty for a fresh one. */
  readonly kept: ReadonlyMap<number, number>;
  /** Writes at `position`. Throws STORE_NO_ROOM when the disk is full, STORE_WRITE_FAILED on other errors. */
  write(buffer: Uint8Array, position: number): Promise<void>;
  /** Reads back what was written. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** Notes a whole piece in the journal, so that a later process finds it. */
  record(piece: number, crc32: number): void;
  /**
   * Makes it a verified blob: fsync, rename. `actual` is the digest of what was written, over `size` bytes; another than the
   * blob's own throws STORE_DIGEST_MISMATCH and publishes nothing. The handle stays readable until `close`.
   */
  publish(actual: Digest, size: number): Promise<void>;
  /** Closes; what is not published is kept for a later `receive`. */
  close(): Promise<void>;
  /** Closes and removes what is not published. */
  discard(): Promise<void>;
}
