import { randomInt } from 'node:crypto';
import { KiB } from '../../base/units.ts';
import type { StoredBlob } from '../../store/blob-store.ts';

/** Of a piece that a peer gives out of a whole blob, so many bytes are kept to compare with. */
const SAMPLE_BYTES = 4 * KiB;

/** Bytes of a blob that are here, with which those are compared that a registry gives which only says that it has the blob. */
export interface Witness {
  /** Of the whole blob, in bytes. */
  readonly size: number;
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

/** A part of bytes in memory, which belong at `start` in a blob of `size` bytes: copied, from a place that nobody can foresee. */
export function sampleOf(parts: readonly Uint8Array[], start: number, size: number): Witness {
  const all = Buffer.concat(parts);
  const at = randomInt(Math.max(0, all.length - SAMPLE_BYTES) + 1);
  const bytes = Buffer.from(all.subarray(at, at + SAMPLE_BYTES));
  const from = start + at;
  const read = (buffer: Uint8Array, position: number): Promise<number> => {
    const part = bytes.subarray(position - from, position - from + buffer.length);
    buffer.set(part);
    return Promise.resolve(part.length);
  };
  return { size, start: from, end: from + bytes.length, isVerified: false, read };
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
