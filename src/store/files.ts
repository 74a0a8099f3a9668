import * as fs from 'node:fs';
import * as fsp from 'node:fs/promises';

const { constants } = fs;

/**
 * What the store asks of a file system: narrow, so that a test can let any one call fail, or let the process "die" at it.
 * Everything rejects with the system's own error (`code`: ENOENT, ENOSPC, …). Times are milliseconds since 1970.
 */
export interface FilePort {
  /** `read`: must exist. `update`: to read and write, must exist. `create`: to read and write, made empty. No symlink is followed. */
  open(path: string, mode: 'read' | 'update' | 'create'): Promise<OpenFile>;
  /** As `open` to read, on this thread: for what the kernel has at hand. Throws. */
  openNow(path: string): OpenFile;
  /** Does not follow a symlink. */
  lstat(path: string): Promise<FileInfo>;
  readdir(path: string): Promise<{ readonly name: string; readonly kind: FileKind }[]>;
  /** Makes a directory for the owner only; what is there already is left as it is. */
  mkdir(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /** Bytes that this user may still write on the disk that holds `path`. */
  freeBytes(path: string): Promise<number>;
}

export interface OpenFile {
  /** Bytes read, 0 at the end. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** As `read`, on this thread. Throws. */
  readNow(buffer: Uint8Array, position: number): number;
  /** Writes all of the buffer. */
  write(buffer: Uint8Array, position: number): Promise<void>;
  stat(): Promise<FileInfo>;
  /** As `stat`, on this thread, and without a wait: the kernel keeps what it says of an open file. Throws. */
  statNow(): FileInfo;
  truncate(length: number): Promise<void>;
  sync(): Promise<void>;
  setModified(ms: number): Promise<void>;
  /** Waits for the calls that are under way. */
  close(): Promise<void>;
  /**
   * As `close`, on this thread where no call is under way: for what was only read, and still has its name. To free the blocks of a
   * file that has none any more takes long.
   */
  closeNow(): Promise<void>;
}

/** An open file, for who only reads it; without `readNow` where it takes more than that to read. */
export type ReadableFile = Pick<OpenFile, 'read' | 'close' | 'closeNow'> & Partial<Pick<OpenFile, 'readNow'>>;

export type FileKind = 'file' | 'directory' | 'other';

export interface FileInfo {
  readonly kind: FileKind;
  readonly size: number;
  /** What the file takes on the disk; less than its size where it has holes. */
  readonly allocatedBytes: number;
  readonly modifiedMs: number;
  /** When anything of it was changed, its name and times too (`st_ctim`): nobody can set it. */
  readonly changedMs: number;
  readonly inode: number;
  readonly ownerId: number;
  readonly mode: number;
}

const FLAGS = {
  read: constants.O_RDONLY | constants.O_NOFOLLOW,
  update: constants.O_RDWR | constants.O_NOFOLLOW,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
};
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;
/** The unit of `st_blocks` (POSIX leaves it open; Linux and macOS use 512). */
const STAT_BLOCK_BYTES = 512;

export const nodeFiles: FilePort = {
  async open(path, mode) {
    return new NodeFile(await inPool<number>((done) => fs.open(path, FLAGS[mode], FILE_MODE, done)));
  },
  openNow: (path) => new NodeFile(fs.openSync(path, FLAGS.read)),
  async lstat(path) {
    return infoOf(await fsp.lstat(path));
  },
  async readdir(path) {
    const entries = await fsp.readdir(path, { withFileTypes: true });
    return entries.map((entry) => ({ name: entry.name, kind: kindOf(entry) }));
  },
  async mkdir(path) {
    await fsp.mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
  },
  rename: (from, to) => fsp.rename(from, to),
  unlink: (path) => fsp.unlink(path),
  async syncDirectory(path) {
    const directory = await fsp.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  async freeBytes(path) {
    const { bavail, bsize } = await fsp.statfs(path);
    return bavail * bsize;
  },
};

/**
 * A file by its descriptor, without a `FileHandle` (of a turn through the thread pool, a promise and an object the latter two cost a
 * fifth). Its close waits for the calls that are under way: the kernel gives the number to another file at once.
 */
class NodeFile implements OpenFile {
  readonly #fd: number;
  #running = 0;
  #closing: Promise<void> | undefined;
  #whenIdle: () => void = () => undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return this.#call((done) => fs.read(this.#fd, buffer, 0, buffer.byteLength, position, done));
  }

  readNow(buffer: Uint8Array, position: number): number {
    this.#mustBeOpen();
    return fs.readSync(this.#fd, buffer, 0, buffer.byteLength, position);
  }

  async write(buffer: Uint8Array, position: number): Promise<void> {
    for (let at = 0; at < buffer.byteLength;) {
      const from = at;
      at += await this.#call<number>((done) =>
        fs.write(this.#fd, buffer, from, buffer.byteLength - from, position + from, done),
      );
    }
  }

  async stat(): Promise<FileInfo> {
    return infoOf(await this.#call<fs.Stats>((done) => fs.fstat(this.#fd, done)));
  }

  statNow(): FileInfo {
    this.#mustBeOpen();
    return infoOf(fs.fstatSync(this.#fd));
  }

  truncate(length: number): Promise<void> {
    return this.#call((done) => fs.ftruncate(this.#fd, length, (error) => done(error, undefined)));
  }

  sync(): Promise<void> {
    return this.#call((done) => fs.fsync(this.#fd, (error) => done(error, undefined)));
  }

  setModified(ms: number): Promise<void> {
    return this.#call((done) => fs.futimes(this.#fd, ms / 1000, ms / 1000, (error) => done(error, undefined)));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  closeNow(): Promise<void> {
    if (this.#closing || this.#running > 0) return this.close();
    this.#closing = Promise.resolve();
    fs.closeSync(this.#fd);
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#running > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    await inPool<void>((done) => fs.close(this.#fd, (error) => done(error ?? null, undefined)));
  }

  async #call<T>(work: (done: Done<T>) => void): Promise<T> {
    this.#mustBeOpen();
    this.#running += 1;
    try {
      return await inPool(work);
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#whenIdle();
    }
  }

  #mustBeOpen(): void {
    if (this.#closing) throw Object.assign(new Error('EBADF: the file is closed'), { code: 'EBADF' });
  }
}

type Done<T> = (error: NodeJS.ErrnoException | null, value: T) => void;

/** What a call of Node's callback API gives, which the thread pool carries out. */
function inPool<T>(work: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    work((error, value) => {
      if (error) reject(error);
      else resolve(value);
    });
  });
}

function kindOf(entry: { isFile(): boolean; isDirectory(): boolean }): FileKind {
  return entry.isFile() ? 'file' : entry.isDirectory() ? 'directory' : 'other';
}

function infoOf(stats: fs.Stats): FileInfo {
  return {
    kind: kindOf(stats),
    size: stats.size,
    allocatedBytes: stats.blocks * STAT_BLOCK_BYTES,
    modifiedMs: stats.mtimeMs,
    changedMs: stats.ctimeMs,
    inode: stats.ino,
    ownerId: stats.uid,
    mode: stats.mode,
  };
}
