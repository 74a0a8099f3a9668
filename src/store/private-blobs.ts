import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDigest, type Digest } from '../base/digest.ts';
import { codeOf } from '../base/errors.ts';
import { LAYOUT_VERSION } from './layout.ts';

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
      writeFileSync(`${path}.new`, digests.map((digest) => `${digest}\n`).join(''), { mode: 0o600, flush: true });
      renameSync(`${path}.new`, path);
      return new PrivateBlobs(path, new Set(digests));
    } catch {
      return new PrivateBlobs(path, new Set(noted));
    }
  }

  has(digest: Digest): boolean {
    return this.#digests.has(digest);
  }

  /** Throws the file's error: what cannot be noted must not be kept. */
  add(digest: Digest): void {
    if (this.#digests.has(digest)) return;
    // On a line of its own, whatever a full disk has left of the one before.
    appendFileSync(this.#path, `\n${digest}\n`, { mode: 0o600 });
    this.#digests.add(digest);
  }
}

function read(path: string): Digest[] {
  try {
    const lines = readFileSync(path, 'utf8').split('\n');
    return lines.map(parseDigest).filter((digest) => digest !== undefined);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
