import type { Digest } from '../base/digest.ts';
import { describeError } from '../base/errors.ts';
import type { BlobShape, BlobStore, IncomingBlob, StoredBlob } from './blob-store.ts';
import { DISK_RESERVE_BYTES } from './room.ts';
import { DiskStore, type DiskStoreOptions } from './disk-store.ts';
import { isPassing, type DiskState } from './disk-health.ts';
import { StoreLocked, StoreNoRoom } from './errors.ts';

/** While the directory cannot be written, it is tried so often, in milliseconds. */
const RETRY_MS = 5000;
/** While the process before this one ends, in milliseconds: it goes as soon as its last response is done. */
const HANDOVER_RETRY_MS = 100;

/** What a node asks of its store beside blobs. */
export interface NodeStore extends BlobStore {
  /** Bytes taken and allowed. */
  usage(): { bytes: number; quota: number; pinned?: number };
  /** In bytes, from now on; what is over it and not in use goes at once. */
  setQuota(bytes: number): void;
  /** The store itself; undefined while it is not open. */
  opened(): DiskStore | undefined;
  disk(): Promise<DiskState>;
  /** See `DiskStore.stopping`. */
  stopping(): void;
  close(): Promise<void>;
}

export interface OpenStoreOptions extends DiskStoreOptions {
  /** The store could only be opened later, and is about to serve: what was read of its directory before may be out of date. Throwing, it stays closed. */
  readonly onOpened?: () => void;
}

/**
 * Opens the store. While the process before this one ends, which still reads it, blobs are streamed through. A full, read-only or failing disk does not keep a node from starting: its blobs are streamed through until the
 * directory can be written. Throws as `DiskStore.open` what is not of that kind.
 */
export async function openStore(options: OpenStoreOptions): Promise<NodeStore> {
  try {
    return await DiskStore.open(options);
  } catch (error) {
    if (isHandover(error)) {
      const text = `blobs are streamed through until it has: ${describeError(error)}`;
      options.log.info({ code: 'STORE_HANDOVER', dir: options.dir }, text);
      return new LateStore(options, describeError(error), HANDOVER_RETRY_MS);
    }
    if (!isPassing(error)) throw error;
    options.log.warn(
      { code: 'STORE_LATE', dir: options.dir, todo: 'free space on the disk of store.dir, or make it writable' },
      `the store cannot be opened, blobs are streamed through until it can: ${describeError(error)}`,
    );
    return new LateStore(options, describeError(error), RETRY_MS);
  }
}

/** Who holds the directory is about to let it go. */
function isHandover(error: unknown): boolean {
  return error instanceof StoreLocked && error.params.isStopping === true;
}

/** Stands in for a store until its directory can be had and written, then hands on to it. */
class LateStore implements NodeStore {
  #options: OpenStoreOptions;
  #why: string;
  #retryMs: number;
  #isStopping = false;
  #store: DiskStore | undefined;
  #opening: Promise<void> | undefined;
  #cancelRetry: () => void = () => undefined;
  #closed = false;

  constructor(options: OpenStoreOptions, why: string, retryMs: number) {
    this.#options = options;
    this.#why = why;
    this.#retryMs = retryMs;
    this.#later();
  }

  sizeOf(digest: Digest): number | undefined {
    return this.#store?.sizeOf(digest);
  }

  async open(digest: Digest): Promise<StoredBlob | undefined> {
    return this.#store?.open(digest);
  }

  mayHavePart(digest: Digest): boolean {
    return this.#store?.mayHavePart(digest) ?? false;
  }

  async receive(digest: Digest, shape: BlobShape): Promise<IncomingBlob> {
    if (this.#store) return this.#store.receive(digest, shape);
    throw new StoreNoRoom({ digest, needBytes: shape.size, why: this.#why });
  }

  async remove(digest: Digest): Promise<boolean> {
    return (await this.#store?.remove(digest)) ?? false;
  }

  async crcsOf(digest: Digest): Promise<Uint32Array | undefined> {
    return this.#store?.crcsOf(digest);
  }

  list(): Iterable<{ readonly digest: Digest; readonly size: number }> {
    return this.#store?.list() ?? [];
  }

  setQuota(bytes: number): void {
    this.#options = { ...this.#options, quotaBytes: bytes };
    this.#store?.setQuota(bytes);
  }

  opened(): DiskStore | undefined {
    return this.#store;
  }

  usage(): { bytes: number; quota: number; pinned?: number } {
    return this.#store?.usage() ?? { bytes: 0, quota: this.#options.quotaBytes };
  }

  async disk(): Promise<DiskState> {
    if (this.#store) return this.#store.disk();
    return {
      roomBytes: 0,
      reserveBytes: this.#options.diskReserveBytes ?? DISK_RESERVE_BYTES,
      failure: this.#why,
    };
  }

  stopping(): void {
    this.#isStopping = true;
    this.#store?.stopping();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry();
    await this.#opening;
    await this.#store?.close();
  }

  #later(): void {
    this.#cancelRetry = this.#options.clock.after(this.#retryMs, () => {
      this.#opening = this.#retry();
    });
  }

  async #retry(): Promise<void> {
    try {
      const store = await DiskStore.open(this.#options);
      // It may have changed meanwhile.
      store.setQuota(this.#options.quotaBytes);
      try {
        this.#options.onOpened?.();
      } catch (error) {
        await store.close();
        throw error;
      }
      this.#store = store;
      if (this.#isStopping) store.stopping();
      this.#options.log.info({ code: 'STORE_OPENED', dir: this.#options.dir }, 'the store is open now');
    } catch (error) {
      this.#why = describeError(error);
      this.#retryMs = isHandover(error) ? HANDOVER_RETRY_MS : RETRY_MS;
      if (!this.#closed) this.#later();
    }
  }
}
