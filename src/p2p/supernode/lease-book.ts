import { clearBit, setBit } from './bitmap.ts';
import type { Context } from './context.ts';
import { Lease, type Blob, type Wish } from './state.ts';

/**
 * The leases that there are, and which pieces they claim. Every piece that a live lease has not read yet is claimed; when a
 * claim ends without its piece, the blob's cursor goes back, so that the piece is leased again.
 */
export class LeaseBook {
  readonly #context: Context;
  #lastId: number;

  constructor(context: Context, firstId: number) {
    this.#context = context;
    this.#lastId = firstId - 1;
  }

  /** A number that no lease has. */
  takeId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  /** A new lease, and the decision that says so. */
  grant(wish: Wish, run: { first: number; last: number }, isLone: boolean): Lease {
    const lease = new Lease(this.takeId(), wish, run, this.#context.now, isLone);
    this.add(lease);
    this.#context.out.push({
      kind: 'lease',
      peer: wish.peer.id,
      digest: wish.blob.digest,
      lease: lease.id,
      run: { first: run.first, count: run.last - run.first + 1 },
    });
    return lease;
  }

  add(lease: Lease): void {
    const { wish } = lease;
    wish.leases.push(lease);
    wish.blob.leases.push(lease);
    wish.waitSaidAt = undefined;
    wish.toldNone = false;
    this.#claimRest(lease);
    recountLessee(wish);
  }

  drop(lease: Lease): void {
    const { wish } = lease;
    wish.leases.splice(wish.leases.indexOf(lease), 1);
    wish.blob.leases.splice(wish.blob.leases.indexOf(lease), 1);
    this.#unclaimFrom(lease, lease.next);
    lease.plan = Number.NaN;
    recountLessee(wish);
  }

  /** The lease ends with `last`, no earlier than the piece that is being read. False: it ends there already. */
  cut(lease: Lease, last: number): boolean {
    if (last >= lease.last) return false;
    this.#unclaimFrom(lease, last + 1);
    lease.last = last;
    const { peer, blob } = lease.wish;
    this.#context.out.push({ kind: 'cut', peer: peer.id, digest: blob.digest, lease: lease.id, last });
    recountLessee(lease.wish);
    return true;
  }

  /** Nothing comes: others may read what the lease has not. Its proxy gives up what comes behind the present piece. */
  stall(lease: Lease): void {
    const { blob } = lease.wish;
    this.#unclaimFrom(lease, lease.next);
    lease.stalled = true;
    if (blob.pieces && !blob.noRanges) this.cut(lease, lease.next);
    recountLessee(lease.wish);
  }

  /** A piece of the lease has come to its proxy. Those before it that have not still belong to the lease. */
  came(lease: Lease, piece: number): void {
    const { member } = lease.wish;
    if (lease.claims(piece)) this.#unclaim(lease, piece);
    lease.early.add(piece);
    while (lease.next <= lease.last && (lease.early.has(lease.next) || member.has(lease.next))) {
      if (lease.claims(lease.next)) this.#unclaim(lease, lease.next);
      lease.early.delete(lease.next);
      lease.next += 1;
    }
    recountLessee(lease.wish);
  }

  /** The blob's size has become known while it was being read. */
  sized(blob: Blob): void {
    for (const lease of blob.leases) {
      lease.last = Math.min(lease.last, blob.pieceCount - 1);
      if (!lease.stalled) this.#claimRest(lease);
      recountLessee(lease.wish);
    }
  }

  #claimRest({ wish, next, last }: Lease): void {
    if (!wish.blob.pieces) return;
    for (let piece = next; piece <= last; piece += 1) {
      wish.blob.claims[piece]! += 1;
      setBit(wish.flying, piece);
    }
  }

  #unclaimFrom(lease: Lease, from: number): void {
    const end = Math.min(lease.last + 1, lease.wish.blob.pieceCount);
    if (!lease.wish.blob.pieces) return;
    for (let piece = from; piece < end; piece += 1) if (lease.claims(piece)) this.#unclaim(lease, piece);
  }

  #unclaim({ wish }: Lease, piece: number): void {
    const { blob } = wish;
    if (!blob.pieces) return;
    blob.claims[piece]! -= 1;
    if (!isTaken(blob, piece)) blob.cursor = Math.min(blob.cursor, piece);
    if (!wish.transfers.some((transfer) => transfer.piece === piece)) clearBit(wish.flying, piece);
  }
}

/** A source holds the piece, or somebody reads it. */
export function isTaken(blob: Blob, piece: number): boolean {
  return blob.isHeld(piece) || blob.claims[piece]! > 0;
}

/** Reads of the wish that go on. */
export function liveLeases(wish: Wish): number {
  let count = 0;
  for (const lease of wish.leases) if (lease.isLive) count += 1;
  return count;
}

function recountLessee(wish: Wish): void {
  const isLessee = wish.leases.some((lease) => lease.isLive);
  wish.blob.lessees += Number(isLessee) - Number(wish.isLessee);
  wish.isLessee = isLessee;
}
