import type { Shown } from '../base/shown.ts';

/** Bytes `start` to `end` (exclusive) of a blob; without `end`, to its end. */
export interface ByteRange {
  readonly start: number;
  readonly end?: number | undefined;
}

/** What a source says of a blob before its first byte. */
export interface BlobHead {
  /** The size of the whole blob in bytes; undefined where the source does not say (a chunked answer). */
  readonly total: number | undefined;
  /** `Content-Type` without parameters, where the source says one. */
  readonly mediaType?: string | undefined;
  /** False where a range was asked for and the whole blob came: the source then skips what was not asked for. */
  readonly ranges: boolean;
  /** What a peer knows of the bytes; undefined: nothing. */
  readonly shown?: Shown | undefined;
}

/**
 * Takes the bytes of one read, in order, from the range's start. A chunk belongs to the source again once `write` has
 * returned, so that sources may read into buffers that they use again.
 */
export interface ByteSink {
  /** Called once, before the first `write`. What it throws ends the read with that error. */
  head(head: BlobHead): void;
  /** False: hold on until `drained` resolves. What it throws ends the read with that error. */
  write(chunk: Uint8Array): boolean;
  /**
   * Where the next bytes may be put: a source that reads them into the front of it gives `write` just that view, and nothing is
   * copied. It is the source's to write to until then, or until the read ends. Undefined: anywhere else.
   */
  room?(): Uint8Array | undefined;
  drained(): Promise<void>;
}
