import type { Digest } from '../../base/digest.ts';
import type { PieceRun } from '../protocol/coordinator.ts';
import { firstMissing } from './choice.ts';
import type { PeerId, WantEvent } from './events.ts';
import { addPiece, doubtPiece, dropPieces, undoubtPiece } from './holders.ts';
import { MAX_AWAITED_RUNS, WAIT_REPEAT_MS } from './limits.ts';
import { clip, reject, serve, sized, type Parts } from './parts.ts';
import { isPieceOf } from './sources.ts';
import type { Peer, Wish } from './state.ts';
import { forgive } from './trust.ts';
import type { Upstreams } from './upstreams.ts';

/** Who wants what, and what those are told who get nothing. */
export class Wishes {
  readonly #parts: Parts;
  readonly #upstreams: Upstreams;
  readonly #closed: (wish: Wish) => void;
  /** Those that were told to wait, by when they were. */
  readonly #waiting = new Set<Wish>();

  /** `closed` is told of each wish that is given up, while it still is one. */
  constructor(parts: Parts, upstreams: Upstreams, closed: (wish: Wish) => void) {
    this.#parts = parts;
    this.#upstreams = upstreams;
    this.#closed = closed;
  }

  find(peer: Peer, digest: Digest): Wish | undefined {
    return this.#parts.directory.blobs.get(digest)?.members.get(peer.id)?.wish;
  }

  want(event: WantEvent, peer: Peer): void {
    const { directory } = this.#parts;
    const member = directory.memberOrNew(peer, event.digest);
    if (!member) {
      this.#refuse(peer.id, event.digest, 'LIMIT_REACHED');
      return;
    }
    const wish = member.wish ?? directory.openWish(member);
    const refused = wish && event.size !== undefined ? this.#learnSize(wish, event.size) : undefined;
    if (!wish || refused) {
      if (wish) this.close(wish);
      else if (!member.holdsAny) directory.remove(member);
      this.#refuse(peer.id, event.digest, refused ?? 'LIMIT_REACHED');
      return;
    }
    if (member.whole) dropPieces(member);
    for (const piece of wish.doubted ?? []) undoubtPiece(wish, piece);
    if (member.blob.pieces) for (const piece of event.held) if (isPieceOf(member.blob, piece)) addPiece(member, piece);
    // It may have come back: what is in doubt elsewhere is so with it.
    for (const [piece, { by }] of member.blob.dispute?.contests ?? []) if (by !== peer.id) doubtPiece(member, piece);
    wish.origin = event.origin === undefined ? undefined : this.#upstreams.of(event.origin);
    wish.tries = 0;
    directory.setImage(wish, event.image);
    this.awaiting(wish, event.awaited);
  }

  awaiting(wish: Wish, runs: readonly PieceRun[]): void {
    wish.awaited = [];
    for (const { first, count } of runs) {
      if (wish.awaited.length >= MAX_AWAITED_RUNS) break;
      if (Number.isInteger(first) && first >= 0 && count > 0)
        wish.awaited.push({ first, next: first, end: first + count });
    }
    clip(wish);
    wish.toldNone = false;
    this.#parts.leasing.recountReader(wish);
    serve(this.#parts, wish);
    if (wish.member.holdsAny) this.#parts.matcher.offerBlob(wish.member);
    this.answer(wish);
  }

  size(wish: Wish, size: number): void {
    const refused = this.#learnSize(wish, size);
    if (!refused) return;
    const { peer, blob } = wish;
    this.close(wish);
    this.#refuse(peer.id, blob.digest, refused);
  }

  /** The proxy asks for this blob no more; what it holds of it stays known. */
  close(wish: Wish): void {
    const { directory, leasing, matcher } = this.#parts;
    const { blob, member, peer } = wish;
    const senders = wish.transfers.map((transfer) => transfer.source);
    for (const transfer of wish.transfers.toReversed()) matcher.release(transfer);
    wish.awaited = [];
    this.#closed(wish);
    leasing.dropAll(wish);
    this.#waiting.delete(wish);
    directory.closeWish(wish);
    leasing.recountReader(wish);
    if (!member.holdsAny) directory.remove(member);
    for (const sender of senders) matcher.offer(sender);
    if (blob.active) {
      leasing.offer(blob);
      // The last who could read the origin may have gone: those who wait are told.
      if (blob.readers === 0) for (const left of blob.wishes.values()) this.answer(left);
    }
    matcher.fill(peer);
  }

  /** Who has nothing to do is told to wait, or that nobody can give what is missing. */
  answer(wish: Wish): void {
    if (wish.closed || wish.isBusy || !isMissing(wish)) return;
    const { context, leasing } = this.#parts;
    const { peer, blob } = wish;
    // Who has it may only be coming back.
    if (leasing.isSettled && isHopeless(wish)) {
      this.#waiting.delete(wish);
      if (wish.toldNone) return;
      wish.toldNone = true;
      const { lastFailure: code } = wish;
      context.out.push({ kind: 'none', peer: peer.id, digest: blob.digest, reason: 'unavailable', code });
      return;
    }
    if (wish.waitSaidAt !== undefined && context.now - wish.waitSaidAt < WAIT_REPEAT_MS) return;
    wish.waitSaidAt = context.now;
    wish.toldNone = false;
    this.#waiting.delete(wish);
    this.#waiting.add(wish);
    context.out.push({ kind: 'wait', peer: peer.id, digest: blob.digest });
  }

  /** Looks again at those who have waited for a second, more thoroughly than an event can, and tells them anew. */
  repeat(): void {
    const { context, matcher, leasing } = this.#parts;
    for (const wish of this.#waiting) {
      if (wish.waitSaidAt === undefined) {
        this.#waiting.delete(wish);
        continue;
      }
      if (context.now - wish.waitSaidAt < WAIT_REPEAT_MS) return;
      forgive(wish.peer, context.now);
      matcher.fill(wish.peer, true);
      leasing.ask(wish);
      this.answer(wish);
      if (wish.waitSaidAt !== context.now) this.#waiting.delete(wish);
    }
  }

  /** The swarm cannot help with this blob. */
  #refuse(peer: PeerId, digest: Digest, code: 'SIZE_CONFLICT' | 'LIMIT_REACHED'): void {
    reject(this.#parts, peer, code);
    this.#parts.context.out.push({ kind: 'none', peer, digest, reason: 'alone', code });
  }

  /** Gives why it is not believed. */
  #learnSize(wish: Wish, size: number): 'SIZE_CONFLICT' | 'LIMIT_REACHED' | undefined {
    const { blob, peer } = wish;
    const isNew = blob.pieces === undefined;
    const refused = this.#parts.directory.learnSize(blob, size, peer);
    if (refused || !isNew) return refused;
    sized(this.#parts, blob);
    this.#parts.leasing.offer(blob);
    for (const member of blob.members.values()) this.#parts.matcher.offerBlob(member);
    return undefined;
  }
}

function isMissing(wish: Wish): boolean {
  return wish.awaited.some((run) => firstMissing(wish, run) < run.end);
}

/** A peer has the piece that is only being held back: it may give it yet. */
function mayBeHeld({ blob, peer }: Wish, piece: number): boolean {
  for (const member of blob.members.values()) {
    if (member.peer.heldBack && member.peer !== peer && member.has(piece)) return true;
  }
  return false;
}

/** Nobody can read the origin, and what is missing first is neither held nor on its way to anybody. */
function isHopeless(wish: Wish): boolean {
  const { blob } = wish;
  if (blob.readers > 0 || blob.leases.length > 0) return false;
  if (!blob.pieces) return true;
  const { inFlight, claims } = blob;
  return wish.awaited.every((run) => {
    const piece = firstMissing(wish, run);
    return (
      piece >= run.end || !(blob.isHeld(piece) || inFlight[piece]! > 0 || claims[piece]! > 0 || mayBeHeld(wish, piece))
    );
  });
}
