import { hasBit } from './bitmap.ts';
import { firstMissing, windowEnd } from './choice.ts';
import type { Context } from './context.ts';
import { isTaken, liveLeases, type LeaseBook } from './lease-book.ts';
import { isAlone, mostLeases, runLength } from './lease-limits.ts';
import { isWorthCutting, restMs } from './lease-rates.ts';
import { FIRST_RUN_PIECES, RUN_MS, RUNS_PER_DECISION, WINDOW_PIECES } from './limits.ts';
import type { Awaited, Blob, Lease, Wish } from './state.ts';

/** Finds what a proxy is to read from the origin next, and grants it. */
export class LeaseFinder {
  readonly #context: Context;
  readonly #book: LeaseBook;

  constructor(context: Context, book: LeaseBook) {
    this.#context = context;
    this.#book = book;
  }

  /** Front to back, by one proxy: nobody can say where to begin otherwise. */
  whole(wish: Wish): void {
    const { blob } = wish;
    if (blob.lessees > 0 || advance(blob) >= blob.pieceCount) return;
    const run = wish.awaited.find((one) => firstMissing(wish, one) < one.end);
    if (run) this.#book.grant(wish, { first: blob.pieces ? run.next : 0, last: blob.pieceCount - 1 }, true);
  }

  /** The first piece in the wish's windows that nobody holds and nobody reads, and what follows it. */
  unclaimed(wish: Wish): Lease | undefined {
    const { blob } = wish;
    const cursor = advance(blob);
    const alone = isAlone(blob);
    const windowed = this.#context.rules.window && !alone;
    let looked = 0;
    for (const run of wish.awaited) {
      const from = firstMissing(wish, run);
      if (from >= run.end) continue;
      const end = Math.min(blob.pieceCount, windowEnd(run, from, windowed));
      let first = Math.max(from, cursor);
      while (first < end && !isLeasable(wish, first)) first += 1;
      if (first < end) return this.#grantFrom(wish, first, end, alone);
      looked += 1;
      if (looked === RUNS_PER_DECISION) break;
    }
    return this.#withoutGiver(wish);
  }

  /**
   * The second half of the unread rest that takes longest, if that is worth a request. While there is more to read behind the
   * wish's windows, only of one that takes longer than a run is to: others that read ahead would else be cut again and again.
   */
  half(wish: Wish): Lease | undefined {
    const { rules } = this.#context;
    if (!rules.halve) return undefined;
    const longest = this.#longestRest(wish, wish.awaited.some((run) => hasUnclaimed(wish, run)) ? RUN_MS : 0);
    if (!longest) return undefined;
    if (longest.isLone && !wish.origin!.hasRanges) return this.#rangesTest(wish, longest);
    const { last } = longest;
    const first = last - Math.ceil((last - longest.next) / 2) + 1;
    const run = wish.awaited.find((one) => isInWindow(wish, one, first, rules.window));
    if (!run) return undefined;
    this.#book.cut(longest, first - 1);
    if (!isLeasable(wish, first)) return undefined;
    return this.#grantFrom(wish, first, Math.min(last + 1, windowEnd(run, run.next, rules.window)), false);
  }

  #grantFrom(wish: Wish, first: number, end: number, alone: boolean): Lease {
    const context = this.#context;
    const share = Math.ceil((end - first) / Math.max(1, mostLeases(wish) - liveLeases(wish)));
    const length = alone && context.rules.runs ? share : runLength(wish, context);
    let last = first;
    while (last + 1 < end && last - first + 1 < length && isLeasable(wish, last + 1)) last += 1;
    return this.#book.grant(wish, { first, last }, alone);
  }

  /** What others hold, but nobody who can give it to this proxy: it stays away from all of them. */
  #withoutGiver(wish: Wish): Lease | undefined {
    if (wish.peer.avoided.size === 0) return undefined;
    const run = wish.awaited.find((one) => firstMissing(wish, one) < one.end);
    if (!run || !hasNoGiver(wish, run.next)) return undefined;
    const end = Math.min(run.end, wish.blob.pieceCount, run.next + runLength(wish, this.#context));
    let last = run.next;
    while (last + 1 < end && hasNoGiver(wish, last + 1)) last += 1;
    return this.#book.grant(wish, { first: run.next, last }, false);
  }

  /**
   * A lone proxy's rest is not cut before it is known that the origin gives ranges: it would have to start over. Some pieces
   * ahead of it are read once more, to find out.
   */
  #rangesTest(wish: Wish, lone: Lease): Lease | undefined {
    const first = Math.max(lone.next + 1, Math.min(lone.next + WINDOW_PIECES / 2, lone.last + 1 - FIRST_RUN_PIECES));
    const run = wish.awaited.find((one) => isInWindow(wish, one, first, this.#context.rules.window));
    if (!run || first > lone.last || !isReadOnce(wish, first)) return undefined;
    const most = Math.min(lone.last, run.end - 1, first + FIRST_RUN_PIECES - 1);
    let last = first;
    while (last < most && isReadOnce(wish, last + 1)) last += 1;
    return this.#book.grant(wish, { first, last }, false);
  }

  #longestRest(wish: Wish, leastMs: number): Lease | undefined {
    const { now } = this.#context;
    let longest: Lease | undefined;
    let longestMs = leastMs;
    for (const lease of wish.blob.leases) {
      if (!lease.isLive || lease.wish === wish || !isWorthCutting(lease, now)) continue;
      const ms = restMs(lease, now);
      if (ms <= longestMs) continue;
      longest = lease;
      longestMs = ms;
    }
    return longest;
  }
}

/** The first piece that is not taken. */
function advance(blob: Blob): number {
  if (blob.pieces) while (blob.cursor < blob.pieces.count && isTaken(blob, blob.cursor)) blob.cursor += 1;
  return blob.cursor;
}

/** Some piece of the run is left to read. */
function hasUnclaimed(wish: Wish, run: Awaited): boolean {
  const { blob } = wish;
  const end = Math.min(run.end, blob.pieceCount);
  for (let piece = Math.max(firstMissing(wish, run), blob.cursor); piece < end; piece += 1) {
    if (!isTaken(blob, piece)) return true;
  }
  return false;
}

function isLeasable(wish: Wish, piece: number): boolean {
  return !isTaken(wish.blob, piece) && !wish.member.has(piece) && !hasBit(wish.flying, piece);
}

/** Nobody has the piece, and the wish's proxy gets it from nobody. */
function isReadOnce({ blob, member, flying }: Wish, piece: number): boolean {
  return !blob.isHeld(piece) && !member.has(piece) && !hasBit(flying, piece);
}

function isInWindow(wish: Wish, run: Awaited, piece: number, windowed: boolean): boolean {
  const from = firstMissing(wish, run);
  return piece >= from && piece < windowEnd(run, from, windowed);
}

/** Nobody reads the missing piece, and the proxy stays away from all who hold it. */
function hasNoGiver(wish: Wish, piece: number): boolean {
  const { blob, peer, member } = wish;
  if (blob.claims[piece]! > 0 || hasBit(wish.flying, piece) || member.has(piece)) return false;
  let givers = blob.wholes + blob.holders[piece]!;
  for (const avoided of peer.avoided.keys()) {
    const holder = blob.members.get(avoided);
    if (holder?.counted && holder.has(piece)) givers -= 1;
  }
  return givers <= 0;
}
