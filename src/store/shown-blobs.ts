import { open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseBlobId, type Digest } from '../base/digest.ts';
import { formatShown, parseShown, type Shown } from '../base/shown.ts';
import { LAYOUT_VERSION } from './layout.ts';
import { APPEND, FILE_MODE, readLines } from './note-file.ts';

/** The oldest are forgotten: their registries have to show anew that they have them. */
export const MAX_SHOWN_BLOBS = 100_000;

/**
 * Which places have shown that they have which blobs. A file of one line a note, of which the last of a blob counts. What cannot be
 * read or written is unknown, so that nothing is given away on its account.
 */
export class ShownBlobs {
  readonly #path: string;
  readonly #max: number;
  readonly #blobs = new Map<Digest, Shown>();
  #lines = 0;
  /** Lines to be written. */
  #next: string[] = [];
  #writing: Promise<void> | undefined;
  /** A line could not be written: the next note writes all of them. */
  #isBehind = false;

  private constructor(path: string, max: number) {
    this.#path = path;
    this.#max = max;
    this.reread();
  }

  static open(storeDir: string, max = MAX_SHOWN_BLOBS): ShownBlobs {
    return new ShownBlobs(join(storeDir, LAYOUT_VERSION, 'shown-blobs'), max);
  }

  /** Reads again what another process has noted meanwhile. */
  reread(): void {
    const lines = read(this.#path);
    for (const line of lines) {
      const [id = '', ...words] = line.split(' ');
      const [digest, shown] = [parseBlobId(id), parseShown(words.join(' '))];
      // A digest alone: it is forgotten. So it is where a full disk took a part of a line.
      if (digest && shown) this.#set(digest, shown);
      else if (digest) this.#blobs.delete(digest);
    }
    this.#lines = lines.length;
  }

  get(digest: Digest): Shown | undefined {
    return this.#blobs.get(digest);
  }

  /** It counts at once; resolves when it is in the file, or cannot be. */
  async note(digest: Digest, shown: Shown): Promise<void> {
    const known = this.#blobs.get(digest);
    if (known && formatShown(known) === formatShown(shown)) return this.#writing;
    this.#set(digest, shown);
    return this.#write(`${digest} ${formatShown(shown)}`);
  }

  /** Nothing of it is here any more. */
  async forget(digest: Digest): Promise<void> {
    if (this.#blobs.delete(digest)) await this.#write(digest);
  }

  /** Resolves when all that was noted is in the file, or cannot be. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  #set(digest: Digest, shown: Shown): void {
    this.#blobs.delete(digest);
    this.#blobs.set(digest, shown);
    if (this.#blobs.size > this.#max) this.#blobs.delete(this.#blobs.keys().next().value!);
  }

  /** Lines are gathered while others are written. */
  #write(line: string): Promise<void> {
    this.#next.push(line);
    this.#writing ??= this.#writeNext();
    return this.#writing;
  }

  async #writeNext(): Promise<void> {
    while (this.#next.length > 0) {
      const lines = this.#next;
      this.#next = [];
      try {
        if (this.#isBehind || this.#lines >= 2 * this.#max) await this.#writeAll();
        else await this.#append(lines);
        this.#isBehind = false;
      } catch {
        this.#isBehind = true;
      }
    }
    this.#writing = undefined;
  }

  async #append(lines: readonly string[]): Promise<void> {
    const file = await open(this.#path, APPEND, FILE_MODE);
    try {
      this.#lines += lines.length;
      // On lines of their own, whatever a full disk has left of the one before.
      await file.writeFile(`\n${lines.join('\n')}\n`);
    } finally {
      await file.close();
    }
  }

  async #writeAll(): Promise<void> {
    const next = `${this.#path}.new`;
    const lines = Array.from(this.#blobs, ([digest, shown]) => `${digest} ${formatShown(shown)}\n`);
    await rm(next, { force: true });
    await writeFile(next, lines.join(''), { mode: FILE_MODE, flag: 'wx' });
    await rename(next, this.#path);
    this.#lines = lines.length;
  }
}

function read(path: string): string[] {
  try {
    return readLines(path).filter((line) => line !== '');
  } catch {
    return [];
  }
}
