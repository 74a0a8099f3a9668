import { closeSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseBlobId, type Digest } from '../base/digest.ts';
import { codeOf } from '../base/errors.ts';
import { LAYOUT_VERSION } from './layout.ts';
import { APPEND, FILE_MODE, readLines } from './note-file.ts';

/**
 * Which blobs were read with a credential: where the cluster has no secret these stay on this node, and are neither announced nor
 * given to other proxies. A file of digests, one a line, appended to before the first byte of such a blob is kept.
 */
export class PrivateBlobs {
  readonly #path: string;
  readonly #digests: Set<Digest>;

  private constructor(path: string, digests: Set<Digest>) {
    this.#path = path;
    this.#digests = digests;
  }

  /** `isHere`: those that are not are forgotten. Throws the error of reading the file. */
  static open(storeDir: string, isHere: (digest: Digest) => boolean): PrivateBlobs {
    const path = join(storeDir, LAYOUT_VERSION, 'private-blobs');
    const noted = read(path);
    const digests = noted.filter(isHere);
    if (digests.length === noted.length) return new PrivateBlobs(path, new Set(digests));
    try {
      // Never in place: on a full disk the old file would be gone, and with it what must not be shared.
      rmSync(`${path}.new`, { force: true });
      writeFileSync(`${path}.new`, digests.map((digest) => `${digest}\n`).join(''), {
        mode: FILE_MODE,
        flag: 'wx',
        flush: true,
      });
      renameSync(`${path}.new`, path);
      return new PrivateBlobs(path, new Set(digests));
    } catch {
      return new PrivateBlobs(path, new Set(noted));
    }
  }

  /** Reads again what another process has noted meanwhile. Throws the error of reading the file. */
  reread(): void {
    for (const digest of read(this.#path)) this.#digests.add(digest);
  }

  has(digest: Digest): boolean {
    return this.#digests.has(digest);
  }

  /** Throws the file's error: what cannot be noted must not be kept. */
  add(digest: Digest): void {
    if (this.#digests.has(digest)) return;
    // On a line of its own, whatever a full disk has left of the one before.
    const file = openSync(this.#path, APPEND, FILE_MODE);
    try {
      const line = Buffer.from(`\n${digest}\n`);
      if (writeSync(file, line) < line.length) throw new Error(`${this.#path}: the disk took a part of a line only`);
    } finally {
      closeSync(file);
    }
    this.#digests.add(digest);
  }
}

function read(path: string): Digest[] {
  try {
    return readLines(path)
      .map(parseBlobId)
      .filter((digest) => digest !== undefined);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
