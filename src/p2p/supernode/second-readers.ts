import { clearBit, hasBit, setBit } from './bitmap.ts';
import type { Dispute, ReadAgain } from './dispute.ts';
import { undoubtPiece } from './holders.ts';
import { FIRST_RUN_PIECES, LEASE_SILENT_MS, MAX_LESSEES, READ_AGAIN_PIECES } from './limits.ts';
import type { Parts } from './parts.ts';
import type { Wish } from './state.ts';

/** Who reads what of a disputed blob again: in runs, each piece by another than its first reader. */
export class SecondReaders {
  readonly #parts: Parts;
  readonly #allRead: (dispute: Dispute) => void;

  /** `allRead` is told when nothing more can be read. */
  constructor(parts: Parts, allRead: (dispute: Dispute) => void) {
    this.#parts = parts;
    this.#allRead = allRead;
  }

  /** Leases what is to be read again and nobody reads; not to `leaving`. */
  assign(dispute: Dispute, leaving?: Wish): void {
    // First as it should be, then as it can be.
    for (const inTurn of [true, false]) {
      if (dispute.unread === 0 || (!inTurn && dispute.running > 0)) break;
      const wishes = this.#able(dispute).filter((wish) => wish !== leaving);
      const { noRanges } = dispute.blob;
      const most = Math.max(FIRST_RUN_PIECES, Math.min(READ_AGAIN_PIECES, Math.ceil(dispute.unread / wishes.length)));
      for (const wish of wishes) {
        if (dispute.running >= (noRanges ? 1 : MAX_LESSEES)) break;
        const run = runFor(dispute, wish, { inTurn, most: noRanges ? Number.POSITIVE_INFINITY : most });
        if (run) this.#grant(dispute, wish, run);
      }
    }
    if (dispute.running === 0) this.#allRead(dispute);
  }

  /** A piece that the wish's proxy has read again is with it. */
  arrived(wish: Wish, piece: number): void {
    if (!undoubtPiece(wish, piece)) clearFlying(wish, piece);
  }

  /** The read is over. What it has not brought is to come another way. */
  end(dispute: Dispute, read: ReadAgain): void {
    const { wish } = read;
    for (const piece of dispute.end(read)) if (!wish.doubted?.has(piece)) clearFlying(wish, piece);
  }

  /** Who can read the origin just now, and reads nothing again yet: those from whom others can fetch what they read. */
  #able(dispute: Dispute): Wish[] {
    const { now } = this.#parts.context;
    const busy = new Set<Wish>();
    for (const read of dispute.reads.values()) if (!read.isOver) busy.add(read.wish);
    const able: Wish[] = [];
    for (const wish of dispute.blob.wishes.values()) {
      const { origin, peer, pausedUntil } = wish;
      if (!origin || peer.suspended || now < pausedUntil || busy.has(wish) || dispute.unable.has(peer.id)) continue;
      able.push(wish);
    }
    const sources = able.filter(({ peer }) => peer.isSource);
    return sources.length > 0 ? sources : able;
  }

  #grant(dispute: Dispute, wish: Wish, { first, last }: { first: number; last: number }): void {
    const { context, leasing } = this.#parts;
    const { peer, blob, member } = wish;
    const id = leasing.takeId();
    const read: ReadAgain = { id, wish, first, last, lastHeardAt: context.now, isOver: false };
    dispute.begin(read);
    // What it does not have it gets this way.
    for (let piece = first; piece <= last; piece += 1) if (!member.has(piece)) setBit(wish.flying, piece);
    const run = { first, count: last - first + 1 };
    context.out.push({ kind: 'read-again', peer: peer.id, digest: blob.digest, lease: id, run });
    this.#watch(dispute, read);
  }

  /** Nothing came for too long: others read it. */
  #watch(dispute: Dispute, read: ReadAgain): void {
    const { context } = this.#parts;
    context.agenda.add(read.lastHeardAt + LEASE_SILENT_MS, () => {
      if (read.isOver || dispute.blob.dispute !== dispute) return;
      if (context.now < read.lastHeardAt + LEASE_SILENT_MS) {
        this.#watch(dispute, read);
        return;
      }
      dispute.unable.add(read.wish.peer.id);
      this.end(dispute, read);
      this.assign(dispute);
    });
  }
}

/** The first pieces that the wish's proxy may read again. */
function runFor(
  dispute: Dispute,
  wish: Wish,
  { inTurn, most }: { inTurn: boolean; most: number },
): { first: number; last: number } | undefined {
  const { pieceCount } = dispute.blob;
  let first = 0;
  while (first < pieceCount && !mayRead(dispute, wish, first, inTurn)) first += 1;
  if (first === pieceCount) return undefined;
  let last = first;
  while (last + 1 < pieceCount && last - first + 1 < most && mayRead(dispute, wish, last + 1, inTurn)) last += 1;
  return { first, last };
}

function mayRead(dispute: Dispute, wish: Wish, piece: number, inTurn: boolean): boolean {
  if (!dispute.isFree(piece)) return false;
  // It is on its way to it.
  if (hasBit(wish.flying, piece) && !wish.doubted?.has(piece)) return false;
  const { id } = wish.peer;
  const first = dispute.blob.firstReaders[piece];
  return first === undefined || (first !== id && (!inTurn || dispute.isInTurn(first, id)));
}

function clearFlying(wish: Wish, piece: number): void {
  if (!wish.member.has(piece) && !wish.transfers.some((transfer) => transfer.piece === piece))
    clearBit(wish.flying, piece);
}
