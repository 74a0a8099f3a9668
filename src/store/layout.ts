import { isAbsolute, join, parse } from 'node:path';
import { digestHex, digestKind, parseBlobId, type Digest, type DigestKind } from '../base/digest.ts';
import { codeOf, describeError } from '../base/errors.ts';
import { StoreDirUnusable } from './errors.ts';
import type { FilePort } from './files.ts';

/** The version of what lies on disk. Another version's directory beside it is left alone. */
export const LAYOUT_VERSION = 'v1';
export const KINDS: readonly DigestKind[] = ['sha256', 'sha512', 'file'];

const PREFIX_LENGTH = 2;
const PREFIX = /^[0-9a-f]{2}$/;
const JOURNAL_SUFFIX = '.journal';
const INCOMING_NAME = /^([a-z0-9]+)-([0-9a-f]+)(\.journal)?$/;
const WRITABLE_BY_OTHERS = 0o022;

/** Where things lie in a store directory. Paths are made of parsed digests only. */
export class Layout {
  readonly dir: string;
  readonly version: string;
  readonly blobs: string;
  readonly incoming: string;
  readonly refs: string;
  readonly crcsDir: string;
  /** When each blob was last verified. */
  readonly verified: string;

  constructor(dir: string) {
    this.dir = dir;
    this.version = join(dir, LAYOUT_VERSION);
    this.blobs = join(this.version, 'blobs');
    this.incoming = join(this.version, 'incoming');
    this.refs = join(this.version, 'refs');
    this.crcsDir = join(this.version, 'crcs');
    this.verified = join(this.version, 'verified');
  }

  /** `blobs/sha256`: holds a directory for each first two hex digits. */
  kindDir(kind: DigestKind): string {
    return join(this.blobs, kind);
  }

  blob(digest: Digest): string {
    const hex = digestHex(digest);
    return join(this.kindDir(digestKind(digest)), hex.slice(0, PREFIX_LENGTH), hex);
  }

  incomingData(digest: Digest): string {
    return join(this.incoming, `${digestKind(digest)}-${digestHex(digest)}`);
  }

  incomingJournal(digest: Digest): string {
    return this.incomingData(digest) + JOURNAL_SUFFIX;
  }

  /** The journal of a blob that was published. */
  crcs(digest: Digest): string {
    return join(this.crcsDir, `${digestKind(digest)}-${digestHex(digest)}${JOURNAL_SUFFIX}`);
  }
}

/** Whether a directory of a kind may hold blobs: it is named for their first two digits. */
export function isPrefix(name: string): boolean {
  return PREFIX.test(name);
}

/** The digest of the file `name` in the directory `prefix` of a kind; undefined: not a blob of ours. */
export function digestOfBlobName(kind: DigestKind, prefix: string, name: string): Digest | undefined {
  return prefix.length === PREFIX_LENGTH && name.startsWith(prefix) ? parseBlobId(`${kind}:${name}`) : undefined;
}

/** What the file `name` in the directory of incoming blobs, or of kept journals, is; undefined: not ours. */
export function parseIncomingName(name: string): { digest: Digest; part: 'data' | 'journal' } | undefined {
  const match = INCOMING_NAME.exec(name);
  const digest = match && parseBlobId(`${match[1]}:${match[2]}`);
  return digest ? { digest, part: match[3] === undefined ? 'data' : 'journal' } : undefined;
}

/**
 * Makes the directories of a store where they are missing, and checks that each is a real directory of ours (no symlink)
 * that nobody else can write to. Throws STORE_DIR_UNUSABLE.
 */
export async function prepareLayout(files: FilePort, dir: string): Promise<Layout> {
  if (!isAbsolute(dir)) throw new StoreDirUnusable({ dir, why: 'it is not an absolute path' });
  if (parse(dir).root === dir) throw new StoreDirUnusable({ dir, why: 'it is the root of the file system' });
  const layout = new Layout(dir);
  const kindDirs = KINDS.map((kind) => layout.kindDir(kind));
  for (const part of [dir, layout.version, layout.blobs, ...kindDirs, layout.incoming, layout.crcsDir, layout.refs]) {
    await prepareDirectory(files, dir, part);
  }
  return layout;
}

/** As `prepareLayout`, for one directory below `dir`. */
export async function prepareDirectory(files: FilePort, dir: string, part: string): Promise<void> {
  let info = await files.lstat(part).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw unusable(dir, `${part}: ${describeError(error)}`, error);
  });
  if (!info) {
    try {
      await files.mkdir(part);
      info = await files.lstat(part);
    } catch (error) {
      throw unusable(dir, `making ${part} failed: ${describeError(error)}`, error);
    }
  }
  if (info.kind !== 'directory') {
    throw unusable(
      dir,
      `${part} is not a directory (symlinks are not followed)`,
      undefined,
      'give store.dir the real path of a directory',
    );
  }
  const userId = process.getuid?.() ?? info.ownerId;
  if (info.ownerId !== userId) {
    const todo = `chown -R ${userId} ${dir}, or give store.dir another directory`;
    throw unusable(
      dir,
      `${part} belongs to user ${info.ownerId}, not to ${userId} that Hawker runs as`,
      undefined,
      todo,
    );
  }
  if ((info.mode & WRITABLE_BY_OTHERS) !== 0) {
    throw unusable(dir, `others than its owner may write to ${part}`, undefined, `chmod 0700 ${part}`);
  }
}

function unusable(dir: string, why: string, cause: unknown, todo?: string): Error {
  return new StoreDirUnusable(todo === undefined ? { dir, why } : { dir, why, todo }, { cause });
}
