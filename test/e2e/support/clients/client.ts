import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Published } from '../images.ts';

/** A real container client. */
export interface Client {
  readonly name: string;
  /** False for docker: its mirrors are for Docker Hub only. */
  readonly anyRegistry: boolean;
  /**
   * Forgets what it has, pulls through the mirror, and hashes what then lies on its disk: the digests, sorted. `host` is the
   * registry in the image's name.
   */
  pull(image: Published, host: string): Promise<string[]>;
  /** What `pull` must give. */
  expected(image: Published): string[];
}

/** A client whose parts of a pull can be had one by one. */
export interface StepwiseClient extends Client {
  /** Forgets what it has. */
  forget(): Promise<void>;
  /** Only pulls. */
  fetch(image: Pick<Published, 'repository' | 'tag'>, host: string): Promise<void>;
}

export async function hashFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return `sha256:${hash.digest('hex')}`;
}

/** The digests of a folder's files, for those that `pick` names. */
export async function hashFiles(dir: string, pick: (name: string) => boolean = () => true): Promise<string[]> {
  const names = (await readdir(dir)).filter(pick);
  const digests: string[] = [];
  for (const name of names) digests.push(await hashFile(join(dir, name)));
  return digests.sort();
}
