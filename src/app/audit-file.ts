import { constants, open, type FileHandle } from 'node:fs/promises';
import { describeError } from '../base/errors.ts';
import { AuditUnusable } from './errors.ts';

/** Lines that wait for the disk, in bytes; more are lost. */
export const MAX_WAITING_BYTES = 1024 * 1024;
const MODE = 0o600;
const FOR_OTHERS = 0o077;
/** Never through a link, and never waiting for somebody at the other end of a pipe. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface AuditFileOptions {
  /** Lines could not be written. */
  readonly onLost: (lines: number, error: unknown) => void;
  /** Lines are written again after some were lost. */
  readonly onWritten: () => void;
}

/** A file that lines are added to, in their order, while nobody waits for it. Its size is for others to bound (logrotate). */
export class AuditFile {
  readonly #options: AuditFileOptions;
  #file: FileHandle;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  /** The last write broke off amid a line. */
  #isTorn = false;
  #hasLost = false;

  private constructor(file: FileHandle, options: AuditFileOptions) {
    this.#file = file;
    this.#options = options;
  }

  /** Rejects with AUDIT_UNUSABLE. */
  static async open(path: string, options: AuditFileOptions): Promise<AuditFile> {
    return new AuditFile(await openPrivate(path), options);
  }

  /** Goes on in the file that `path` is now; rejects with AUDIT_UNUSABLE, going on in the one it has. */
  async reopen(path: string): Promise<void> {
    const file = await openPrivate(path);
    await this.#idle();
    const before = this.#file;
    this.#file = file;
    this.#isTorn = false;
    await before.close();
  }

  /** Never throws. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.#waitingBytes + bytes > MAX_WAITING_BYTES) {
      this.#lost(1, new Error('the disk takes the lines too slowly'));
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += bytes;
    this.#writing ??= this.#writeAll();
  }

  /** When what was to be written is, as far as it can be. */
  async close(): Promise<void> {
    await this.#idle();
    await this.#file.close();
  }

  async #idle(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async #writeAll(): Promise<void> {
    // What else comes in this turn of the event loop is written with it.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      await this.#writeLines(lines);
    }
    this.#writing = undefined;
  }

  async #writeLines(lines: readonly string[]): Promise<void> {
    const bytes = Buffer.from((this.#isTorn ? '\n' : '') + lines.join(''));
    let done = 0;
    try {
      while (done < bytes.length) done += (await this.#file.write(bytes, done)).bytesWritten;
      this.#isTorn = false;
      if (this.#hasLost) this.#options.onWritten();
      this.#hasLost = false;
    } catch (error) {
      const written = bytes.toString('utf8', 0, done);
      const whole = written.split('\n').length - 1 - (this.#isTorn && done > 0 ? 1 : 0);
      if (done > 0) this.#isTorn = !written.endsWith('\n');
      this.#lost(lines.length - whole, error);
    }
  }

  #lost(lines: number, error: unknown): void {
    this.#hasLost = true;
    this.#options.onLost(lines, error);
  }
}

/** What is there stays; it must be an ordinary file of this user, and becomes one that nobody else reads. */
async function openPrivate(path: string): Promise<FileHandle> {
  const unusable = (why: string, cause?: unknown) => new AuditUnusable({ path, why }, { cause });
  let file: FileHandle | undefined;
  try {
    file = await open(path, FLAGS, MODE);
    const { mode, uid, nlink } = await file.stat().then((stat) => {
      if (!stat.isFile()) throw unusable('it is no ordinary file');
      return stat;
    });
    if (nlink > 1) throw unusable('it has another name too (a hard link)');
    if (uid !== process.geteuid?.()) throw unusable(`it belongs to another user (uid ${uid})`);
    if ((mode & FOR_OTHERS) !== 0) await file.chmod(MODE);
    return file;
  } catch (error) {
    await file?.close();
    if (error instanceof AuditUnusable) throw error;
    throw unusable(describeError(error), error);
  }
}
