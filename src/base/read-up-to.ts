import { open } from 'node:fs/promises';

/**
 * The whole of a file, or undefined where it has more than `maxBytes`: no more than that is ever read, whatever the path leads to
 * (a pipe or device has no size to look at first). Rejects with the system's error.
 */
export async function readUpTo(path: string, maxBytes: number): Promise<Buffer | undefined> {
  const buffer = Buffer.alloc(maxBytes + 1);
  let length = 0;
  const handle = await open(path, 'r');
  try {
    for (let count = -1; count !== 0 && length < buffer.length; length += count) {
      count = (await handle.read(buffer, length, buffer.length - length, null)).bytesRead;
    }
  } finally {
    await handle.close();
  }
  return length > maxBytes ? undefined : buffer.subarray(0, length);
}
