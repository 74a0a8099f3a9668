import { constants, type Stats } from 'node:fs';
import * as fs from 'node:fs/promises';

/**
 * What the store asks of a file system: narrow, so that a test can let any one call fail, or let the process "die" at it.
 * Everything rejects with the system's own error (`code`: ENOENT, ENOSPC, …). Times are milliseconds since 1970.
 */
export interface FilePort {
  /** `read`: must exist. `update`: to read and write, must exist. `create`: to read and write, made empty. No symlink is followed. */
  open(path: string, mode: 'read' | 'update' | 'create'): Promise<OpenFile>;
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
  /** Writes all of the buffer. */
  write(buffer: Uint8Array, position: number): Promise<void>;
  stat(): Promise<FileInfo>;
  truncate(length: number): Promise<void>;
  sync(): Promise<void>;
  setModified(ms: number): Promise<void>;
  close(): Promise<void>;
}

/** An open file, for who only reads it. */
export type ReadableFile = Pick<OpenFile, 'read' | 'close'>;

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
    return new NodeFile(await fs.open(path, FLAGS[mode], FILE_MODE));
  },
  async lstat(path) {
    return infoOf(await fs.lstat(path));
  },
  async readdir(path) {
    const entries = await fs.readdir(path, { withFileTypes: true });
    return entries.map((entry) => ({ name: entry.name, kind: kindOf(entry) }));
  },
  async mkdir(path) {
    await fs.mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
  },
  rename: (from, to) => fs.rename(from, to),
  unlink: (path) => fs.unlink(path),
  async syncDirectory(path) {
    const directory = await fs.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  async freeBytes(path) {
    const { bavail, bsize } = await fs.statfs(path);
    return bavail * bsize;
  },
};

class NodeFile implements OpenFile {
  readonly #handle: fs.FileHandle;

  constructor(handle: fs.FileHandle) {
    this.#handle = handle;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const { bytesRead } = await this.#handle.read(buffer, 0, buffer.byteLength, position);
    return bytesRead;
  }

  async write(buffer: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < buffer.byteLength;) {
      const { bytesWritten } = await this.#handle.write(buffer, done, buffer.byteLength - done, position + done);
      done += bytesWritten;
    }
  }

  async stat(): Promise<FileInfo> {
    return infoOf(await this.#handle.stat());
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length);
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  setModified(ms: number): Promise<void> {
    return this.#handle.utimes(ms / 1000, ms / 1000);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

function kindOf(entry: { isFile(): boolean; isDirectory(): boolean }): FileKind {
  return entry.isFile() ? 'file' : entry.isDirectory() ? 'directory' : 'other';
}

function infoOf(stats: Stats): FileInfo {
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
