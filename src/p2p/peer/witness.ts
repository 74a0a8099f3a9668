import type { StoredBlob } from '../../store/blob-store.ts';

/** The other proxies, as those who give bytes; an origin's name is another. */
export const PEERS = 'peers';

/**
 * Bytes of a blob that are here, with which those are compared that an origin gives: one that says that it has the blob, and has
 * it not, cannot know them.
 */
export interface Witness {
  /** Of the whole blob, in bytes; undefined while nobody has said it. */
  readonly size: number | undefined;
  /** What can be read: from here to `end` (exclusive). */
  readonly start: number;
  readonly end: number;
  /** They are of a whole blob that has its digest; else they are what somebody has given for it. */
  readonly isVerified: boolean;
  /** Reads into `buffer` from `position`; 0 only at the end. */
  read(buffer: Uint8Array, position: number): Promise<number>;
}

export function storedWitness(blob: StoredBlob): Witness {
  const { size } = blob;
  return { size, start: 0, end: size, isVerified: true, read: (buffer, position) => blob.read(buffer, position) };
}

/** Of bytes in memory, which belong at `start` in a blob of `size` bytes. They must stay as they are while it is used. */
export function memoryWitness(parts: readonly Uint8Array[], start: number, size: number | undefined): Witness {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const read = (buffer: Uint8Array, position: number): number => {
    let at = start;
    for (const part of parts) {
      if (position < at + part.length) {
        const bytes = part.subarray(position - at, position - at + buffer.length);
        buffer.set(bytes);
        return bytes.length;
      }
      at += part.length;
    }
    return 0;
  };
  return {
    size,
    start,
    end: start + length,
    isVerified: false,
    read: (buffer, position) => Promise.resolve(read(buffer, position)),
  };
}

/** Reads a range of what is there; throws where it ends early. */
export async function readWitness(witness: Witness, start: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const count = await witness.read(bytes.subarray(done), start + done);
    if (count === 0) throw new Error(`what is here of the blob ends at byte ${start + done}`);
    done += count;
  }
  return bytes;
}
