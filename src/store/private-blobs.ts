import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDigest, type Digest } from '../base/digest.ts';
import { codeOf } from '../base/errors.ts';
import { LAYOUT_VERSION } from './layout.ts';

/**
 * Which blobs were read with a configured credential: these stay on this node, and are neither announced nor given to other
 * proxies. A file of digests, one a line, appended to before the first byte of such a blob is kept.
 */
export class PrivateBlobs {
  readonly #path: string;
  readonly #digests: Set<Digest>;

  private constructor(path: string, digests: Set<Digest>) {
    this.#path = path;
    this.#digests = digests;
  }

  /** `isHere`: those that are not are forgotten. Throws the file's error. */
  static open(storeDir: string, isHere: (digest: Digest) => boolean): PrivateBlobs {
    const path = join(storeDir, LAYOUT_VERSION, 'private-blobs');
    const digests = read(path).filter(isHere);
    writeFileSync(path, digests.map((digest) => `${digest}\n`).join(''), { mode: 0o600 });
    return new PrivateBlobs(path, new Set(digests));
  }

  has(digest: Digest): boolean {
    return this.#digests.has(digest);
  }

  /** Throws the file's error: what cannot be noted must not be kept. */
  add(digest: Digest): void {
    if (this.#digests.has(digest)) return;
    appendFileSync(this.#path, `${digest}\n`, { mode: 0o600 });
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
