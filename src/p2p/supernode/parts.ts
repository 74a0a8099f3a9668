import type { Context } from './context.ts';
import type { Directory } from './directory.ts';
import type { PeerId, RejectCode } from './events.ts';
import type { Leasing } from './leases.ts';
import type { Matcher } from './matcher.ts';
import type { Awaited, Blob, Wish } from './state.ts';

/** The parts that the events of one swarm go through. */
export interface Parts {
  readonly context: Context;
  readonly directory: Directory;
  readonly matcher: Matcher;
  readonly leasing: Leasing;
}

export function reject({ context }: Parts, peer: PeerId, code: RejectCode): void {
  context.rejected += 1;
  context.out.push({ kind: 'reject', peer, code });
}

/** A wish can take something: pieces from others, and what nobody has from the origin. */
export function serve({ matcher, leasing }: Parts, wish: Wish): void {
  matcher.fill(wish.peer);
  if (!wish.closed) leasing.ask(wish);
}

/** A blob's size has become known: those who want it wait for pieces from now on, which can be given to them. */
export function sized({ leasing, matcher }: Parts, blob: Blob): void {
  leasing.sized(blob);
  for (const wish of blob.wishes.values()) {
    clip(wish);
    matcher.fill(wish.peer);
  }
}

/** Leaves only pieces that there are. */
export function clip(wish: Wish): void {
  const { pieceCount } = wish.blob;
  if (!Number.isFinite(pieceCount)) return;
  wish.awaited = wish.awaited.flatMap(({ first, next, end }): Awaited[] =>
    next < pieceCount ? [{ first, next, end: Math.min(end, pieceCount) }] : [],
  );
}
