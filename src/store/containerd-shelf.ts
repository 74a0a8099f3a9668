import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { digestHex, parseDigest, type Digest } from '../base/digest.ts';
import { codeOf, describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { SingleFlight } from '../base/single-flight.ts';
import { MiB } from '../base/units.ts';
import type { StoredBlob } from './blob-store.ts';
import { LOOK_AT_DISK, ShelfNotFound } from './errors.ts';
import { eachWithLimit, readWhole, replaceWhole } from './file-helpers.ts';
import { nodeFiles, type FileInfo, type FilePort } from './files.ts';
import { PacedHasher } from './paced-hasher.ts';
import { encodeShelfState, isSameFile, parseShelfState, type HashedFile } from './shelf-state.ts';
import { StoredFile } from './stored-file.ts';

/** How fast the background pass hashes, in bytes a second: a tenth of what one core can. */
const BYTES_PER_SECOND = 128 * MiB;
const RESCAN_MS = 5 * 60_000;
/** What a lookup finds unhashed is hashed at once up to this size (some milliseconds), else it comes first in the background. */
const HASH_AT_ONCE_BYTES = 4 * MiB;
/** Beyond so many blobs the oldest are left out. */
const MAX_BLOBS = 50_000;
const MAX_STATE_BYTES = 16 * MiB;
const SCAN_CONCURRENCY = 16;

/** Where the blobs lie below the directory that is configured: containerd's root, its content store, or that one's `blobs`. */
export const SHELF_FOLDERS = ['io.containerd.content.v1.content/blobs/sha256', 'blobs/sha256', 'sha256'];

export interface ShelfOptions {
  /** containerd's root (`/var/lib/containerd`), its content store, or that one's `blobs`. */
  readonly root: string;
  /** Where it is remembered what was hashed, in the store's directory. */
  readonly stateFile: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly files?: FilePort;
  readonly bytesPerSecond?: number;
}

/**
 * A read-only view of a containerd content store (`blobs/sha256/<hex>`, whole files renamed into place). Each file is hashed
 * once, in a paced background pass, the newest first, and offered only after its hash was right; it is known again by inode,
 * time of change and size. containerd may remove a blob at any time: who has it open can go on reading.
 */
export class ContainerdShelf {
  readonly #options: ShelfOptions;
  readonly #files: FilePort;
  readonly #hasher: PacedHasher;
  readonly #hashed = new Map<Digest, HashedFile>();
  /** To be hashed, the newest first. */
  #queue = new Set<Digest>();
  /** Asked for: hashed before the others. */
  readonly #wanted = new Set<Digest>();
  readonly #flights = new SingleFlight<Digest, void>();
  readonly #stop = new AbortController();
  #dir: string | undefined;
  #wake: (() => void) | undefined;
  #unsaved = false;
  readonly #said = new Set<string>();
  #running: Promise<void> = Promise.resolve();

  private constructor(options: ShelfOptions) {
    this.#options = options;
    this.#files = options.files ?? nodeFiles;
    this.#hasher = new PacedHasher(options.clock, options.bytesPerSecond ?? BYTES_PER_SECOND);
  }

  /** Takes up what was hashed before, and goes on in the background. A root that is not there (yet) is looked for again. */
  static async open(options: ShelfOptions): Promise<ContainerdShelf> {
    const shelf = new ContainerdShelf(options);
    await shelf.#find();
    shelf.#running = shelf.#run();
    return shelf;
  }

  /** Size in bytes of a blob whose hash was right; no I/O. */
  sizeOf(digest: Digest): number | undefined {
    const hashed = this.#hashed.get(digest);
    return hashed?.good === true ? hashed.size : undefined;
  }

  *list(): Generator<{ readonly digest: Digest; readonly size: number }> {
    for (const [digest, { size, good }] of this.#hashed) if (good) yield { digest, size };
  }

  /** Opens a blob whose hash was right. Undefined: not here, or not hashed yet. Throws STORE_READ_FAILED when read. */
  async open(digest: Digest): Promise<StoredBlob | undefined> {
    if (!this.#dir || !digest.startsWith('sha256:')) return undefined;
    const known = await this.#openKnown(digest);
    if (known) return known;
    if (!(await this.#hashSoon(digest))) return undefined;
    return this.#openKnown(digest);
  }

  /** Stops the background pass; open blobs stay readable. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake?.();
    await this.#running;
    await this.#save();
  }

  async #openKnown(digest: Digest): Promise<StoredBlob | undefined> {
    const hashed = this.#hashed.get(digest);
    if (!hashed?.good) return undefined;
    const file = await this.#files.open(this.#pathOf(digest), 'read').catch(() => undefined);
    const info = await file?.stat().catch(() => undefined);
    if (file && info && isSameFile(hashed, info)) {
      const onFailure = (): void => this.#forget(digest);
      // containerd may remove it at any time, and says so to nobody.
      const isRemoved = (): boolean => true;
      const onClose = (): void => undefined;
      return new StoredFile(file, { digest, size: hashed.size, isInMemory: false, isRemoved, onFailure, onClose });
    }
    await file?.close();
    this.#forget(digest);
    return undefined;
  }

  /** Looks whether the file is there, and hashes it if it is small; true: it has been hashed. */
  async #hashSoon(digest: Digest): Promise<boolean> {
    const info = await this.#files.lstat(this.#pathOf(digest)).catch(() => undefined);
    if (info?.kind !== 'file' || this.#isKnown(digest, info)) return false;
    if (info.size > HASH_AT_ONCE_BYTES) {
      this.#wanted.add(digest);
      this.#wake?.();
      return false;
    }
    return this.#hash(digest, false).then(
      () => true,
      () => false,
    );
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    let scanAt = clock.monotonic();
    while (!this.#stop.signal.aborted) {
      try {
        if (clock.monotonic() >= scanAt) {
          scanAt = clock.monotonic() + RESCAN_MS;
          await this.#find();
          await this.#scan();
        }
        await this.#hashQueued(scanAt);
        await this.#save();
      } catch (error) {
        this.#trouble(error);
      }
      if (clock.monotonic() < scanAt) await this.#pause(scanAt - clock.monotonic());
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(ms, () => this.#wake?.());
      this.#wake = () => {
        cancel();
        this.#wake = undefined;
        resolve();
      };
      if (this.#stop.signal.aborted || this.#wanted.size > 0) this.#wake();
    });
  }

  /** Looks for the directory of the blobs, as long as it is not known. */
  async #find(): Promise<void> {
    if (this.#dir !== undefined) return;
    const { root } = this.#options;
    let refusal: unknown;
    for (const part of SHELF_FOLDERS) {
      const dir = join(root, part);
      const info = await this.#files.lstat(dir).catch((error: unknown) => {
        if (!['ENOENT', 'ENOTDIR'].includes(codeOf(error))) refusal = error;
      });
      if (info?.kind !== 'directory') continue;
      this.#dir = dir;
      await this.#loadState(dir);
      return;
    }
    this.#trouble(refusal ?? new ShelfNotFound({ root }));
  }

  async #loadState(dir: string): Promise<void> {
    const { stateFile, log } = this.#options;
    try {
      const bytes = await readWhole(this.#files, stateFile, MAX_STATE_BYTES);
      if (!bytes) return;
      const state = parseShelfState(bytes, dir);
      if (!state) throw new Error('it is not what was written');
      for (const [digest, hashed] of state) this.#hashed.set(digest, hashed);
    } catch (error) {
      log.warn(
        { code: 'SHELF_STATE_DAMAGED', path: stateFile, error: describeError(error), todo: LOOK_AT_DISK },
        'what was hashed of the containerd content store cannot be read; it is hashed anew',
      );
    }
  }

  async #scan(): Promise<void> {
    if (this.#dir === undefined) return;
    const found: { digest: Digest; info: FileInfo }[] = [];
    await eachWithLimit(await this.#files.readdir(this.#dir), SCAN_CONCURRENCY, async ({ name, kind }) => {
      const digest = kind === 'file' ? parseDigest(`sha256:${name}`) : undefined;
      const info = digest && (await this.#files.lstat(this.#pathOf(digest)).catch(() => undefined));
      if (digest && info) found.push({ digest, info });
    });
    found.sort((a, b) => b.info.modifiedMs - a.info.modifiedMs);
    found.length = Math.min(found.length, MAX_BLOBS);
    const here = new Map(found.map(({ digest, info }) => [digest, info]));
    for (const [digest, hashed] of this.#hashed) {
      const info = here.get(digest);
      if (!info || !isSameFile(hashed, info)) this.#forget(digest);
    }
    this.#queue = new Set([...here.keys()].filter((digest) => !this.#hashed.has(digest)));
  }

  /** Until none is left, or the time for the next scan has come. */
  async #hashQueued(until: number): Promise<void> {
    for (let digest = this.#next(); digest !== undefined; digest = this.#next()) {
      if (this.#stop.signal.aborted || this.#options.clock.monotonic() >= until) return;
      this.#wanted.delete(digest);
      this.#queue.delete(digest);
      await this.#hash(digest, true).catch((error: unknown) => {
        if (!this.#stop.signal.aborted && codeOf(error) !== 'ENOENT') {
          this.#trouble(error);
        }
      });
    }
  }

  #next(): Digest | undefined {
    const [wanted] = this.#wanted;
    if (wanted !== undefined) return wanted;
    const [queued] = this.#queue;
    return queued;
  }

  #hash(digest: Digest, paced: boolean): Promise<void> {
    return this.#flights.run(digest, async () => {
      const file = await this.#files.open(this.#pathOf(digest), 'read');
      try {
        const info = await file.stat();
        if (info.kind !== 'file' || this.#isKnown(digest, info)) return;
        const actual = await this.#hasher.digestOf(digest, file, info.size, paced ? this.#stop.signal : undefined);
        const after = await file.stat();
        const { inode, modifiedMs, size } = info;
        const hashed = { inode, modifiedMs, size, good: actual === digest };
        // Changed while it was read: it is found again by the next scan.
        if (!isSameFile(hashed, after)) return;
        this.#hashed.set(digest, hashed);
        this.#unsaved = true;
        if (!hashed.good) {
          const path = this.#pathOf(digest);
          this.#options.log.warn(
            {
              code: 'SHELF_BLOB_WRONG',
              path,
              actual,
              todo: 'look at the disk of containerd’s root; remove the image there and pull it again',
            },
            'a blob of containerd is not what its name says',
          );
        }
      } finally {
        await file.close();
      }
    });
  }

  #isKnown(digest: Digest, info: FileInfo): boolean {
    const hashed = this.#hashed.get(digest);
    return hashed !== undefined && isSameFile(hashed, info);
  }

  #forget(digest: Digest): void {
    this.#unsaved = this.#hashed.delete(digest) || this.#unsaved;
  }

  async #save(): Promise<void> {
    if (!this.#unsaved || this.#dir === undefined) return;
    this.#unsaved = false;
    const { stateFile, log } = this.#options;
    await replaceWhole(this.#files, stateFile, encodeShelfState(this.#dir, this.#hashed)).catch((error: unknown) => {
      log.warn(
        { code: 'SHELF_STATE_UNWRITABLE', path: stateFile, error: describeError(error), todo: LOOK_AT_DISK },
        'what was hashed of the containerd content store cannot be remembered; after a restart it is hashed anew',
      );
    });
  }

  /** Says what is wrong with the shelf, each kind of error once. */
  #trouble(error: unknown): void {
    const kind = codeOf(error);
    if (this.#said.has(kind)) return;
    this.#said.add(kind);
    const { log, root } = this.#options;
    const isAbsent = error instanceof ShelfNotFound;
    const code = isAbsent ? error.code : 'SHELF_UNREADABLE';
    const todo = isAbsent
      ? error.todo
      : 'let the user that Hawker runs as read containerd’s root, or leave store.containerd out';
    log.warn(
      { code, root, error: describeError(error), todo },
      'the containerd content store, or a part of it, cannot be read; it is tried again every few minutes',
    );
  }

  #pathOf(digest: Digest): string {
    return join(this.#dir ?? '', digestHex(digest));
  }
}
