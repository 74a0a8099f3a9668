import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import { codeAndTodo, codeOf, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { ByteSource, Metrics } from '../../base/metrics.ts';
import { NO_PRESSURE, type PressureView } from '../../base/pressure.ts';
import type { BufferPool } from '../../http/buffer-pool.ts';
import type { BodySource } from '../../http/body-source.ts';
import type { BlobStore, StoredBlob } from '../../store/blob-store.ts';
import type { Coordinator } from '../protocol/coordinator.ts';
import type { AskedRange } from './reader.ts';
import { Download, type DownloadDeps, type DownloadRequest, type DownloadStatus } from './download.ts';
import { BlobDigestMismatch, BlobNotKept, DownloadsClosed, TooManyDownloads } from './errors.ts';
import type { PeerSources } from './fetcher.ts';
import type { HashThread } from './hash-thread.ts';
import type { PartialBlob } from './inventory.ts';
import type { OpenPart } from './upload.ts';
import type { PrivateBlobs } from '../../store/private-blobs.ts';
import type { ShownBlobs } from '../../store/shown-blobs.ts';
import { atEither, isAt, NOWHERE, placeOf, type Shown } from '../../base/shown.ts';
import { shownBy } from './leave.ts';
import { storedWitness } from './witness.ts';

/** Blobs coming in at the same time, those included that nobody reads just now. */
export const MAX_DOWNLOADS = 1000;

/** What can be opened and read: the store itself, or another shelf of verified blobs. */
export type Shelf = Pick<BlobStore, 'sizeOf' | 'open'>;

/** A blob that can be sent to a client: stored, or coming in. Must be closed. */
export interface OpenBlob extends BodySource {
  readonly digest: Digest;
  /** The media type that the origin said, if it was asked just now. */
  readonly mediaType: string | undefined;
  /** Who gave the byte at `position`; meaningful once `ready` has released it. */
  sourceAt(position: number): ByteSource;
  /** The store does not take it: it does not go on unless it is read. Undefined: never. */
  readonly isThrough?: boolean;
  close(): void;
}

/** The node's blobs, whatever they come from: the only way in which a blob comes in. One download a digest. */
export class Downloads {
  readonly #deps: DownloadDeps;
  readonly #privateBlobs: PrivateBlobs | undefined;
  readonly #store: BlobStore;
  readonly #shelves: readonly Shelf[];
  readonly #log: Logger;
  readonly #table = new Map<Digest, Download>();
  /** Downloads that are over, but not yet out of the way of a new one. */
  readonly #closing = new Map<Digest, Promise<void>>();
  #closed = false;

  constructor(options: {
    store: BlobStore;
    /** Further shelves to read from, asked after the store. */
    shelves?: readonly Shelf[];
    coordinator: Coordinator;
    /** For blobs that stay on this node; the same as `coordinator` where no other proxies are. */
    solo: Coordinator;
    /** How pieces are fetched from other proxies; undefined: never. */
    peers?: PeerSources;
    /** Which blobs were read with a credential; undefined: none is told apart. */
    privateBlobs?: PrivateBlobs;
    /** Where blobs have been shown to be; undefined: it does not matter. */
    shownBlobs?: ShownBlobs;
    /** These too go to other proxies, which prove that they are members and let nobody read what he could not at the registry. */
    sharesPrivate?: boolean;
    /** Memory for what comes in; may be shared with what goes out. */
    pool: BufferPool;
    /** Hashes large blobs; undefined: the main thread does. */
    hashThread?: HashThread | undefined;
    clock: Clock;
    log: Logger;
    metrics: Metrics;
    /** What runs short on this node; undefined: nothing ever. */
    pressure?: PressureView;
  }) {
    this.#store = options.store;
    this.#shelves = [options.store, ...(options.shelves ?? [])];
    this.#deps = options;
    this.#privateBlobs = options.privateBlobs;
    this.#log = options.log;
    options.metrics.countDownloads(() => {
      const idle = [...this.#table.values()].filter((download) => download.isIdle).length;
      return { active: this.#table.size - idle, idle };
    });
  }

  /** Size in bytes of a blob that is here, verified, and may be given to who reads at the origin of that name; no I/O. */
  sizeFor(digest: Digest, origin: string): number | undefined {
    return this.#isShownAt(digest, origin) ? this.sizeOf(digest) : undefined;
  }

  /** Size in bytes of a blob that is here, verified; no I/O. */
  sizeOf(digest: Digest): number | undefined {
    for (const shelf of this.#shelves) {
      const size = shelf.sizeOf(digest);
      if (size !== undefined) return size;
    }
    return undefined;
  }

  /**
   * Opens a blob for one client, who must be allowed to read it (see `ReaderRequest`): from the store or a shelf, else from its download, which
   * is begun or joined. `range` undefined wants the whole. Resolves once the size is known and the first bytes of the range
   * may be sent (a blob up to 1 MiB: once it is verified); a range that begins at or behind the end resolves too.
   * Wrong bytes that have reached nobody are fetched once more.
   * Rejects with BLOB_UNAVAILABLE (its cause is the last source's error), BLOB_DIGEST_MISMATCH, SHUTTING_DOWN,
   * TOO_MANY_DOWNLOADS, what `confirm` and `prove` reject with, or the signal's reason. Later failures reject `ready`.
   */
  async open(request: DownloadRequest, range: AskedRange | undefined, signal: AbortSignal): Promise<OpenBlob> {
    for (let wasWrong = false; ;) {
      const stored = await this.#openStored(request.digest);
      if (stored) return this.#serveStored(stored, request, signal);
      signal.throwIfAborted();
      // It may have been published while the shelves were asked.
      if (this.#store.sizeOf(request.digest) !== undefined) continue;
      const closing = this.#closing.get(request.digest);
      if (closing) {
        await closing;
        continue;
      }
      try {
        return await this.#join(request, range, signal);
      } catch (error) {
        if (wasWrong || !(error instanceof BlobDigestMismatch)) throw error;
        wasWrong = true;
      }
    }
  }

  /** See `IncomingParts`: a part of a blob that is coming in, for another proxy. */
  openPart(digest: Digest, start: number, end: number): Promise<OpenPart | undefined> {
    return Promise.resolve(this.#table.get(digest)?.openPart(start, end));
  }

  /** See `IncomingParts`: where a blob that is here whole has been shown to be. */
  shownOf(digest: Digest): Shown | undefined {
    const { shownBlobs } = this.#deps;
    const shown = shownBlobs?.get(digest);
    // What is noted of a blob that is coming in says nothing of one on another shelf.
    return shownBlobs && (shown?.isWhole ? shown : { at: NOWHERE, isWhole: true });
  }

  /** The blobs of which a part is here, to be announced. */
  *parts(): Generator<PartialBlob> {
    for (const download of this.#table.values()) {
      const part = download.wholePart();
      if (part) yield part;
    }
  }

  /** Whether a blob may be announced and given to other proxies. */
  isShared(digest: Digest): boolean {
    return this.#deps.sharesPrivate === true || !this.#privateBlobs?.has(digest);
  }

  /** Resolves once a blob that somebody has been given to its end is in the store, or cannot be kept. */
  async settled(digest: Digest): Promise<void> {
    await this.#table.get(digest)?.published();
  }

  /** Who read the blob has given it up for good: where nobody else reads it, no more of it is asked for. */
  abandon(digest: Digest): void {
    this.#table.get(digest)?.abandon();
  }

  /** What comes in now: for status pages. */
  list(): DownloadStatus[] {
    return [...this.#table.values()].map((download) => download.status());
  }

  /** Ends every download; what came is kept for the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#table.values()].map((download) => download.close()));
    await Promise.all(this.#closing.values());
  }

  async #serveStored(stored: StoredBlob, request: DownloadRequest, signal: AbortSignal): Promise<OpenBlob> {
    try {
      await request.confirm?.();
      await this.#prove(stored, request);
    } catch (error) {
      await stored.close();
      throw error;
    }
    return new StoredBody(stored, (error, from) => this.#replace(request, stored, error, from, signal));
  }

  /** A registry that says that it has what others have brought proves it, once. */
  async #prove(stored: StoredBlob, { digest, origin, prove }: DownloadRequest): Promise<void> {
    // Of a blob of no bytes everybody knows all of them.
    if (!prove || stored.size === 0 || this.#isShownAt(digest, origin.name)) return;
    await prove(storedWitness(stored));
    const at = atEither(this.shownOf(digest)!.at, shownBy(origin));
    void this.#deps.shownBlobs?.note(digest, { at, isWhole: true });
  }

  #isShownAt(digest: Digest, origin: string): boolean {
    const at = this.shownOf(digest)?.at ?? 'all';
    return at === 'all' || isAt(placeOf(origin), at);
  }

  async #join(
    request: DownloadRequest,
    range: AskedRange | undefined,
    signal: AbortSignal,
    from?: number,
  ): Promise<OpenBlob> {
    const download = this.#table.get(request.digest) ?? this.#begin(request);
    const joined = download.join(request, range, signal, from);
    if (!request.confirm) return joined;
    // Both go on at the same time; a failure of the one that is not waited for yet is not lost.
    joined.catch(() => undefined);
    if (await download.isFrom(request.origin.name)) return joined;
    try {
      await request.confirm();
    } catch (error) {
      joined.then(
        (body) => body.close(),
        () => undefined,
      );
      throw error;
    }
    return joined;
  }

  #begin(request: DownloadRequest): Download {
    if (this.#closed) throw new DownloadsClosed({});
    this.#makeRoom();
    const ended = (until: Promise<void> | undefined): void => {
      if (this.#table.get(request.digest) === download) this.#table.delete(request.digest);
      if (until) this.#waitFor(request.digest, until);
    };
    const download = new Download(this.#deps, request, ended, this.#whyNotKept(request));
    this.#table.set(request.digest, download);
    return download;
  }

  /** Why a new blob is to be streamed through; undefined: it is kept. Without its size it cannot be streamed. */
  #whyNotKept({ digest, size, isPrivate }: DownloadRequest): Error | undefined {
    const { pressure = NO_PRESSURE } = this.#deps;
    if (pressure.level === 'pass-through' && size !== undefined) {
      return new BlobNotKept({ digest, why: 'this node runs short of resources' });
    }
    try {
      if (isPrivate) this.#privateBlobs?.add(digest);
      return undefined;
    } catch (error) {
      return new BlobNotKept({ digest, why: 'it cannot be noted that it is private' }, { cause: error });
    }
  }

  #waitFor(digest: Digest, until: Promise<void>): void {
    const closing = until.finally(() => this.#closing.delete(digest));
    this.#closing.set(digest, closing);
  }

  #makeRoom(): void {
    if (this.#table.size < MAX_DOWNLOADS) return;
    for (const download of this.#table.values()) {
      if (!download.isIdle) continue;
      void download.close();
      return;
    }
    throw new TooManyDownloads({ limit: MAX_DOWNLOADS });
  }

  async #openStored(digest: Digest): Promise<StoredBlob | undefined> {
    for (const shelf of this.#shelves) {
      const blob = await shelf.open(digest);
      if (blob) return blob;
    }
    return undefined;
  }

  /** A stored blob cannot be read any more (a disk error, a file cut under us): the sources are asked as if it were not here. */
  async #replace(
    request: DownloadRequest,
    damaged: StoredBlob,
    error: unknown,
    from: number,
    signal: AbortSignal,
  ): Promise<OpenBlob> {
    this.#log.warn(
      { ...codeAndTodo(error), digest: request.digest },
      `a stored blob cannot be read, it is fetched again: ${describeError(error)}`,
    );
    await damaged.close();
    await this.#store.remove(request.digest);
    return this.#join({ ...request, size: damaged.size }, undefined, signal, from);
  }
}

/** A blob on a shelf, on its way to one client. */
class StoredBody implements OpenBlob {
  readonly mediaType = undefined;
  readonly #blob: StoredBlob;
  readonly #replace: (error: unknown, from: number) => Promise<OpenBlob>;
  #replacement: OpenBlob | undefined;
  #closed = false;

  constructor(blob: StoredBlob, replace: (error: unknown, from: number) => Promise<OpenBlob>) {
    this.#blob = blob;
    this.#replace = replace;
  }

  get digest(): Digest {
    return this.#blob.digest;
  }

  get size(): number {
    return this.#blob.size;
  }

  ready(position: number): Promise<number> {
    return this.#replacement ? this.#replacement.ready(position) : Promise.resolve(this.#blob.size);
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    if (!this.#replacement) {
      let damage: unknown;
      try {
        const count = await this.#blob.read(buffer, position);
        if (count > 0) return count;
        damage = new Error(`the file ends at byte ${position}`);
      } catch (error) {
        if (this.#closed || codeOf(error) !== 'STORE_READ_FAILED') throw error;
        damage = error;
      }
      this.#replacement = await this.#replace(damage, position);
      if (this.#closed) this.#replacement.close();
    }
    const replacement = this.#replacement;
    const end = await replacement.ready(position);
    return replacement.read(buffer.subarray(0, Math.min(buffer.length, end - position)), position);
  }

  readNow(buffer: Uint8Array, position: number): number {
    return this.#replacement || this.#closed ? 0 : (this.#blob.readNow?.(buffer, position) ?? 0);
  }

  sourceAt(position: number): ByteSource {
    return this.#replacement ? this.#replacement.sourceAt(position) : 'store';
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#replacement?.close();
    void this.#blob.close();
  }
}
