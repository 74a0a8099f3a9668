import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, lstat, mkdir, open, readFile, readlink, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { codeOf, describeError } from '../base/errors.ts';
import { FileInvalid, FileManaged, FileRefused } from './errors.ts';

/** Linux follows as many (path_resolution(7)). */
const MOST_LINKS = 40;
/** No configuration of a runtime comes near it. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const NEW_FILE_MODE = 0o644;
const NEW_DIRECTORY_MODE = 0o755;
const ABSENT = new Set(['ENOENT', 'ENOTDIR']);
/** What the runtimes read ends otherwise: `.conf`, `.toml`. */
const BACKUP_SUFFIX = '.before-hawker';
/** A file system without hard links says one of these. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV']);
/** Without the kind of the file. */
const PERMISSIONS = 0o7777;

/** Whose a file is, and who may use it. */
export interface Ownership {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A file of the node as it is. */
export interface NodeFile extends Ownership {
  readonly text: string;
}

/**
 * Where a path of the node really is: links are followed as the node itself would, so that a link to `/x` below a root that
 * is not `/` leads into that root, not out of it. What is not there stays as it is named.
 */
export async function resolveWithin(root: string, path: string): Promise<string> {
  const waiting = path.split('/').filter(Boolean);
  const done: string[] = [];
  for (let links = 0; waiting.length > 0;) {
    const part = waiting.shift()!;
    if (part === '.') continue;
    if (part === '..') {
      done.pop();
      continue;
    }
    const target = await readlink(join(root, ...done, part)).catch(() => undefined);
    if (target === undefined) {
      done.push(part);
      continue;
    }
    links += 1;
    if (links > MOST_LINKS)
      throw new FileRefused({ path, verb: 'read', why: 'links that lead in a circle', code: 'ELOOP' });
    if (target.startsWith('/')) done.length = 0;
    waiting.unshift(...target.split('/').filter(Boolean));
  }
  return `/${done.join('/')}`;
}

/** The file at `path` below `root`; undefined where there is none. Rejects with SETUP_FILE_REFUSED, and SETUP_FILE_INVALID for what is no text. */
export async function readFileWithin(root: string, path: string): Promise<NodeFile | undefined> {
  const full = join(root, await resolveWithin(root, path));
  try {
    const about = await stat(full);
    if (!about.isFile()) throw new Error('it is no file');
    if (about.size > MAX_FILE_BYTES) throw new FileInvalid({ path, why: 'it is far too long' });
    const { mode, uid, gid } = about;
    return { text: decode(path, await readFile(full)), mode: mode & PERMISSIONS, uid, gid };
  } catch (error) {
    if (ABSENT.has(codeOf(error))) return undefined;
    if (error instanceof FileInvalid) throw error;
    throw refused(path, 'read', error);
  }
}

/** A byte-order mark stays what it is: a part of the text, which most readers of such files refuse. */
function decode(path: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new FileInvalid({ path, why: 'it is not UTF-8' });
  }
}

/**
 * Puts `text` at `path` below `root`, whole or not at all, and durable: a new file beside it takes its place, with the mode and
 * owner given, which are those of the file before. Rejects with SETUP_FILE_MANAGED where the system is read-only, else with
 * SETUP_FILE_REFUSED.
 */
export async function writeFileWithin(
  root: string,
  path: string,
  { text, like, mode = like?.mode ?? NEW_FILE_MODE }: { text: string; like?: Ownership | undefined; mode?: number },
): Promise<void> {
  const target = await resolveWithin(root, path);
  const full = join(root, target);
  const temporary = join(dirname(full), `.${basename(full)}.${randomBytes(6).toString('hex')}`);
  try {
    // The mode is set below: what the file may hold is nobody's to read in between.
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      if (like) await handle.chown(like.uid, like.gid).catch(() => refuseOther(like));
      await handle.chmod(mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, full);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw writeError(path, target, error);
  }
}

/** A file that would change hands is not written. */
function refuseOther({ uid, gid }: Ownership): void {
  if (process.getuid?.() === uid && process.getgid?.() === gid) return;
  throw Object.assign(new Error(`it belongs to user ${uid}, group ${gid}, and this user may not keep it so`), {
    code: 'EPERM',
  });
}

/** Makes the directories above `path` that are not there; those that it made, the outermost first. */
export async function makeDirectoriesFor(root: string, path: string): Promise<string[]> {
  const made: string[] = [];
  const target = await resolveWithin(root, path);
  const parts = dirname(target).split('/').filter(Boolean);
  for (let count = 1; count <= parts.length; count += 1) {
    const directory = `/${parts.slice(0, count).join('/')}`;
    try {
      await mkdir(join(root, directory), { mode: NEW_DIRECTORY_MODE });
      made.push(directory);
    } catch (error) {
      const isThere = await stat(join(root, directory)).then(
        (about) => about.isDirectory(),
        () => false,
      );
      if (isThere) continue;
      await removeEmptyDirectories(root, made);
      throw writeError(path, target, error);
    }
  }
  return made;
}

/** Removes those of the directories, given from the outermost, that are empty; gives what is still there. */
export async function removeEmptyDirectories(root: string, directories: readonly string[]): Promise<string[]> {
  const left: string[] = [];
  for (const directory of directories.toReversed()) {
    try {
      await rmdir(join(root, directory));
    } catch (error) {
      if (!ABSENT.has(codeOf(error))) left.unshift(directory);
    }
  }
  return left;
}

/**
 * A second name for the file at `path`, beside it: the file itself, which stays as it is when another takes its place. A copy
 * where the file system has no such names. Gives the name, which was free.
 */
export async function keepWithin(root: string, path: string): Promise<string> {
  const target = await resolveWithin(root, path);
  for (let count = 1; ; count += 1) {
    const name = `${target}${BACKUP_SUFFIX}${count === 1 ? '' : `-${count}`}`;
    try {
      await link(join(root, target), join(root, name)).catch((error: unknown) => {
        if (!NO_LINKS.has(codeOf(error))) throw error;
        return copyFile(join(root, target), join(root, name), constants.COPYFILE_EXCL);
      });
      return name;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw writeError(path, target, error);
    }
  }
}

export async function removeFileWithin(root: string, path: string): Promise<void> {
  const target = await resolveWithin(root, path);
  try {
    await unlink(join(root, target));
  } catch (error) {
    if (!ABSENT.has(codeOf(error))) throw writeError(path, target, error);
  }
}

/** `from` takes the place of `to`, with all that it is: bytes, mode, owner, times. */
export async function moveFileWithin(root: string, from: string, to: string): Promise<void> {
  const target = await resolveWithin(root, to);
  try {
    await rename(join(root, await resolveWithin(root, from)), join(root, target));
  } catch (error) {
    throw writeError(to, target, error);
  }
}

/** Whether a directory is there, or a file, or whatever has that name. */
export async function isThere(root: string, path: string): Promise<boolean> {
  return await lstat(join(root, await resolveWithin(root, path))).then(
    () => true,
    () => false,
  );
}

function refused(path: string, verb: 'read' | 'written', error: unknown): Error {
  return new FileRefused({ path, verb, why: describeError(error), code: codeOf(error) }, { cause: error });
}

function writeError(path: string, target: string, error: unknown): Error {
  if (codeOf(error) !== 'EROFS') return refused(path, 'written', error);
  return new FileManaged({ path, target, why: 'its file system is read-only' }, { cause: error });
}
