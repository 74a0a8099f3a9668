import { open } from 'node:fs/promises';
import { nodeFiles, type FileInfo, type FilePort, type OpenFile } from '../../src/store/files.ts';
import { PATIENCE_MS } from '../support/patience.ts';

/** One call of the port: `op` as `rename`, or `file.write` for a call on an open file. */
export interface Call {
  readonly index: number;
  readonly op: string;
  readonly path: string;
}

export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: as the test wants it`), { code });
}

/** Waits until a condition holds, at most so many milliseconds. */
export async function until(condition: () => boolean, ms = PATIENCE_MS): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${condition.toString()}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 1);
    });
  }
}

/** A promise that resolves when it is told to. */
export function gate(): { promise: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

/** The real file system, on which calls fail as a test decides, and which can die at any call as a killed process does. */
export class FaultyFiles implements FilePort {
  readonly calls: Call[] = [];
  /** Those of them that are done. */
  readonly done: Call[] = [];
  /** The error for a call, or undefined to let it through. */
  fault: (call: Call) => Error | undefined = () => undefined;
  /** What a call has to wait for before it is made. */
  hold: (call: Call) => Promise<void> | undefined = () => undefined;
  /** The call before which the process is gone; nothing reaches the disk from there on (of a write perhaps the first half). */
  dieAt = Infinity;
  freeDiskBytes: number | undefined;
  /** Times that files are said to have, by path. */
  readonly #times = new Map<string, Pick<FileInfo, 'modifiedMs' | 'changedMs'>>();

  get isDead(): boolean {
    return this.calls.length > this.dieAt;
  }

  /** Flips a bit of a file's byte as a bad disk does: nothing that `stat` says is another afterwards. */
  async rot(path: string, position: number): Promise<void> {
    const { modifiedMs, changedMs } = this.#said(path, await nodeFiles.lstat(path));
    const file = await open(path, 'r+');
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, position);
    byte[0]! ^= 1;
    await file.write(byte, 0, 1, position);
    await file.close();
    this.#times.set(path, { modifiedMs, changedMs });
  }

  #said(path: string, info: FileInfo): FileInfo {
    return { ...info, ...this.#times.get(path) };
  }

  async open(path: string, mode: 'read' | 'update' | 'create'): Promise<OpenFile> {
    this.#enter(`open ${mode}`, path);
    return this.#fileOf(path, await nodeFiles.open(path, mode));
  }

  openNow(path: string): OpenFile {
    this.#enter('open read', path);
    return this.#fileOf(path, nodeFiles.openNow(path));
  }

  #fileOf(path: string, file: OpenFile): OpenFile {
    return {
      readNow: (buffer, position) => {
        this.#enter('file.read', path);
        return file.readNow(buffer, position);
      },
      statNow: () => {
        this.#enter('file.stat', path);
        return this.#said(path, file.statNow());
      },
      read: (buffer, position) => this.#run('file.read', path, () => file.read(buffer, position)),
      write: async (buffer, position) => {
        const dies = this.calls.length === this.dieAt;
        if (dies) await file.write(buffer.subarray(0, buffer.byteLength >> 1), position);
        await this.#run('file.write', path, () => file.write(buffer, position));
      },
      stat: () => this.#run('file.stat', path, async () => this.#said(path, await file.stat())),
      truncate: (length) => this.#run('file.truncate', path, () => file.truncate(length)),
      sync: () => this.#run('file.sync', path, () => file.sync()),
      setModified: (ms) => this.#run('file.setModified', path, () => file.setModified(ms)),
      close: async () => {
        await file.close();
        this.#enter('file.close', path);
      },
      closeNow: async () => {
        await file.closeNow();
        this.#enter('file.close', path);
      },
    };
  }

  lstat = (path: string) => this.#run('lstat', path, async () => this.#said(path, await nodeFiles.lstat(path)));
  readdir = (path: string) => this.#run('readdir', path, () => nodeFiles.readdir(path));
  mkdir = (path: string) => this.#run('mkdir', path, () => nodeFiles.mkdir(path));
  rename = (from: string, to: string) => this.#run('rename', to, () => nodeFiles.rename(from, to));
  unlink = (path: string) =>
    this.#run('unlink', path, () => {
      this.#times.delete(path);
      return nodeFiles.unlink(path);
    });
  syncDirectory = (path: string) => this.#run('syncDirectory', path, () => nodeFiles.syncDirectory(path));
  freeBytes = (path: string) =>
    this.#run('freeBytes', path, async () => this.freeDiskBytes ?? (await nodeFiles.freeBytes(path)));

  async #run<T>(op: string, path: string, work: () => Promise<T>): Promise<T> {
    const call = this.#enter(op, path);
    await this.hold(call);
    const result = await work();
    this.done.push(call);
    return result;
  }

  #enter(op: string, path: string): Call {
    const call = { index: this.calls.length, op, path };
    this.calls.push(call);
    if (call.index >= this.dieAt) throw systemError('EKILLED');
    const error = this.fault(call);
    if (error) throw error;
    return call;
  }
}
