import { KiB, MiB } from '../../base/units.ts';

/** The end of a blob that no client gets before the digest is known: without it no response ends normally (I1). */
export const HELD_BACK_BYTES = 16 * KiB;
/** A blob of up to this size is verified before its first byte goes out. */
export const SMALL_BLOB_BYTES = MiB;

/** How far the bytes of a blob may go out while its digest is not known, when `available` of them are here. */
export function releasedTo(size: number, available: number): number {
  return size <= SMALL_BLOB_BYTES ? 0 : Math.min(available, size - HELD_BACK_BYTES);
}
