import { parseDigest, type Digest } from '../base/digest.ts';
import type { FileInfo } from './files.ts';

/** A file that was hashed, by what would change if it became another, and whether its hash was its name. */
export interface HashedFile {
  readonly inode: number;
  readonly modifiedMs: number;
  readonly size: number;
  readonly good: boolean;
}

const FORMAT = 1;

export function isSameFile(hashed: HashedFile, info: FileInfo): boolean {
  return (
    info.kind === 'file' &&
    hashed.inode === info.inode &&
    hashed.modifiedMs === info.modifiedMs &&
    hashed.size === info.size
  );
}

/** The state file of a shelf whose blobs lie in `path`. */
export function encodeShelfState(path: string, hashed: ReadonlyMap<Digest, HashedFile>): Buffer {
  const files = Array.from(hashed, ([digest, { inode, modifiedMs, size, good }]) => [
    digest,
    inode,
    modifiedMs,
    size,
    good,
  ]);
  return Buffer.from(JSON.stringify({ format: FORMAT, path, files }));
}

/** What a state file says of `path`: nothing where it is about another path, undefined where it is not sound. Never throws. */
export function parseShelfState(bytes: Buffer, path: string): Map<Digest, HashedFile> | undefined {
  let state: unknown;
  try {
    state = JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
  if (typeof state !== 'object' || state === null) return undefined;
  const { format, path: itsPath, files } = state as Record<string, unknown>;
  if (format !== FORMAT || !Array.isArray(files)) return undefined;
  const hashed = new Map<Digest, HashedFile>();
  if (itsPath !== path) return hashed;
  for (const file of files) {
    const parsed = parseFile(file);
    if (!parsed) return undefined;
    hashed.set(...parsed);
  }
  return hashed;
}

function parseFile(file: unknown): [Digest, HashedFile] | undefined {
  if (!Array.isArray(file)) return undefined;
  const [name, inode, modifiedMs, size, good] = file as unknown[];
  const digest = typeof name === 'string' ? parseDigest(name) : undefined;
  if (!digest || typeof inode !== 'number' || typeof modifiedMs !== 'number') return undefined;
  if (typeof size !== 'number' || typeof good !== 'boolean') return undefined;
  return [digest, { inode, modifiedMs, size, good }];
}
