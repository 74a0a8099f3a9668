import type { Clock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { MiB } from '../base/units.ts';
import { isPassing } from './disk-health.ts';
import { LOOK_AT_DISK } from './errors.ts';
import { readWhole, replaceWhole, unlinkIfThere } from './file-helpers.ts';
import type { FileInfo, FilePort } from './files.ts';
import type { Layout } from './layout.ts';
import type { BlobEntry } from './quota.ts';
import { encodeVerified, parseVerified } from './verified-file.ts';

/** Over half a million blobs; a larger file is not read, and all are verified anew. */
const MAX_FILE_BYTES = 64 * MiB;

/**
 * When each blob was last verified: as it was published, as it was read, or in the background. It outlives the process, and
 * what it says of a blob is void as soon as its file has another size or other times.
 */
export class Verified {
  readonly #files: FilePort;
  readonly #path: string;
  readonly #log: Logger;
  readonly #clock: Clock;
  #unsaved = false;
  #saidUnwritable = false;

  constructor(deps: { files: FilePort; layout: Layout; log: Logger; clock: Clock }) {
    this.#files = deps.files;
    this.#path = deps.layout.verified;
    this.#log = deps.log;
    this.#clock = deps.clock;
  }

  /** Whether the last time is longer ago than `ms`, or not known. A time that is yet to come says nothing: the clock was set back. */
  isDue({ verifiedAt }: BlobEntry, ms: number): boolean {
    const now = this.#clock.now();
    return verifiedAt === 0 || verifiedAt > now || now - verifiedAt > ms;
  }

  /** Its bytes were right just now. */
  mark(entry: BlobEntry): void {
    entry.verifiedAt = this.#clock.now();
    this.#unsaved = true;
  }

  /** Notes what the file is like now; where it is another than before, nothing is known of its bytes. */
  see(entry: BlobEntry, { changedMs }: FileInfo): void {
    if (changedMs === entry.changedMs) return;
    entry.changedMs = changedMs;
    entry.verifiedAt = 0;
  }

  /** Notes what the file is like after a change that was ours. */
  changed(entry: BlobEntry, { changedMs }: FileInfo): void {
    entry.changedMs = changedMs;
    this.#unsaved = true;
  }

  /** Takes up what earlier processes have noted. Never rejects. */
  async load(find: (digest: Digest) => BlobEntry | undefined): Promise<void> {
    // What a process left that was killed as it wrote it.
    await unlinkIfThere(this.#files, `${this.#path}.new`).catch(() => undefined);
    try {
      const bytes = await readWhole(this.#files, this.#path, MAX_FILE_BYTES);
      const isSound = parseVerified(
        bytes ?? encodeVerified([]),
        ({ digest, size, modifiedMs, changedMs, verifiedAt }) => {
          const entry = find(digest);
          if (entry?.size !== size || entry.modifiedMs !== modifiedMs || entry.changedMs !== changedMs) return;
          entry.verifiedAt = verifiedAt;
        },
      );
      if (!isSound) throw new Error('it is not what was written');
    } catch (error) {
      this.#log.warn(
        { code: 'STORE_VERIFIED_DAMAGED', path: this.#path, error: describeError(error), todo: LOOK_AT_DISK },
        'when blobs were last verified cannot be read; each is checked again when it is read, and in the background',
      );
    }
  }

  /** Writes it where something has changed. Never rejects. */
  async save(entries: Iterable<BlobEntry>): Promise<void> {
    if (!this.#unsaved) return;
    this.#unsaved = false;
    const known = [...entries].filter(({ verifiedAt }) => verifiedAt > 0);
    try {
      await replaceWhole(this.#files, this.#path, encodeVerified(known));
      this.#saidUnwritable = false;
    } catch (error) {
      this.#unsaved = true;
      // A full disk is said elsewhere, and once is enough.
      const level = this.#saidUnwritable || isPassing(error) ? 'debug' : 'warn';
      this.#saidUnwritable = true;
      this.#log[level](
        { code: 'STORE_VERIFIED_UNWRITABLE', path: this.#path, error: describeError(error), todo: LOOK_AT_DISK },
        'when blobs were last verified cannot be written; after a restart they are checked again',
      );
    }
  }
}
