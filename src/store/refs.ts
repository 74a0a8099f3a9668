import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import { isOutOfDescriptors } from '../base/descriptors.ts';
import type { Digest } from '../base/digest.ts';
import { codeOf, describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { SingleFlight } from '../base/single-flight.ts';
import { MiB } from '../base/units.ts';
import { isPassing } from './disk-health.ts';
import { LOOK_AT_DISK } from './errors.ts';
import { eachWithLimit, readWhole, replaceWhole, unlinkIfThere } from './file-helpers.ts';
import { nodeFiles, type FilePort } from './files.ts';
import { Layout, prepareLayout } from './layout.ts';
import {
  encodeRefs,
  keyIn,
  parseRefs,
  type Link,
  type RepoKey,
  type RepoRefs,
  type Tag,
  type TagTarget,
  type TagVariant,
} from './refs-file.ts';

export type { Link, RepoKey, RepoRefs, TagTarget, TagVariant } from './refs-file.ts';

/** Each bound drops the oldest. */
export const MAX_LINKS_PER_REPOSITORY = 4096;
export const MAX_TAGS_PER_REPOSITORY = 1024;
const MAX_REPOSITORIES = 10_000;
const MAX_REPOSITORIES_IN_MEMORY = 256;
/** A file of the most links and tags with long media types is about 2 MiB. */
const MAX_FILE_BYTES = 8 * MiB;
/** `type/subtype` have up to 127 characters each (RFC 6838, section 4.2). */
const MAX_MEDIA_TYPE_LENGTH = 255;
/** Changes of one repository are gathered for so long before they are written. */
const WRITE_DELAY_MS = 1000;
const SCAN_CONCURRENCY = 32;
const FILE_NAME = /^[0-9a-f]{64}\.json$/;

/**
 * What was read through which repository, and what its tags stood for: one file a repository, loaded when it is first asked
 * for, written within a second of a change. It guards itself against nothing but damage: whoever opens it holds the lock of
 * the store's directory. No credential is ever in it.
 */
export class Refs {
  readonly #dir: string;
  readonly #files: FilePort;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #maxRepositories: number;
  /** Names of files: to hash a repository's name anew for each look-up would be the most of it. */
  readonly #names = new LRUCache<string, string>({ max: MAX_REPOSITORIES_IN_MEMORY });
  /** By file name, as everywhere below. */
  readonly #loaded = new LRUCache<string, RepoRefs>({ max: MAX_REPOSITORIES_IN_MEMORY });
  readonly #loading = new SingleFlight<string, RepoRefs>();
  /** Changed, not written yet. */
  readonly #dirty = new Map<string, RepoRefs>();
  /** Files on disk, the longest unwritten first. */
  readonly #onDisk = new Set<string>();
  /** Work on the disk goes one after the other. */
  #work: Promise<void> = Promise.resolve();
  #cancelTimer: (() => void) | undefined;
  #isClosed = false;
  #saidUnwritable = false;

  private constructor(options: RefsOptions, dir: string) {
    this.#dir = dir;
    this.#files = options.files ?? nodeFiles;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#maxRepositories = options.maxRepositories ?? MAX_REPOSITORIES;
  }

  /** `dir` is the store's. Throws STORE_DIR_UNUSABLE. */
  static async open(options: RefsOptions): Promise<Refs> {
    const files = options.files ?? nodeFiles;
    try {
      await prepareLayout(files, options.dir);
    } catch (error) {
      // On a full or read-only disk they are known until the process ends.
      if (!isPassing(error)) throw error;
    }
    const refs = new Refs(options, new Layout(options.dir).refs);
    await refs.#scan();
    return refs;
  }

  /** Notes links; what was known of a digest is replaced. An absurdly long media type is left out. */
  async link(key: RepoKey, links: readonly Link[]): Promise<void> {
    await this.#change(key, (repo) => {
      for (const link of links) setLast(repo.links, link.digest, soundLink(link), MAX_LINKS_PER_REPOSITORY);
      return links.length > 0;
    });
  }

  async linkOf(key: RepoKey, digest: Digest): Promise<Link | undefined> {
    return (await this.#repo(key)).links.get(digest);
  }

  /** As `linkOf`, of a repository that is in memory; of another undefined, too. */
  linkInMemory(key: RepoKey, digest: Digest): Link | undefined {
    return this.#inMemory(this.#fileOf(key))?.links.get(digest);
  }

  async unlink(key: RepoKey, digest: Digest): Promise<void> {
    await this.#change(key, (repo) => repo.links.delete(digest));
  }

  /** Notes what a tag stands for; with an absurdly long media type nothing is noted. */
  async setTag(key: RepoKey, tag: string, variant: TagVariant, target: TagTarget): Promise<void> {
    if (target.mediaType.length > MAX_MEDIA_TYPE_LENGTH) return;
    await this.#change(key, (repo) => {
      setLast<string, Tag>(repo.tags, tag, { ...repo.tags.get(tag), [variant]: target }, MAX_TAGS_PER_REPOSITORY);
      return true;
    });
  }

  async tagOf(key: RepoKey, tag: string, variant: TagVariant): Promise<TagTarget | undefined> {
    return (await this.#repo(key)).tags.get(tag)?.[variant];
  }

  /** Both variants. */
  async dropTag(key: RepoKey, tag: string): Promise<void> {
    await this.#change(key, (repo) => repo.tags.delete(tag));
  }

  /** Everything of a repository, on the disk too by the time this resolves. */
  async forget(key: RepoKey): Promise<void> {
    await this.#change(key, (repo) => {
      repo.links.clear();
      repo.tags.clear();
      return true;
    });
    await this.flush();
  }

  /** Every repository of which anything is known: reads each file, for an operator's question. What cannot be read is left out. */
  async *all(): AsyncGenerator<RepoRefs> {
    for (const file of new Set([...this.#onDisk, ...this.#dirty.keys()])) {
      const repo = this.#inMemory(file) ?? (await this.#peek(file));
      if (repo) yield repo;
    }
  }

  async #peek(file: string): Promise<RepoRefs | undefined> {
    const bytes = await readWhole(this.#files, join(this.#dir, file), MAX_FILE_BYTES).catch(() => undefined);
    const key = bytes && keyIn(bytes);
    return key && parseRefs(bytes, key);
  }

  /** Writes what has changed. */
  flush(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#work = this.#work.then(() => this.#writeDirty());
    return this.#work;
  }

  /** Writes what has changed. What is changed afterwards, by a request that was cut off, is not written any more. */
  close(): Promise<void> {
    const written = this.flush();
    this.#isClosed = true;
    return written;
  }

  async #change(key: RepoKey, change: (repo: RepoRefs) => boolean): Promise<void> {
    const repo = await this.#repo(key);
    if (!change(repo) || this.#isClosed) return;
    this.#dirty.set(this.#fileOf(key), repo);
    this.#cancelTimer ??= this.#clock.after(WRITE_DELAY_MS, () => void this.flush());
  }

  async #repo(key: RepoKey): Promise<RepoRefs> {
    const file = this.#fileOf(key);
    return this.#inMemory(file) ?? this.#loading.run(file, () => this.#load(file, key));
  }

  #inMemory(file: string): RepoRefs | undefined {
    // What is not written yet may have been pushed out of the others.
    return this.#loaded.get(file) ?? this.#dirty.get(file);
  }

  /** A hash, for a repository's name may hold slashes and be longer than a file's. */
  #fileOf({ registry, repository }: RepoKey): string {
    const name = `${registry}/${repository}`;
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    const file = `${createHash('sha256').update(name).digest('hex')}.json`;
    this.#names.set(name, file);
    return file;
  }

  async #load(file: string, key: RepoKey): Promise<RepoRefs> {
    // A write of it may be under way.
    if (this.#onDisk.has(file)) await this.#work;
    const read = await this.#read(file, key);
    const repo = this.#dirty.get(file) ?? read ?? { key, links: new Map(), tags: new Map() };
    this.#loaded.set(file, repo);
    return repo;
  }

  async #read(file: string, key: RepoKey): Promise<RepoRefs | undefined> {
    if (!this.#onDisk.has(file)) return undefined;
    try {
      const bytes = await readWhole(this.#files, join(this.#dir, file), MAX_FILE_BYTES);
      const repo = bytes && parseRefs(bytes, key);
      if (repo) return repo;
      await this.#dropDamaged(file, bytes ? 'it is not what was written' : 'it is gone');
    } catch (error) {
      // Without descriptors nothing can be read: that says nothing of this file.
      if (!isOutOfDescriptors(error)) await this.#dropDamaged(file, describeError(error));
    }
    return undefined;
  }

  async #dropDamaged(file: string, damage: string): Promise<void> {
    this.#log.warn(
      { code: 'REFS_DAMAGED', path: join(this.#dir, file), damage, todo: LOOK_AT_DISK },
      'what was known of a repository cannot be read and is dropped; its origin is asked again',
    );
    await this.#remove(file);
  }

  async #writeDirty(): Promise<void> {
    for (const [file, repo] of Array.from(this.#dirty)) {
      this.#dirty.delete(file);
      if (repo.links.size === 0 && repo.tags.size === 0) await this.#remove(file);
      else await this.#write(file, repo);
    }
    for (const oldest of this.#onDisk) {
      if (this.#onDisk.size <= this.#maxRepositories) break;
      this.#loaded.delete(oldest);
      await this.#remove(oldest);
    }
  }

  async #write(file: string, repo: RepoRefs): Promise<void> {
    // Before the first wait: who loads it from now on waits for this work.
    this.#onDisk.delete(file);
    this.#onDisk.add(file);
    try {
      await replaceWhole(this.#files, join(this.#dir, file), encodeRefs(repo));
      this.#saidUnwritable = false;
    } catch (error) {
      // It is written with its next change; until writing works again one line is enough.
      const level = this.#saidUnwritable ? 'debug' : 'warn';
      this.#saidUnwritable = true;
      this.#log[level](
        { code: 'REFS_WRITE_FAILED', path: join(this.#dir, file), error: describeError(error), todo: LOOK_AT_DISK },
        'what is known of a repository cannot be written; it is known until the process ends',
      );
    }
  }

  async #remove(file: string): Promise<void> {
    this.#onDisk.delete(file);
    await unlinkIfThere(this.#files, join(this.#dir, file)).catch((error: unknown) => {
      this.#log.warn(
        { code: 'REFS_REMOVE_FAILED', path: join(this.#dir, file), error: describeError(error), todo: LOOK_AT_DISK },
        'a file of what is known of a repository cannot be removed',
      );
    });
  }

  async #scan(): Promise<void> {
    const found: { name: string; modifiedMs: number }[] = [];
    const entries = await this.#files.readdir(this.#dir).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    });
    await eachWithLimit(entries, SCAN_CONCURRENCY, async ({ name, kind }) => {
      if (kind !== 'file') return;
      const path = join(this.#dir, name);
      if (FILE_NAME.test(name)) found.push({ name, modifiedMs: (await this.#files.lstat(path)).modifiedMs });
      else if (name.endsWith('.new')) await unlinkIfThere(this.#files, path).catch(() => undefined);
    });
    found.sort((a, b) => a.modifiedMs - b.modifiedMs);
    for (const { name } of found) this.#onDisk.add(name);
  }
}

export interface RefsOptions {
  readonly dir: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly files?: FilePort;
  readonly maxRepositories?: number;
}

function soundLink(link: Link): Link {
  if ((link.mediaType?.length ?? 0) <= MAX_MEDIA_TYPE_LENGTH) return link;
  const { mediaType: _, ...rest } = link;
  return rest;
}

function setLast<K, V>(map: Map<K, V>, key: K, value: V, max: number): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= max) return;
    map.delete(oldest);
  }
}
