import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import type { FileInfo, FileKind, FilePort, OpenFile } from '../../src/store/files.ts';
import { systemError } from './faulty-files.ts';

const BLOCK = 4096;
/** A moment that every file system can express. */
const EPOCH_MS = Date.UTC(2026, 0, 1);

type Content = { blocks: Map<number, Buffer>; size: number };
type Change = { at: number; bytes: Buffer } | { size: number };

/** Writes without touching what a block was before: it may be part of an earlier state. */
function apply({ blocks, size }: Content, change: Change): Content {
  const after = new Map(blocks);
  if ('bytes' in change) {
    const { at, bytes } = change;
    for (let done = 0; done < bytes.length;) {
      const [index, offset] = [Math.floor((at + done) / BLOCK), (at + done) % BLOCK];
      const part = bytes.subarray(done, done + BLOCK - offset);
      if (part.length === BLOCK) after.set(index, part);
      else {
        const block = Buffer.from(after.get(index) ?? Buffer.alloc(BLOCK));
        part.copy(block, offset);
        after.set(index, block);
      }
      done += part.length;
    }
    return { blocks: after, size: Math.max(size, at + bytes.length) };
  }
  for (const [index, block] of after) {
    if (index * BLOCK >= change.size) after.delete(index);
    else if ((index + 1) * BLOCK > change.size) {
      const cut = Buffer.from(block);
      cut.fill(0, change.size - index * BLOCK);
      after.set(index, cut);
    }
  }
  return { blocks: after, size: change.size };
}

class Inode {
  readonly kind: FileKind;
  readonly number: number;
  now: Content;
  /** As it is on the medium, and what has not got there yet. */
  synced: Content;
  unsynced: Change[] = [];
  modifiedMs = EPOCH_MS;
  changedMs = EPOCH_MS;

  constructor(kind: FileKind, number: number, content: Content = { blocks: new Map(), size: 0 }) {
    this.kind = kind;
    this.number = number;
    this.now = content;
    this.synced = content;
  }

  change(change: Change): void {
    this.now = apply(this.now, change);
    this.unsynced.push(change);
  }
}

/** A change of names that has not got to the medium yet: some names are gone, one may be new. */
interface Renaming {
  readonly gone: readonly string[];
  readonly made: readonly [path: string, inode: Inode] | undefined;
}

/**
 * What is left after a crash. `process`: all that was written. Of a machine without power, of what was not synced: `nothing`; `names`
 * (each directory as it was last, files without unsynced bytes); `holes` (that, and files as long as they were, with zeros in
 * unsynced places); a number: some of both, by this seed.
 */
export type Crash = 'process' | 'nothing' | 'names' | 'holes' | number;

/** A disk in memory that forgets what was not synced, as a real one may when its power fails. */
export class CrashDisk {
  readonly #names: Map<string, Inode>;
  readonly #syncedNames: Map<string, Inode>;
  #renamings: Renaming[] = [];
  #inodes = 1;
  #ticks = 0;

  constructor(names?: Map<string, Inode>, inodes = 1) {
    this.#names = names ?? new Map([['/', new Inode('directory', 0)]]);
    this.#syncedNames = new Map(this.#names);
    this.#inodes = inodes;
  }

  /** Makes a directory that lasts. */
  makeDirectory(path: string): void {
    for (let part = path; !this.#names.has(part); part = dirname(part)) {
      const inode = new Inode('directory', this.#inodes++);
      this.#names.set(part, inode);
      this.#syncedNames.set(part, inode);
    }
  }

  /** Paths and sizes of all files. */
  *list(): Generator<{ path: string; content: Content }> {
    for (const [path, { kind, now }] of this.#names) if (kind === 'file') yield { path, content: now };
  }

  read(path: string): Buffer | undefined {
    const inode = this.#names.get(path);
    return inode && bytesOf(inode.now, 0, inode.now.size);
  }

  /** What would be told apart of two disks. */
  get print(): string {
    const files = [...this.#names]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, { now }]) => {
        const blocks = [...now.blocks].sort(([a], [b]) => a - b).map(([index, block]) => `${index}:${crc32(block)}`);
        return `${path} ${now.size} ${blocks.join()}`;
      });
    return files.join('\n');
  }

  /** The disk as a later process finds it. This one is of no more use. */
  after(crash: Crash): CrashDisk {
    const random = randomOf(typeof crash === 'number' ? crash : 0);
    const names = new Map(crash === 'process' ? this.#names : this.#syncedNames);
    const kept = { process: 0, nothing: 0, names: Infinity, holes: Infinity } as const;
    // File systems that keep a journal keep the order of names.
    const count = typeof crash === 'number' ? Math.floor(random() * (this.#renamings.length + 1)) : kept[crash];
    for (const renaming of this.#renamings.slice(0, count)) commit(names, renaming);
    const copies = new Map<Inode, Inode>();
    const left = new Map<string, Inode>();
    for (const [path, inode] of [...names].sort(([a], [b]) => a.length - b.length)) {
      if (path !== '/' && !left.has(dirname(path))) continue;
      const copy = copies.get(inode) ?? copyOf(inode, crash, random);
      copies.set(inode, copy);
      left.set(path, copy);
    }
    return new CrashDisk(left, this.#inodes);
  }

  /**
   * A way to the disk that dies before call `dieAt` (0 is the first) of those that change something: to die before another leaves the
   * same disk. A write that is the last call gets half way.
   */
  port(dieAt = Infinity): FilePort & { calls: () => number; isDead: () => boolean } {
    let calls = 0;
    let changes = 0;
    let isDead = false;
    const enter = (isChange: boolean): void => {
      calls += 1;
      if (isChange) isDead ||= changes++ === dieAt;
      if (isDead) throw systemError('EKILLED');
    };
    const at = (path: string): Inode => {
      const inode = this.#names.get(path);
      if (!inode) throw systemError('ENOENT');
      return inode;
    };
    const answer = async <T>(isChange: boolean, work: () => T): Promise<T> => {
      enter(isChange);
      const result = work();
      // As from a real file system, the answer comes later.
      await Promise.resolve();
      return result;
    };
    const now = <T>(work: () => T): T => {
      enter(false);
      return work();
    };
    const look = <T>(work: () => T) => answer(false, work);
    const change = <T>(work: () => T) => answer(true, work);
    const openFile = (inode: Inode): OpenFile => ({
      read: (buffer, position) => look(() => bytesOf(inode.now, position, buffer.byteLength).copy(buffer)),
      readNow: (buffer, position) => now(() => bytesOf(inode.now, position, buffer.byteLength).copy(buffer)),
      write: async (buffer, position) => {
        if (changes === dieAt && !isDead) this.#write(inode, buffer.subarray(0, buffer.byteLength >> 1), position);
        await change(() => this.#write(inode, buffer, position));
      },
      stat: () => look(() => infoOf(inode)),
      statNow: () => now(() => infoOf(inode)),
      truncate: (size) => change(() => this.#change(inode, { size })),
      sync: () =>
        change(() => {
          inode.synced = inode.now;
          inode.unsynced = [];
        }),
      setModified: (ms) =>
        change(() => {
          inode.modifiedMs = ms;
          inode.changedMs = this.#tick();
        }),
      close: () => look(() => undefined),
      closeNow: () => look(() => undefined),
    });
    return {
      calls: () => calls,
      isDead: () => isDead,
      open: (path, mode) =>
        answer(mode === 'create', () => {
          const inode = mode === 'create' ? (this.#names.get(path) ?? this.#make(path, 'file')) : at(path);
          if (mode === 'create' && inode.now.size > 0) this.#change(inode, { size: 0 });
          return openFile(inode);
        }),
      openNow: (path) => now(() => openFile(at(path))),
      lstat: (path) => look(() => infoOf(at(path))),
      readdir: (path) =>
        look(() => {
          at(path);
          const inside = [...this.#names].filter(([name]) => name !== '/' && dirname(name) === path);
          return inside.map(([name, { kind }]) => ({ name: name.slice(path.length + 1), kind }));
        }),
      mkdir: (path) => change(() => this.#makeAll(path)),
      rename: (from, to) =>
        change(() => {
          at(dirname(to));
          const inode = at(from);
          inode.changedMs = this.#tick();
          this.#rename({ gone: [from], made: [to, inode] });
        }),
      unlink: (path) =>
        change(() => {
          at(path);
          this.#rename({ gone: [path], made: undefined });
        }),
      syncDirectory: (path) => change(() => this.#sync(path)),
      freeBytes: () => look(() => 2 ** 40),
    };
  }

  #makeAll(path: string): void {
    if (this.#names.has(path)) return;
    this.#makeAll(dirname(path));
    this.#make(path, 'directory');
  }

  #make(path: string, kind: FileKind): Inode {
    if (!this.#names.has(dirname(path))) throw systemError('ENOENT');
    const inode = new Inode(kind, this.#inodes++);
    inode.modifiedMs = this.#tick();
    inode.changedMs = inode.modifiedMs;
    this.#rename({ gone: [], made: [path, inode] });
    return inode;
  }

  #write(inode: Inode, buffer: Uint8Array, at: number): void {
    this.#change(inode, { at, bytes: Buffer.from(buffer) });
  }

  #change(inode: Inode, change: Change): void {
    inode.change(change);
    inode.modifiedMs = this.#tick();
    inode.changedMs = inode.modifiedMs;
  }

  #rename(renaming: Renaming): void {
    commit(this.#names, renaming);
    this.#renamings.push(renaming);
  }

  /** The changes in one directory get to the medium; a move into it or out of it as a whole. */
  #sync(directory: string): void {
    const isHere = ({ gone, made }: Renaming): boolean =>
      [...gone, ...(made ? [made[0]] : [])].some((path) => dirname(path) === directory);
    const [here, others] = [this.#renamings.filter(isHere), this.#renamings.filter((one) => !isHere(one))];
    for (const renaming of here) commit(this.#syncedNames, renaming);
    // What made the name that has moved on since is no longer to be done.
    const moved = new Set(here.flatMap(({ gone }) => gone));
    this.#renamings = others.filter(({ made }) => !made || !moved.has(made[0]));
  }

  #tick(): number {
    this.#ticks += 1;
    return EPOCH_MS + this.#ticks;
  }
}

function commit(names: Map<string, Inode>, { gone, made }: Renaming): void {
  for (const path of gone) names.delete(path);
  if (made) names.set(...made);
}

function copyOf(inode: Inode, crash: Crash, random: () => number): Inode {
  const copy = new Inode(inode.kind, inode.number, contentAfter(inode, crash, random));
  copy.modifiedMs = inode.modifiedMs;
  copy.changedMs = inode.changedMs;
  return copy;
}

function contentAfter({ now, synced, unsynced }: Inode, crash: Crash, random: () => number): Content {
  if (crash === 'process') return now;
  if (crash === 'holes') return { ...synced, size: now.size };
  if (crash === 'nothing' || crash === 'names') return synced;
  let content = synced;
  for (const change of unsynced) {
    const luck = random();
    if (luck < 0.4) continue;
    if ('size' in change || luck > 0.6) content = apply(content, change);
    else
      content = apply(content, {
        ...change,
        bytes: change.bytes.subarray(0, Math.floor(random() * change.bytes.length)),
      });
  }
  return content;
}

function bytesOf({ blocks, size }: Content, start: number, length: number): Buffer {
  const bytes = Buffer.alloc(Math.max(0, Math.min(length, size - start)));
  for (let done = 0; done < bytes.length;) {
    const offset = (start + done) % BLOCK;
    const count = Math.min(BLOCK - offset, bytes.length - done);
    blocks.get(Math.floor((start + done) / BLOCK))?.copy(bytes, done, offset, offset + count);
    done += count;
  }
  return bytes;
}

function infoOf({ kind, now, number, modifiedMs, changedMs }: Inode): FileInfo {
  const ownerId = process.getuid?.() ?? 0;
  const allocatedBytes = now.blocks.size * BLOCK;
  return { kind, size: now.size, allocatedBytes, modifiedMs, changedMs, inode: number, ownerId, mode: 0o700 };
}

/** xorshift32. */
function randomOf(seed: number): () => number {
  let state = (seed + 1) * 0x9e3779b1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
