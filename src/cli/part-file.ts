import { createHash, type Hash } from 'node:crypto';
import { open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { describeError } from '../base/errors.ts';
import { MiB } from '../base/units.ts';
import { GetNotWritten } from './errors.ts';

const SUFFIX = 'hawker-part';
/** Of the file's own name in that of its part, in characters, so that the whole fits a file system's 255 bytes. */
const NAME_CHARACTERS = 40;
/** What is never resumed: nothing says which version it is of. */
const NO_VERSION = 'none';

/** A file on its way to where it is to be. */
export interface Part {
  /** Of which version what is here is, and how much of it; undefined: nothing that can be gone on with. */
  kept(): Promise<{ etag: string; size: number } | undefined>;
  /** Starts afresh, with a version's ETag (undefined: it has none). */
  begin(etag: string | undefined): Promise<void>;
  /** Goes on from `at`. */
  resume(at: number): Promise<void>;
  write(bytes: Buffer): Promise<void>;
  readonly size: number;
  /** SHA-256 of all of it, in hex. */
  readonly sha256: string;
  /** It is whole and right. */
  finish(): Promise<void>;
  discard(): Promise<void>;
  close(): Promise<void>;
}

/**
 * A file on its way to disk: beside the place where it is to be, under a name that tells which version it is of, until it is whole.
 * All of its methods throw GET_NOT_WRITTEN.
 */
export class PartFile implements Part {
  readonly #file: string;
  readonly #prefix: string;
  #path: string | undefined;
  #handle: FileHandle | undefined;
  #size = 0;
  #hash: Hash = createHash('sha256');

  private constructor(file: string) {
    this.#file = file;
    this.#prefix = `.${basename(file).slice(0, NAME_CHARACTERS)}.`;
  }

  /** For the file at an absolute path, with what an earlier try has left of it. */
  static async of(file: string): Promise<PartFile> {
    const part = new PartFile(file);
    await part.#guarded(async () => {
      const info = await stat(file).catch(() => undefined);
      if (info?.isDirectory()) throw new Error('it is a directory');
      part.#path = await part.#find();
    });
    return part;
  }

  /** Of which version what is here is, and how much of it; undefined: nothing that can be gone on with. */
  async kept(): Promise<{ etag: string; size: number } | undefined> {
    const version = this.#path
      ?.slice(0, -SUFFIX.length - 1)
      .split('.')
      .at(-1);
    if (!this.#path || version === undefined || version === NO_VERSION) return undefined;
    const size = this.#handle ? this.#size : ((await stat(this.#path).catch(() => undefined))?.size ?? 0);
    return size > 0 ? { etag: `"${version}"`, size } : undefined;
  }

  /** Starts afresh, with a version's ETag (undefined: it has none). */
  async begin(etag: string | undefined): Promise<void> {
    const version = etag?.replaceAll('"', '') ?? NO_VERSION;
    await this.discard();
    await this.#guarded(async () => {
      this.#path = join(dirname(this.#file), `${this.#prefix}${version}.${SUFFIX}`);
      this.#handle = await open(this.#path, 'w+', 0o666);
    });
  }

  /** Goes on from `at`: what is behind it is dropped. */
  async resume(at: number): Promise<void> {
    await this.#guarded(async () => {
      this.#handle ??= await open(this.#path!, 'r+');
      await this.#handle.truncate(at);
      this.#size = at;
      this.#hash = createHash('sha256');
      const buffer = Buffer.allocUnsafe(MiB);
      for (let from = 0; from < at;) {
        const { bytesRead } = await this.#handle.read(buffer, 0, Math.min(buffer.length, at - from), from);
        if (bytesRead === 0) throw new Error('what was kept of it cannot be read');
        this.#hash.update(buffer.subarray(0, bytesRead));
        from += bytesRead;
      }
    });
  }

  async write(bytes: Buffer): Promise<void> {
    await this.#guarded(async () => {
      for (let written = 0; written < bytes.length;) {
        const one = await this.#handle!.write(bytes, written, bytes.length - written, this.#size + written);
        written += one.bytesWritten;
      }
    });
    this.#hash.update(bytes);
    this.#size += bytes.length;
  }

  get size(): number {
    return this.#size;
  }

  /** SHA-256 of all of it, in hex. */
  get sha256(): string {
    return this.#hash.copy().digest('hex');
  }

  /** It is whole: it takes its place, and whatever was there goes. */
  async finish(): Promise<void> {
    await this.#guarded(async () => {
      await this.#handle!.sync();
      await this.close();
      await rename(this.#path!, this.#file);
    });
  }

  async discard(): Promise<void> {
    await this.close();
    if (this.#path !== undefined) await rm(this.#path, { force: true }).catch(() => undefined);
    this.#path = undefined;
    this.#size = 0;
    this.#hash = createHash('sha256');
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  async #find(): Promise<string | undefined> {
    const names = await readdir(dirname(this.#file));
    const found = names.find((name) => name.startsWith(this.#prefix) && name.endsWith(`.${SUFFIX}`));
    return found === undefined ? undefined : join(dirname(this.#file), found);
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (error instanceof GetNotWritten) throw error;
      throw new GetNotWritten({ file: this.#file, why: describeError(error) }, { cause: error });
    }
  }
}

/** SHA-256 of a file, in hex; undefined where it cannot be read. */
export async function sha256OfFile(path: string): Promise<string | undefined> {
  try {
    const handle = await open(path, 'r');
    const hash = createHash('sha256');
    for await (const chunk of handle.createReadStream({ highWaterMark: MiB }) as AsyncIterable<Buffer>)
      hash.update(chunk);
    return hash.digest('hex');
  } catch {
    return undefined;
  }
}
