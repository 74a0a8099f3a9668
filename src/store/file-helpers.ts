import { codeOf } from '../base/errors.ts';
import type { FilePort } from './files.ts';

/** The whole of a file; undefined where there is none. Rejects with `EFBIG` where it has more than `maxBytes`. */
export async function readWhole(files: FilePort, path: string, maxBytes: number): Promise<Buffer | undefined> {
  const file = await files.open(path, 'read').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (!file) return undefined;
  try {
    const { size } = await file.stat();
    if (size > maxBytes) throw Object.assign(new Error(`${path} has more than ${maxBytes} bytes`), { code: 'EFBIG' });
    const bytes = Buffer.allocUnsafe(size);
    let length = 0;
    while (length < size) {
      const count = await file.read(bytes.subarray(length), length);
      if (count === 0) break;
      length += count;
    }
    return bytes.subarray(0, length);
  } finally {
    await file.close();
  }
}

/** Replaces a file whole: readers, and a later process, see the old bytes or the new ones. One writer a path at a time. */
export async function replaceWhole(files: FilePort, path: string, bytes: Uint8Array): Promise<void> {
  const fresh = `${path}.new`;
  const file = await files.open(fresh, 'create');
  try {
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.rename(fresh, path);
}

/** Unlinks a file; that it is not there is fine. */
export async function unlinkIfThere(files: FilePort, path: string): Promise<void> {
  try {
    await files.unlink(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Calls `work` for each item, at most `limit` at a time. The first error ends it. */
export async function eachWithLimit<T>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: limit }, worker));
}
