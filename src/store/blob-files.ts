import { dirname } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import { codeOf, describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { StoredBlob } from './blob-store.ts';
import type { CrcFiles } from './crc-files.ts';
import { LOOK_AT_DISK, StoreReadFailed } from './errors.ts';
import type { FilePort, OpenFile, ReadableFile } from './files.ts';
import type { Layout } from './layout.ts';
import type { PacedHasher } from './paced-hasher.ts';
import type { BlobEntry, Quota } from './quota.ts';
import { BlobDamage, ReadChecks } from './read-checks.ts';
import type { Removals } from './removals.ts';
import { StoredFile } from './stored-file.ts';
import type { Verified } from './verified.ts';

/** How far the noted time of a blob's last use may lag behind: it is written at most so often. */
const TOUCH_INTERVAL_MS = 3_600_000;

/**
 * For so long after a blob was written or opened the kernel is taken to have its name and node in memory, and it is opened on this
 * thread, in milliseconds. Through the thread pool it takes some 100 us to open, ask and close a file, and 10 without.
 */
const AT_HAND_MS = 60_000;

/** The files of the verified blobs: opened with a check that they are still what was published, moved in, dropped. */
export class BlobFiles {
  readonly #files: FilePort;
  readonly #layout: Layout;
  readonly #quota: Quota;
  readonly #removals: Removals;
  readonly #crcs: CrcFiles;
  readonly #verified: Verified;
  readonly #checks: ReadChecks;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #clock: Clock;

  constructor(deps: {
    files: FilePort;
    layout: Layout;
    quota: Quota;
    removals: Removals;
    crcs: CrcFiles;
    verified: Verified;
    log: Logger;
    metrics: Metrics;
    clock: Clock;
  }) {
    this.#files = deps.files;
    this.#layout = deps.layout;
    this.#quota = deps.quota;
    this.#removals = deps.removals;
    this.#crcs = deps.crcs;
    this.#verified = deps.verified;
    this.#checks = new ReadChecks(deps);
    this.#log = deps.log;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
  }

  /** Opens a blob, which is in use until it is closed. Undefined: it was damaged, and is dropped. Throws STORE_READ_FAILED. */
  async open(entry: BlobEntry): Promise<StoredBlob | undefined> {
    this.#quota.use(entry);
    const isInMemory = this.#clock.monotonic() - entry.usedAt < AT_HAND_MS;
    let file: ReadableFile | undefined;
    try {
      const opened = await this.#openSound(entry, isInMemory);
      if (opened) await this.#touch(entry, opened);
      file = opened && (await this.#guard(entry, opened));
    } finally {
      if (!file) this.#quota.release(entry);
    }
    if (!file) return undefined;
    entry.usedAt = this.#clock.monotonic();
    return new StoredFile(file, {
      digest: entry.digest,
      size: entry.size,
      isInMemory,
      isRemoved: () => entry.dropped,
      onFailure: (error) => this.#dropFailed(entry, error),
      onClose: () => this.#quota.release(entry),
    });
  }

  /**
   * Reads a blob through, paced, and drops it where its bytes are others than were stored. It is no use of the blob, which may go
   * meanwhile. Throws STORE_READ_FAILED where its file cannot be opened, or the signal's reason.
   */
  async verify(entry: BlobEntry, hasher: PacedHasher, signal: AbortSignal): Promise<void> {
    const file = await this.#openSound(entry, false);
    if (!file) return;
    try {
      const actual = await hasher.digestOf(entry.digest, file, entry.size, signal);
      this.#metrics.storeScrubbedBytes.inc(entry.size);
      if (actual === entry.digest) this.#verified.mark(entry);
      else this.#dropRotten(entry, `its bytes have the digest ${actual}`);
    } catch (error) {
      signal.throwIfAborted();
      this.#dropDamaged(entry, describeError(error));
    } finally {
      await file.close();
    }
  }

  /** Takes a blob out of the books and unlinks it; who has it open can go on reading. */
  drop(entry: BlobEntry): void {
    this.#quota.drop(entry);
    this.#removals.remove(this.#layout.blob(entry.digest));
    this.#crcs.remove(entry.digest);
  }

  /**
   * Renames the whole, synced file of an incoming blob to its place; a blob that was there makes way. After a rejection it is
   * where it was.
   */
  async moveIn(digest: Digest): Promise<void> {
    const to = this.#layout.blob(digest);
    // Out of the books first, so that no eviction unlinks the new file by the old one's name.
    const before = this.#quota.find(digest);
    if (before) this.#quota.drop(before);
    try {
      await this.#removals.settled(to);
      await this.#rename(this.#layout.incomingData(digest), to);
    } catch (error) {
      if (before) this.#removals.remove(to);
      throw error;
    }
  }

  /** Notes what a file is like after it was moved in, which changed it. Never rejects: else the blob is checked when it is read. */
  async noteChange(entry: BlobEntry): Promise<void> {
    const info = await this.#files.lstat(this.#layout.blob(entry.digest)).catch(() => undefined);
    if (info) this.#verified.changed(entry, info);
  }

  /** Makes the rename last. What fails here costs a download after a power cut, no more. */
  async syncName(digest: Digest): Promise<void> {
    const path = dirname(this.#layout.blob(digest));
    await this.#files.syncDirectory(path).catch((error: unknown) => {
      this.#log.warn(
        { code: 'STORE_SYNC_FAILED', path, error: describeError(error), todo: LOOK_AT_DISK },
        'a directory of the store cannot be synced; a blob just published may be gone after a power cut',
      );
    });
  }

  async #rename(from: string, to: string): Promise<void> {
    try {
      await this.#files.rename(from, to);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      await this.#files.mkdir(dirname(to));
      await this.#files.syncDirectory(dirname(dirname(to)));
      await this.#files.rename(from, to);
    }
  }

  async #guard(entry: BlobEntry, file: OpenFile): Promise<ReadableFile | undefined> {
    try {
      return await this.#checks.guard(entry, file);
    } catch (error) {
      await file.close();
      this.#dropFailed(entry, error);
      return undefined;
    }
  }

  async #openSound(entry: BlobEntry, isAtHand: boolean): Promise<OpenFile | undefined> {
    const { digest } = entry;
    const path = this.#layout.blob(digest);
    let file: OpenFile;
    try {
      file = isAtHand ? this.#files.openNow(path) : await this.#files.open(path, 'read');
    } catch (error) {
      // ELOOP: a symlink has taken its place.
      if (!['ENOENT', 'ELOOP'].includes(codeOf(error)))
        throw new StoreReadFailed({ digest, why: describeError(error) }, { cause: error });
      this.#dropDamaged(entry, 'its file is gone');
      return undefined;
    }
    const damage = this.#findDamage(entry, file);
    if (damage === undefined) return file;
    await file.close();
    this.#dropDamaged(entry, damage);
    return undefined;
  }

  /** Notes the use on disk, so that the order of use survives a restart. */
  async #touch(entry: BlobEntry, file: OpenFile): Promise<void> {
    // Whole seconds come back from every file system as they were set.
    const now = Math.floor(this.#clock.now() / 1000) * 1000;
    if (Math.abs(now - entry.modifiedMs) < TOUCH_INTERVAL_MS) return;
    entry.olderMs = entry.modifiedMs;
    entry.modifiedMs = now;
    try {
      await file.setModified(now);
    } catch {
      entry.modifiedMs = entry.olderMs;
      return;
    }
    const info = await file.stat().catch(() => undefined);
    if (info) this.#verified.changed(entry, info);
  }

  /** What gives the file away as another than was published; also notes what makes a closer look worth while. */
  #findDamage(entry: BlobEntry, file: OpenFile): string | undefined {
    try {
      const info = file.statNow();
      const { size, modifiedMs } = info;
      if (size !== entry.size) return `its file has ${size} bytes, not ${entry.size}`;
      if (modifiedMs !== entry.modifiedMs && modifiedMs !== entry.olderMs) return 'its file was written to';
      this.#verified.see(entry, info);
      return undefined;
    } catch (error) {
      return describeError(error);
    }
  }

  #dropFailed(entry: BlobEntry, error: unknown): void {
    const damage = error instanceof Error && error.cause instanceof BlobDamage ? error.cause : error;
    if (damage instanceof BlobDamage && damage.isRotten) this.#dropRotten(entry, damage.message);
    else this.#dropDamaged(entry, describeError(error));
  }

  #dropRotten(entry: BlobEntry, damage: string): void {
    if (entry.dropped) return;
    this.#metrics.storeDroppedBlobs.inc({ reason: 'rotten' });
    this.#log.warn(
      { code: 'STORE_BLOB_ROTTEN', digest: entry.digest, damage, todo: LOOK_AT_DISK },
      'a stored blob has other bytes than were stored, and is dropped; it is fetched anew when it is wanted',
    );
    this.drop(entry);
  }

  #dropDamaged(entry: BlobEntry, damage: string): void {
    if (entry.dropped) return;
    this.#metrics.storeDroppedBlobs.inc({ reason: 'damaged' });
    this.#log.warn(
      { code: 'STORE_BLOB_DAMAGED', digest: entry.digest, damage, todo: LOOK_AT_DISK },
      'a stored blob was found damaged and is dropped; it is fetched anew when it is wanted',
    );
    this.drop(entry);
  }
}
