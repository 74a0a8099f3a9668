import type { Digest } from '../base/digest.ts';
import { describeError } from '../base/errors.ts';
import type { StoredBlob } from './blob-store.ts';
import { StoreReadFailed } from './errors.ts';
import type { ReadableFile } from './files.ts';
import { PageCacheGuess } from './page-cache.ts';

/** An open blob on disk. It keeps the file it opened, whatever becomes of its name. */
export class StoredFile implements StoredBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly #file: ReadableFile;
  readonly #onFailure: (error: unknown) => void;
  readonly #isRemoved: () => boolean;
  readonly #onClose: () => void;
  readonly #guess: PageCacheGuess;
  #closing: Promise<void> | undefined;

  /**
   * `isInMemory`: see `PageCacheGuess`. `isRemoved`: its file has no name any more. `onFailure`: the disk did not give its bytes.
   * `onClose`: once, after the file is closed.
   */
  constructor(
    file: ReadableFile,
    blob: {
      digest: Digest;
      size: number;
      isInMemory: boolean;
      isRemoved: () => boolean;
      onFailure: (error: unknown) => void;
      onClose: () => void;
    },
  ) {
    this.#file = file;
    this.#guess = new PageCacheGuess(blob.isInMemory);
    this.digest = blob.digest;
    this.size = blob.size;
    this.#onFailure = blob.onFailure;
    this.#isRemoved = blob.isRemoved;
    this.#onClose = blob.onClose;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    try {
      this.#guess.pooled();
      return await readWithin(this.#file, this, buffer, position);
    } catch (error) {
      if (!this.#closing && error instanceof StoreReadFailed) this.#onFailure(error);
      throw error;
    }
  }

  readNow(buffer: Uint8Array, position: number): number {
    if (!this.#guess.isInMemory || this.#closing) return 0;
    const began = performance.now();
    try {
      const length = Math.min(buffer.byteLength, this.size - position);
      return length > 0 ? (this.#file.readNow?.(buffer.subarray(0, length), position) ?? 0) : 0;
    } catch {
      // `read` will say what is wrong.
      return 0;
    } finally {
      this.#guess.took(performance.now() - began);
    }
  }

  close(): Promise<void> {
    this.#closing ??= (this.#isRemoved() ? this.#file.close() : this.#file.closeNow()).finally(this.#onClose);
    return this.#closing;
  }
}

/**
 * Reads from a file that holds (or will hold) a blob's bytes: 0 only at the blob's end, never beyond it. Throws
 * STORE_READ_FAILED, also where the file ends before the blob does.
 */
export async function readWithin(
  file: Pick<ReadableFile, 'read'>,
  blob: { readonly digest: Digest; readonly size: number },
  buffer: Uint8Array,
  position: number,
): Promise<number> {
  mustBePosition(position);
  const length = Math.min(buffer.byteLength, blob.size - position);
  if (length <= 0) return 0;
  const { digest } = blob;
  const count = await file.read(buffer.subarray(0, length), position).catch((error: unknown) => {
    throw new StoreReadFailed({ digest, why: describeError(error) }, { cause: error });
  });
  if (count === 0)
    throw new StoreReadFailed({ digest, why: `its file ends at byte ${position} of ${blob.size}, or before` });
  return count;
}

/** Throws a RangeError: to Node a negative position means "where the file stands", and that is never meant here. */
export function mustBePosition(position: number): void {
  if (!Number.isSafeInteger(position) || position < 0) throw new RangeError(`${position} is not a position in a blob`);
}
