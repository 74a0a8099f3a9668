import { backoffMs, type Backoff } from '../../base/backoff.ts';
import type { LeaseFailure } from '../protocol/coordinator.ts';
import type { FailedEvent, PieceEvent } from './events.ts';
import { addPiece, doubtPiece, learnCrc } from './holders.ts';
import {
  AVOID_MS,
  FORGIVE_MS,
  MAX_LONE_RETRY_AFTER_MS,
  MAX_RETRY_AFTER_MS,
  MAX_TRIES_WITHOUT_PROGRESS,
} from './limits.ts';
import { reject, serve, type Parts } from './parts.ts';
import { isPieceOf, type Sources } from './sources.ts';
import type { Transfer, Wish } from './state.ts';
import { avoid } from './trust.ts';
import type { Wishes } from './wishes.ts';

const RETRY: Backoff = { firstMs: 200, capMs: 4000 };

/** What became of the pieces and leases that were assigned. */
export class Reports {
  readonly #parts: Parts;
  readonly #sources: Sources;
  readonly #wishes: Wishes;

  constructor(parts: Parts, sources: Sources, wishes: Wishes) {
    this.#parts = parts;
    this.#sources = sources;
    this.#wishes = wishes;
  }

  piece(event: PieceEvent, wish: Wish): void {
    const { context, leasing, matcher } = this.#parts;
    const { blob, member, peer } = wish;
    const { piece, from } = event;
    if (!blob.pieces || !isPieceOf(blob, piece)) {
      reject(this.#parts, peer.id, 'NO_SUCH_PIECE');
      return;
    }
    const transfer = context.slots.find(wish, piece);
    if (transfer) matcher.release(transfer);
    addPiece(member, piece);
    if (transfer && blob.dispute?.contests.get(piece)?.stale.has(transfer)) doubtPiece(member, piece);
    if (from === undefined) {
      if (!peer.suspended && learnCrc(blob, piece, event.crc32)) blob.firstReaders[piece] = peer.id;
      leasing.pieceRead(wish, piece, event.ms);
    } else if (transfer?.source.id === from) {
      context.slots.measure(transfer.source, peer, blob.bytesOf(piece), event.ms);
      this.#sources.succeeded(transfer.source);
    }
    serve(this.#parts, wish);
    if (transfer) matcher.offer(transfer.source);
    matcher.offerBlob(member);
    this.#wishes.answer(wish);
  }

  failed(event: FailedEvent, wish: Wish): void {
    const { context, directory, matcher } = this.#parts;
    const { peer } = wish;
    const transfer = context.slots.find(wish, event.piece);
    // Who was not told to fetch from a peer has nothing to say about it.
    if (!transfer || transfer.source.id !== event.from) return;
    matcher.release(transfer);
    const { source } = transfer;
    const isNobodysFault = event.reason === 'bad' && wish.blob.dispute?.isDoubtful(event.piece);
    switch (isNobodysFault ? 'gone' : event.reason) {
      case 'reset':
      case 'timeout':
        avoid(peer, source.id, AVOID_MS, context.now);
        this.#sources.failed(source, peer);
        break;
      case 'busy':
        this.#sources.busy(source);
        break;
      case 'gone':
        avoid(peer, source.id, FORGIVE_MS, context.now);
        break;
      case 'bad': {
        avoid(peer, source.id, AVOID_MS, context.now);
        const sender = directory.peers.get(source.id);
        if (sender) avoid(sender, peer.id, AVOID_MS, context.now);
        this.#sources.complained(peer, source.id);
        break;
      }
    }
    serve(this.#parts, wish);
    matcher.offer(source);
    this.#wishes.answer(wish);
  }

  /** Nothing was heard of a piece for too long. */
  overdue(transfer: Transfer): void {
    const { context, matcher } = this.#parts;
    const { wish, source } = transfer;
    matcher.release(transfer);
    avoid(wish.peer, source.id, AVOID_MS, context.now);
    serve(this.#parts, wish);
    matcher.offer(source);
    this.#wishes.answer(wish);
  }

  leaseEnded(wish: Wish, id: number, failure: LeaseFailure | undefined): void {
    const { leasing } = this.#parts;
    const { blob } = wish;
    const lease = leasing.ended(wish, id);
    if (failure && lease) this.#leaseFailed(wish, failure);
    serve(this.#parts, wish);
    leasing.offer(blob);
    this.#wishes.answer(wish);
    if (blob.readers === 0) for (const left of blob.wishes.values()) this.#wishes.answer(left);
  }

  #leaseFailed(wish: Wish, failure: LeaseFailure): void {
    const { context, leasing } = this.#parts;
    wish.tries += 1;
    wish.lastFailure = failure.code;
    if (failure.final || wish.tries >= MAX_TRIES_WITHOUT_PROGRESS) {
      wish.origin = undefined;
      leasing.recountReader(wish);
      return;
    }
    const asked = failure.retryAfterMs ?? 0;
    const wait = backoffMs(RETRY, wish.tries - 1, context.random);
    wish.pausedUntil = context.now + Math.max(wait, Math.min(asked, MAX_RETRY_AFTER_MS));
    wish.pausedAloneUntil = context.now + Math.max(wait, Math.min(asked, MAX_LONE_RETRY_AFTER_MS));
    for (const at of new Set([wish.pausedUntil, wish.pausedAloneUntil])) {
      context.agenda.add(at, () => {
        if (wish.closed) return;
        serve(this.#parts, wish);
        this.#wishes.answer(wish);
      });
    }
  }
}
