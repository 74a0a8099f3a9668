import type { Clock } from '../base/clock.ts';
import { isOutOfDescriptors } from '../base/descriptors.ts';
import type { Digest } from '../base/digest.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import { BlobFiles } from './blob-files.ts';
import type { BlobShape, BlobStore, IncomingBlob, StoredBlob } from './blob-store.ts';
import { CrcFiles } from './crc-files.ts';
import { DiskHealth, type DiskState } from './disk-health.ts';
import { StoreClosed, StoreIncomingBusy } from './errors.ts';
import { nodeFiles, type FileInfo, type FilePort } from './files.ts';
import { IncomingFile, isFull, writeError, type IncomingHost } from './incoming.ts';
import { prepareLayout, type Layout } from './layout.ts';
import { StoreLock } from './lock.ts';
import { openIncoming, type OpenedIncoming } from './open-incoming.ts';
import { Pins, type Pin } from './pins.ts';
import { BlobEntry, chargeFor, Quota, type Hold } from './quota.ts';
import { Removals } from './removals.ts';
import { DISK_RESERVE_BYTES, Room } from './room.ts';
import { scanBlobs, scanIncoming } from './scan.ts';
import { Scrub } from './scrub.ts';
import { Verified } from './verified.ts';

export interface DiskStoreOptions {
  /** Absolute path; made where it is missing. */
  readonly dir: string;
  /** What blobs and incoming blobs may take, in bytes of whole disk blocks. */
  readonly quotaBytes: number;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly files?: FilePort;
  /** Free space that stays on the disk. */
  readonly diskReserveBytes?: number;
}

/** A verified blob, as an operator sees it. */
export interface StoredBlobInfo {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** In milliseconds since 1970; of earlier processes to the hour. */
  readonly lastUse: number;
  readonly isInUse: boolean;
  readonly isPinned: boolean;
}

/** An incoming blob that is being opened, or (with `file`) is open or being closed. */
interface IncomingSlot {
  opening: Promise<IncomingFile>;
  file?: IncomingFile;
}

/** The store on disk. One process a directory; all state but the files themselves is in memory. */
export class DiskStore implements BlobStore {
  readonly dir: string;
  #pins!: Pins;
  readonly #files: FilePort;
  readonly #layout: Layout;
  readonly #lock: StoreLock;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #quota: Quota;
  readonly #removals: Removals;
  readonly #room: Room;
  readonly #blobs: BlobFiles;
  readonly #crcs: CrcFiles;
  readonly #health: DiskHealth;
  readonly #incoming = new Map<Digest, IncomingSlot>();
  readonly #verified: Verified;
  readonly #scrub: Scrub;
  #pinnedBytes = 0;
  #closing: Promise<void> | undefined;

  private constructor(options: DiskStoreOptions, files: FilePort, layout: Layout, lock: StoreLock) {
    const { dir, quotaBytes, log, metrics, clock, diskReserveBytes = DISK_RESERVE_BYTES } = options;
    const removals = new Removals(files, log);
    const crcs = new CrcFiles({ files, layout, removals, log });
    const quota = new Quota({
      quotaBytes,
      onEvict: ({ digest }) => {
        removals.remove(layout.blob(digest));
        crcs.remove(digest);
      },
      onEvictIdle: (digest) => this.#removeIncoming(digest),
      onChange: (bytes) => metrics.storeBytes.set(bytes),
    });
    metrics.storeQuotaBytes.set(quotaBytes);
    metrics.storeBytes.set(0);
    this.dir = dir;
    this.#files = files;
    this.#layout = layout;
    this.#lock = lock;
    this.#log = log;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#quota = quota;
    this.#removals = removals;
    this.#room = new Room({ files, dir, quota, removals, diskReserveBytes });
    this.#crcs = crcs;
    const probeDir = layout.incoming;
    this.#health = new DiskHealth({ files, dir, probeDir, quota, clock, reserveBytes: diskReserveBytes });
    this.#verified = new Verified({ files, layout, log, clock });
    this.#blobs = new BlobFiles({
      files,
      layout,
      quota,
      removals,
      crcs,
      verified: this.#verified,
      log,
      metrics,
      clock,
    });
    this.#scrub = new Scrub({ quota, blobs: this.#blobs, verified: this.#verified, clock, log });
  }

  /** Throws STORE_DIR_UNUSABLE, STORE_LOCKED, or the disk's own error where what is there cannot be listed. */
  static async open(options: DiskStoreOptions): Promise<DiskStore> {
    const files = options.files ?? nodeFiles;
    const layout = await prepareLayout(files, options.dir);
    const lock = await StoreLock.acquire(options.dir);
    const store = new DiskStore(options, files, layout, lock);
    try {
      const quotaBytes = () => store.#quota.quotaBytes;
      store.#pins = await Pins.open({ files, dir: layout.version, quotaBytes, log: options.log });
      store.#pinsChanged();
      await store.#load();
      store.#scrub.start();
    } catch (error) {
      await lock.release();
      throw error;
    }
    return store;
  }

  /** Bytes taken and allowed; and of what is pinned, here or not. */
  usage(): { bytes: number; quota: number; pinned: number } {
    return { bytes: this.#quota.bytes, quota: this.#quota.quotaBytes, pinned: this.#pinnedBytes };
  }

  /** See `NodeStore.opened`. */
  opened(): DiskStore {
    return this;
  }

  /** Every verified blob, as an operator sees it. */
  *inventory(): Generator<StoredBlobInfo> {
    const passed = this.#clock.monotonic();
    const now = this.#clock.now();
    for (const { digest, size, modifiedMs, usedAt, users } of this.#quota.entries()) {
      const lastUse = Number.isFinite(usedAt) ? Math.max(modifiedMs, Math.round(now - (passed - usedAt))) : modifiedMs;
      yield { digest, size, lastUse, isInUse: users > 0, isPinned: this.#quota.isPinned(digest) };
    }
  }

  /** Parts of blobs that nobody fetches now: what they take. */
  idle(): ReadonlyMap<Digest, number> {
    return this.#quota.idle();
  }

  /** Removes a part of a blob that nobody fetches now; false: there is none. */
  removeIdle(digest: Digest): boolean {
    this.#mustBeOpen();
    return this.#quota.evictIdle(digest);
  }

  /** What is never evicted, by name. */
  pins(): readonly Pin[] {
    return this.#pins.list();
  }

  /** Throws PIN_TOO_LARGE, PINS_FULL, or the disk's error: then nothing has changed. */
  async pin(pin: Pin): Promise<void> {
    this.#mustBeOpen();
    await this.#pins.set(pin);
    this.#pinsChanged();
  }

  /** False: nothing is pinned by that name. */
  async unpin(name: string): Promise<boolean> {
    this.#mustBeOpen();
    const was = await this.#pins.remove(name);
    this.#pinsChanged();
    return was;
  }

  #pinsChanged(): void {
    const blobs = this.#pins.blobs();
    let bytes = 0;
    for (const size of blobs.values()) bytes += chargeFor(size);
    this.#pinnedBytes = bytes;
    this.#metrics.storePinnedBytes.set(bytes);
    this.#quota.pin(new Set(blobs.keys()));
  }

  /** In bytes, from now on; what is over it goes at once, but for what is in use. */
  setQuota(bytes: number): void {
    this.#quota.setQuota(bytes);
    this.#metrics.storeQuotaBytes.set(bytes);
  }

  /** What the disk has to give. Never rejects. */
  disk(): Promise<DiskState> {
    return this.#health.check();
  }

  sizeOf(digest: Digest): number | undefined {
    return this.#quota.find(digest)?.size;
  }

  async open(digest: Digest): Promise<StoredBlob | undefined> {
    this.#mustBeOpen();
    const entry = this.#quota.find(digest);
    return entry && this.#blobs.open(entry);
  }

  mayHavePart(digest: Digest): boolean {
    return this.#incoming.has(digest) || this.#quota.hasIdle(digest);
  }

  async receive(digest: Digest, shape: BlobShape): Promise<IncomingBlob> {
    const before = this.#incoming.get(digest)?.file;
    if (before?.isClosing === true) await before.close();
    this.#mustBeOpen();
    if (this.#incoming.has(digest)) throw new StoreIncomingBusy({ digest });
    const slot: IncomingSlot = { opening: this.#receive(digest, shape) };
    this.#incoming.set(digest, slot);
    try {
      slot.file = await slot.opening;
      return slot.file;
    } catch (error) {
      this.#incoming.delete(digest);
      throw error;
    }
  }

  async remove(digest: Digest): Promise<boolean> {
    this.#mustBeOpen();
    const entry = this.#quota.find(digest);
    if (!entry) return false;
    this.#blobs.drop(entry);
    await this.#removals.settled(this.#layout.blob(digest));
    return true;
  }

  async crcsOf(digest: Digest): Promise<Uint32Array | undefined> {
    const entry = this.#quota.find(digest);
    return entry && this.#crcs.of(digest, entry.size);
  }

  *list(): Generator<{ readonly digest: Digest; readonly size: number }> {
    for (const { digest, size } of this.#quota.entries()) yield { digest, size };
  }

  /** From now on another process that wants the directory is told that it will be let go soon. */
  stopping(): void {
    this.#lock.stopping();
  }

  /** Closes what is coming in (its pieces are kept), and lets the directory go. Open blobs stay readable. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const openings = await Promise.allSettled(Array.from(this.#incoming.values(), ({ opening }) => opening));
    await Promise.all(openings.flatMap((opening) => (opening.status === 'fulfilled' ? [opening.value.close()] : [])));
    await this.#scrub.close();
    await this.#removals.allSettled();
    await this.#lock.release();
  }

  async #load(): Promise<void> {
    const { idle, useless } = await scanIncoming(this.#files, this.#layout);
    for (const path of useless) this.#removals.remove(path);
    for (const { digest, info } of idle) this.#quota.addIdle(digest, chargeForPartial(info));
    for (const entry of await scanBlobs(this.#files, this.#layout)) {
      if (!this.#quota.load(entry)) this.#removals.remove(this.#layout.blob(entry.digest));
    }
    this.#quota.trim();
    await this.#verified.load((digest) => this.#quota.find(digest));
    await this.#crcs.sweep((digest) => this.#quota.find(digest) !== undefined);
    await this.#removals.allSettled();
  }

  async #receive(digest: Digest, shape: BlobShape): Promise<IncomingFile> {
    const isResumed = this.#quota.hasIdle(digest);
    const hold = await this.#hold(digest, shape);
    try {
      await this.#removals.settled(this.#layout.incomingData(digest));
      await this.#removals.settled(this.#layout.incomingJournal(digest));
      const opened = await this.#openIncoming(digest, shape, isResumed);
      this.#quota.measured(hold, opened.allocatedBytes);
      return new IncomingFile(digest, shape, opened, this.#hostOf(digest, hold));
    } catch (error) {
      // Without descriptors nothing is known of what an earlier try has left, and nothing is wrong with it.
      if (isOutOfDescriptors(error)) this.#leaveAsItWas(digest, hold);
      else this.#leave(digest, hold, undefined);
      this.#health.failed(error);
      throw writeError(digest, error);
    }
  }

  /** Where no file can be made (a file system has only so many), it is tried once more without the oldest blobs. */
  async #openIncoming(digest: Digest, shape: BlobShape, isResumed: boolean): Promise<OpenedIncoming> {
    const open = () => openIncoming(this.#files, this.#layout, digest, { ...shape, isResumed }, this.#log);
    try {
      return await open();
    } catch (error) {
      if (!isFull(error) || !(await this.#room.evictFor(shape.size ?? 0))) throw error;
      return open();
    }
  }

  async #hold(digest: Digest, { size = 0 }: BlobShape): Promise<Hold> {
    const idleBytes = this.#quota.takeIdle(digest);
    try {
      return await this.#room.hold(digest, size, idleBytes ?? 0);
    } catch (error) {
      if (idleBytes !== undefined) this.#quota.addIdle(digest, idleBytes);
      throw error;
    }
  }

  #hostOf(digest: Digest, hold: Hold): IncomingHost {
    let published: BlobEntry | undefined;
    return {
      makeRoom: (bytes) => this.#room.widen(digest, hold, bytes),
      evictFor: (bytes) => this.#room.evictFor(bytes),
      failed: (error) => this.#health.failed(error),
      wrote: (bytes) => this.#quota.wrote(hold, bytes),
      place: async (file) => {
        await this.#blobs.moveIn(digest);
        published = new BlobEntry(digest, file.size, file.modifiedMs);
        this.#verified.mark(published);
        published.usedAt = this.#clock.monotonic();
        this.#quota.settle(hold, published);
        await this.#blobs.noteChange(published);
        await this.#crcs.keep(digest, file.size);
        await this.#blobs.syncName(digest);
      },
      ended: (kept) => {
        this.#incoming.delete(digest);
        if (published) this.#quota.release(published);
        else this.#leave(digest, hold, kept);
      },
    };
  }

  /** Ends an incoming blob that was not published: it is idle now, or goes. */
  #leave(digest: Digest, hold: Hold, kept: FileInfo | undefined): void {
    this.#quota.free(hold);
    if (kept) this.#quota.addIdle(digest, chargeForPartial(kept));
    else this.#removeIncoming(digest);
  }

  #leaveAsItWas(digest: Digest, hold: Hold): void {
    const { writtenBytes } = hold;
    this.#quota.free(hold);
    if (writtenBytes > 0) this.#quota.addIdle(digest, writtenBytes);
  }

  #removeIncoming(digest: Digest): void {
    this.#removals.remove(this.#layout.incomingData(digest));
    this.#removals.remove(this.#layout.incomingJournal(digest));
  }

  #mustBeOpen(): void {
    if (this.#closing) throw new StoreClosed({ dir: this.dir });
  }
}

/** What an idle incoming blob is charged: its holes take nothing. */
function chargeForPartial({ allocatedBytes, size }: FileInfo): number {
  return Math.min(chargeFor(allocatedBytes), chargeFor(size));
}
