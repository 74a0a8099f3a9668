import type { Digest, DigestKind } from '../base/digest.ts';
import { eachWithLimit } from './file-helpers.ts';
import type { FileInfo, FilePort } from './files.ts';
import { digestOfBlobName, isPrefix, KINDS, parseIncomingName, prepareDirectory, type Layout } from './layout.ts';
import { BlobEntry } from './quota.ts';
import { join } from 'node:path';

/** File system calls under way at once while a store is opened. */
const SCAN_CONCURRENCY = 32;

/** An earlier try that can be taken up again. */
export interface IdleIncoming {
  readonly digest: Digest;
  readonly info: FileInfo;
}

/**
 * The verified blobs on disk, the least recently used first. What is not a regular file of a blob's name is passed over. Throws
 * STORE_DIR_UNUSABLE for a directory that others could have filled.
 */
export async function scanBlobs(files: FilePort, layout: Layout): Promise<BlobEntry[]> {
  const entries: BlobEntry[] = [];
  for (const digestKind of KINDS) {
    const prefixes = await files.readdir(layout.kindDir(digestKind));
    for (const { name, kind } of prefixes) {
      if (kind === 'file' || !isPrefix(name)) continue;
      await prepareDirectory(files, layout.dir, join(layout.kindDir(digestKind), name));
      await scanPrefix(files, layout, digestKind, name, entries);
    }
  }
  return entries.sort((a, b) => a.modifiedMs - b.modifiedMs);
}

async function scanPrefix(
  files: FilePort,
  layout: Layout,
  digestKind: DigestKind,
  prefix: string,
  entries: BlobEntry[],
): Promise<void> {
  const names = await files.readdir(join(layout.kindDir(digestKind), prefix));
  await eachWithLimit(names, SCAN_CONCURRENCY, async ({ name, kind }) => {
    const digest = kind === 'file' ? digestOfBlobName(digestKind, prefix, name) : undefined;
    if (!digest) return;
    const { size, modifiedMs, changedMs } = await files.lstat(layout.blob(digest));
    entries.push(new BlobEntry(digest, size, modifiedMs, changedMs));
  });
}

/**
 * The incoming blobs of earlier processes, the longest idle first, and the paths of what is of no use: data without a
 * journal, a journal without data.
 */
export async function scanIncoming(
  files: FilePort,
  layout: Layout,
): Promise<{ idle: IdleIncoming[]; useless: string[] }> {
  const parts = new Map<Digest, Set<'data' | 'journal'>>();
  for (const { name, kind } of await files.readdir(layout.incoming)) {
    const parsed = kind === 'file' ? parseIncomingName(name) : undefined;
    if (!parsed) continue;
    const found = parts.get(parsed.digest) ?? new Set();
    parts.set(parsed.digest, found.add(parsed.part));
  }
  const idle: IdleIncoming[] = [];
  const useless: string[] = [];
  await eachWithLimit(parts, SCAN_CONCURRENCY, async ([digest, found]) => {
    if (found.size === 2) idle.push({ digest, info: await files.lstat(layout.incomingData(digest)) });
    else useless.push(found.has('data') ? layout.incomingData(digest) : layout.incomingJournal(digest));
  });
  idle.sort((a, b) => a.info.modifiedMs - b.info.modifiedMs);
  return { idle, useless };
}
