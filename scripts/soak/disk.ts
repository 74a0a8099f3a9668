import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';

const BLOCK_BYTES = 512;

/** All files under a directory; what goes away meanwhile is left out. */
export async function filesIn(dir: string): Promise<{ path: string; diskBytes: number; isFile: boolean }[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  const files: { path: string; diskBytes: number; isFile: boolean }[] = [];
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name);
    const info = await lstat(path).catch(() => undefined);
    if (info) files.push({ path, diskBytes: info.blocks * BLOCK_BYTES, isFile: info.isFile() });
  }
  return files;
}

/** What a store's blobs, whole and coming in, take on the disk. */
export async function storeBytes(storeDir: string): Promise<number> {
  let bytes = 0;
  for (const part of ['blobs', 'incoming']) {
    for (const { path, diskBytes } of await filesIn(join(storeDir, 'v1', part)))
      if (!path.endsWith('.journal')) bytes += diskBytes;
  }
  return bytes;
}

/** When the blob's file was published in that store (its time of change, in milliseconds since 1970); undefined: it is not there. */
export async function heldSince(storeDir: string, digest: string): Promise<number | undefined> {
  const hex = digest.slice('sha256:'.length);
  const info = await lstat(join(storeDir, 'v1/blobs/sha256', hex.slice(0, 2), hex)).catch(() => undefined);
  return info?.ctimeMs;
}

const KNOWN = [
  /^v1\/blobs\/sha256\/([0-9a-f]{2})\/\1[0-9a-f]{62}$/,
  /^v1\/incoming\/sha256-[0-9a-f]{64}(\.journal)?$/,
  /^v1\/crcs\/sha256-[0-9a-f]{64}\.journal$/,
  /^v1\/refs\/(?!.*\.new$)[^/]+$/,
  /^v1\/(peer-id|private-blobs|shown-blobs|verified)$/,
];
/** The lock is known to be stale when nobody listens on it: it stays. */
const LOCK = /^lock-\d+\.sock$/;

/** What is wrong in the store of a proxy that has ended: files of no known kind, halves of pairs, blobs of other bytes. */
export async function faultsOfStore(storeDir: string): Promise<string[]> {
  const files = await filesIn(storeDir);
  const paths = new Set(files.map(({ path }) => path));
  const faults: string[] = [];
  for (const { path, isFile } of files) {
    const name = relative(storeDir, path);
    if (!isFile && LOCK.test(name)) continue;
    if (!isFile || !KNOWN.some((known) => known.test(name))) faults.push(`left over: ${name}`);
    else if (name.startsWith('v1/incoming/') && !name.endsWith('.journal') && !paths.has(`${path}.journal`))
      faults.push(`without its journal: ${name}`);
    else if (name.startsWith('v1/blobs/') && (await hashOf(path)) !== basename(path))
      faults.push(`other bytes: ${name}`);
  }
  return faults;
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
