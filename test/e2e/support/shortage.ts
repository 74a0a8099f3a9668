import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Hawker, Role } from './hawker.ts';
import type { Origin } from './origin.ts';
import type { Rig } from './rig.ts';

export const REPOSITORY = 'library/many';
/** A node by itself. */
export const UP: Role = { command: 'up', config: { supernode: { listen: '127.0.0.1:0' } } };

interface Status {
  readonly pressure: { level: string; reasons: { what: string; message: string }[]; since: string };
}

export async function statusOf(hawker: Hawker): Promise<Status> {
  return (await (await fetch(`http://${hawker.api}/api/v1/status`)).json()) as Status;
}

export const levelOf = async (hawker: Hawker) => (await statusOf(hawker)).pressure.level;

/** Blobs of random bytes in the repository; their digests. */
export async function publishBlobs(rig: Rig, origin: Origin, count: number, bytes: number): Promise<string[]> {
  const digests: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const file = join(rig.dir, 'blob');
    await writeFile(file, randomBytes(bytes));
    digests.push(await origin.pushBlob(REPOSITORY, file));
    await rm(file);
  }
  return digests;
}
