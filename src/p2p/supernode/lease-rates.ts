import { CUT_FROM_LEADS, FIRST_RUN_PIECES } from './limits.ts';
import type { Blob, Lease } from './state.ts';

/**
 * What a lease reads, in bytes a millisecond, as measured; less when its present piece already takes longer than that.
 * Undefined while nothing was measured.
 */
export function rateOf(lease: Lease, now: number): number | undefined {
  if (lease.rate === undefined) return undefined;
  const waited = now - lease.lastHeardAt;
  return waited > 0 ? Math.min(lease.rate, lease.wish.blob.bytesOf(lease.next) / waited || lease.rate) : lease.rate;
}

/** What all reads of the blob bring together. */
export function totalRate(blob: Blob, now: number): number {
  let total = 0;
  for (const lease of blob.leases) if (lease.isLive) total += rateOf(lease, now) ?? 0;
  return total;
}

/**
 * How long the unread rest of a lease takes, without the piece that is being read. One that has not begun is taken to read
 * like the others; while no rate is known at all, two first runs take no time, and more takes for ever.
 */
export function restMs(lease: Lease, now: number): number {
  const unread = lease.last - lease.next;
  if (unread <= 0) return 0;
  const { blob } = lease.wish;
  const rate = rateOf(lease, now) ?? lease.wish.rate ?? totalRate(blob, now) / blob.lessees;
  if (rate > 0) return (unread * blob.pieces!.pieceSize) / rate;
  return unread < 2 * FIRST_RUN_PIECES ? 0 : Number.POSITIVE_INFINITY;
}

/** The rest of the lease is worth giving to others in part, though what is on its way comes in vain then. */
export function isWorthCutting(lease: Lease, now: number): boolean {
  return restMs(lease, now) > CUT_FROM_LEADS * lease.wish.leadMs;
}
