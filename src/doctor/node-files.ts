import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, describeError } from '../base/errors.ts';

/** What became of reading a file of the node. */
export type FileLook =
  | { readonly kind: 'text'; readonly path: string; readonly text: string }
  | { readonly kind: 'absent'; readonly path: string }
  /** It is there, and cannot be read: `why` says so. */
  | { readonly kind: 'refused'; readonly path: string; readonly why: string };

const ABSENT = new Set(['ENOENT', 'ENOTDIR']);

/** Reads `path` below `root`. What is no file (a directory, a pipe) is refused. */
export async function readNodeFile(root: string, path: string): Promise<FileLook> {
  const full = join(root, path);
  try {
    if (!(await stat(full)).isFile()) return { kind: 'refused', path, why: 'it is no file' };
    return { kind: 'text', path, text: await readFile(full, 'utf8') };
  } catch (error) {
    if (ABSENT.has(codeOf(error))) return { kind: 'absent', path };
    return { kind: 'refused', path, why: describeError(error) };
  }
}

/** The text of `path` below `root`; undefined where there is none to be had. */
export async function textOf(root: string, path: string): Promise<string | undefined> {
  const look = await readNodeFile(root, path);
  return look.kind === 'text' ? look.text : undefined;
}

/** Sorted names in a directory below `root`; empty where it is not there or closed. */
export async function namesIn(root: string, path: string): Promise<string[]> {
  const names: string[] = await readdir(join(root, path)).catch(() => []);
  return names.sort((a, b) => (a < b ? -1 : 1));
}
