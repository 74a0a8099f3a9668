import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Published } from '../images.ts';
import type { User } from '../private-origin.ts';

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

/** How a client is set up for a mirror beside the usual. */
export interface Setup {
  /** Of its folder. */
  readonly name?: string;
  /** Put before its command: where it runs. */
  readonly by?: readonly string[];
  /** What it logs in with at the mirror. */
  readonly login?: User;
  /** The mirror's listener is for Docker Hub alone. */
  readonly bound?: boolean;
  /** Its folder of certificates: `ca.crt`, `client.cert` and `client.key`. */
  readonly certificates?: string;
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

/** `Basic …`, as a header has it. */
export function basicOf({ name, password }: User): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}

/** A command that is run by another. */
export function runBy(by: readonly string[], program: string, args: readonly string[]): [string, string[]] {
  const [first, ...rest] = [...by, program, ...args];
  return [first!, rest];
}

/** As `podman login` keeps it. */
export function authJson(host: string, login: User | undefined): string {
  return JSON.stringify(login ? { auths: { [host]: { auth: basicOf(login).slice('Basic '.length) } } } : {});
}
