import type { Context } from './context.ts';
import { totalRate } from './lease-rates.ts';
import { FIRST_RUN_PIECES, MAX_LESSEES, MIN_LESSEES_PER_BLOB, RUN_MS } from './limits.ts';
import type { Blob, Wish } from './state.ts';

/** A second connection is tried out only where so many pieces are left. */
const PROBE_PIECES = 16;

/** Nobody else would read from the origin what this proxy reads. */
export function isAlone(blob: Blob): boolean {
  return (blob.sourceReaders > 0 ? blob.sourceReaders : blob.readers) <= 1;
}

/** The wish may read from the origin at all, just now. */
export function mayRead(wish: Wish, now: number): boolean {
  const { blob } = wish;
  if (!wish.isReader) return false;
  // What an unreachable peer reads helps nobody else.
  if (!wish.isSourceReader && blob.sourceReaders > 0) return false;
  if (wish.leases.some((lease) => lease.stalled)) return false;
  return now >= (blob.readers > 1 ? wish.pausedUntil : wish.pausedAloneUntil);
}

/** Proxies that may read this blob at the same time. */
export function mostLessees(wish: Wish, { rules }: Context): number {
  const { blob } = wish;
  // Stalled reads count for nothing, but an origin that hangs must not be asked by everybody.
  if (blob.leases.length >= 2 * MAX_LESSEES) return 0;
  if (!blob.pieces || blob.noRanges) return 1;
  // The first request for a range tells whether the origin gives them; until then one beside the first is enough.
  if (!wish.origin!.hasRanges) return 2;
  if (!wish.image || !rules.shareLessees) return MAX_LESSEES;
  return wish.image.lesseesPerBlob(MIN_LESSEES_PER_BLOB);
}

/** Reads of this blob that one proxy may have at the same time. */
export function mostLeases(wish: Wish): number {
  const fair = Math.floor(MAX_LESSEES / Math.max(1, wish.blob.readers));
  return Math.max(1, Math.min(wish.origin!.connections, fair)) + Number(wish.isProbing);
}

/** It is worth finding out whether the proxy reads faster over one connection more. */
export function mayProbe(wish: Wish, { now, rules }: Context): boolean {
  const { blob, origin } = wish;
  if (!origin?.hasRanges || !blob.pieces || !rules.moreConnections) return false;
  if (isAlone(blob) || wish.rate === undefined || !origin.mayProbe(now)) return false;
  const fair = Math.floor(MAX_LESSEES / blob.readers);
  if (fair <= origin.connections || blob.pieces.count - blob.cursor < PROBE_PIECES) return false;
  // All must run at full speed before: what is only starting would count as a gain.
  return blob.leases.every((lease) => !lease.isLive || lease.rate !== undefined);
}

/**
 * Pieces in a second's reading at its own rate, or at its share of what the origin gives for this blob, whichever is less. Not more than an
 * equal share of the rest: what one has too much is cut off again, and what was on its way then comes in vain.
 */
export function runLength(wish: Wish, { now, rules }: Context): number {
  const { blob } = wish;
  if (!rules.runs) return 1;
  const total = totalRate(blob, now);
  const share = total > 0 ? total / (blob.lessees + (wish.isLessee ? 0 : 1)) : Number.POSITIVE_INFINITY;
  const rate = Math.min(wish.rate ?? Number.POSITIVE_INFINITY, share);
  if (!Number.isFinite(rate)) return FIRST_RUN_PIECES;
  const readers = Math.min(MAX_LESSEES, Math.max(1, blob.sourceReaders, blob.readers));
  const most = Math.max(FIRST_RUN_PIECES, Math.ceil((blob.pieceCount - blob.cursor) / readers));
  return Math.max(1, Math.min(most, Math.round((rate * RUN_MS) / blob.pieces!.pieceSize)));
}
