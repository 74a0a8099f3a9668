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

/** How long the unread rest of a lease takes, without the piece that is being read: Infinity while its rate is not known. */
export function restMs(lease: Lease, now: number): number {
  const unread = lease.last - lease.next;
  if (unread <= 0) return 0;
  const rate = rateOf(lease, now);
  return rate === undefined ? Number.POSITIVE_INFINITY : (unread * lease.wish.blob.pieces!.pieceSize) / rate;
}
