import { dirname } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import { codeOf, describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { StoredBlob } from './blob-store.ts';
import type { CrcFiles } from './crc-files.ts';
import { LOOK_AT_DISK, StoreReadFailed } from './errors.ts';
import type { FilePort, OpenFile } from './files.ts';
import type { Layout } from './layout.ts';
import type { BlobEntry, Quota } from './quota.ts';
import type { Removals } from './removals.ts';
import { StoredFile } from './stored-file.ts';

/** How far the noted time of a blob's last use may lag behind: it is written at most so often. */
const TOUCH_INTERVAL_MS = 3_600_000;

/** The files of the verified blobs: opened with a check that they are still what was published, moved in, dropped. */
export class BlobFiles {
  readonly #files: FilePort;
  readonly #layout: Layout;
  readonly #quota: Quota;
  readonly #removals: Removals;
  readonly #crcs: CrcFiles;
  readonly #log: Logger;
  readonly #clock: Clock;

  constructor(deps: {
    files: FilePort;
    layout: Layout;
    quota: Quota;
    removals: Removals;
    crcs: CrcFiles;
    log: Logger;
    clock: Clock;
  }) {
    this.#files = deps.files;
    this.#layout = deps.layout;
    this.#quota = deps.quota;
    this.#removals = deps.removals;
    this.#crcs = deps.crcs;
    this.#log = deps.log;
    this.#clock = deps.clock;
  }

  /** Opens a blob, which is in use until it is closed. Undefined: it was damaged, and is dropped. Throws STORE_READ_FAILED. */
  async open(entry: BlobEntry): Promise<StoredBlob | undefined> {
    this.#quota.use(entry);
    let file: OpenFile | undefined;
    try {
      file = await this.#openChecked(entry);
    } finally {
      if (!file) this.#quota.release(entry);
    }
    if (!file) return undefined;
    return new StoredFile(file, {
      digest: entry.digest,
      size: entry.size,
      onFailure: (error) => this.#dropDamaged(entry, describeError(error)),
      onClose: () => this.#quota.release(entry),
    });
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

  async #openChecked(entry: BlobEntry): Promise<OpenFile | undefined> {
    const { digest } = entry;
    const file = await this.#files.open(this.#layout.blob(digest), 'read').catch((error: unknown) => {
      // ELOOP: a symlink has taken its place.
      if (['ENOENT', 'ELOOP'].includes(codeOf(error))) return undefined;
      throw new StoreReadFailed({ digest, why: describeError(error) }, { cause: error });
    });
    if (!file) {
      this.#dropDamaged(entry, 'its file is gone');
      return undefined;
    }
    const damage = await findDamage(entry, file);
    if (damage === undefined) {
      await this.#touch(entry, file);
      return file;
    }
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
    await file.setModified(now).catch(() => {
      entry.modifiedMs = entry.olderMs;
    });
  }

  #dropDamaged(entry: BlobEntry, damage: string): void {
    if (entry.dropped) return;
    this.#log.warn(
      { code: 'STORE_BLOB_DAMAGED', digest: entry.digest, damage, todo: LOOK_AT_DISK },
      'a stored blob was found damaged and is dropped; it is fetched anew when it is wanted',
    );
    this.drop(entry);
  }
}

async function findDamage(entry: BlobEntry, file: OpenFile): Promise<string | undefined> {
  try {
    const { size, modifiedMs } = await file.stat();
    if (size !== entry.size) return `its file has ${size} bytes, not ${entry.size}`;
    return modifiedMs === entry.modifiedMs || modifiedMs === entry.olderMs ? undefined : 'its file was written to';
  } catch (error) {
    return describeError(error);
  }
}
