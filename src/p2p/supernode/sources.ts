import { addFree, removeFree } from './choice.ts';
import type { HaveEvent, PeerId, PeerEvent } from './events.ts';
import { addPiece, becomeWhole, dropPieces, learnCrc, recount } from './holders.ts';
import {
  BUSY_MS,
  FAILURES_TO_HOLD_BACK,
  HOLD_BACK_MS,
  MAX_AVOIDED_PER_PEER,
  MAX_HOLD_BACK_MS,
  MAX_UPLOAD_SLOTS,
  UPLOAD_SLOTS,
} from './limits.ts';
import { reject, sized, type Parts } from './parts.ts';
import type { Blob, Peer } from './state.ts';
import { Complaints } from './trust.ts';

/** Peers as those who give: whether they can be reached and trusted, and what they hold. */
export class Sources {
  readonly #parts: Parts;
  readonly #complaints = new Complaints();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  known(event: PeerEvent): void {
    const { directory, context } = this.#parts;
    const peer = directory.peerOrNew(event.peer);
    if (!peer) {
      reject(this.#parts, event.peer, 'LIMIT_REACHED');
      return;
    }
    for (const member of peer.active.values()) removeFree(member);
    peer.zone = event.zone ?? '';
    peer.uploadSlots = Math.max(1, Math.min(MAX_UPLOAD_SLOTS, event.uploadSlots ?? UPLOAD_SLOTS));
    peer.reachable = event.reachable;
    peer.suspended = this.#complaints.suspendedUntil(peer.id, context.now) !== undefined;
    this.#changed(peer);
  }

  /** The peer's wishes are closed already. */
  gone(peer: Peer): void {
    const { directory } = this.#parts;
    peer.reachable = false;
    this.#changed(peer);
    for (const member of peer.members.toReversed()) directory.remove(member);
    directory.peers.delete(peer.id);
  }

  have(event: HaveEvent, peer: Peer): void {
    const { directory, matcher } = this.#parts;
    const member = directory.memberOrNew(peer, event.digest);
    if (!member) {
      reject(this.#parts, peer.id, 'LIMIT_REACHED');
      return;
    }
    const { blob } = member;
    const sizeWasKnown = blob.pieces !== undefined;
    const refused = directory.learnSize(blob, event.size, peer);
    if (refused) {
      if (!member.wish && !member.holdsAny) directory.remove(member);
      reject(this.#parts, peer.id, refused);
      return;
    }
    if (!sizeWasKnown) sized(this.#parts, blob);
    if (event.pieces === undefined) becomeWhole(member);
    else for (const piece of event.pieces) if (isPieceOf(blob, piece)) addPiece(member, piece);
    // Whose bytes nobody is to have, whose check sums nobody is to have either.
    const crcs = peer.suspended ? undefined : event.crcs;
    for (const [piece, crc32] of crcs ?? []) if (isPieceOf(blob, piece)) learnCrc(blob, piece, crc32);
    if (!member.holdsAny && !member.wish) directory.remove(member);
    else if (blob.active) matcher.offerBlob(member);
  }

  lost(peer: Peer, digest: HaveEvent['digest']): void {
    const { directory } = this.#parts;
    const blob = directory.blobs.get(digest);
    const member = blob?.members.get(peer.id);
    if (!blob || !member) return;
    dropPieces(member);
    if (!member.wish) directory.remove(member);
    this.#lessHeld(blob);
  }

  /** A receiver got a piece from it. */
  succeeded(sender: Peer): void {
    if (sender.failedWith.size === 0) return;
    sender.failedWith.clear();
    if (!sender.heldBack) return;
    sender.heldBack = false;
    this.#changed(sender);
  }

  /**
   * A receiver got nothing: one may be chance, two in a row are not. What nobody else holds may then be leased again. Until a
   * piece has come from it, the sender has one slot only, so that a dead one costs few receivers their time.
   */
  failed(sender: Peer, receiver: Peer): void {
    const { context } = this.#parts;
    if (sender.failedWith.size < MAX_AVOIDED_PER_PEER) sender.failedWith.add(receiver.id);
    const failures = sender.failedWith.size;
    if (failures < FAILURES_TO_HOLD_BACK) this.#pause(sender, HOLD_BACK_MS);
    if (failures < FAILURES_TO_HOLD_BACK || sender.heldBack) return;
    if (failures === FAILURES_TO_HOLD_BACK) context.out.push({ kind: 'trouble', peer: sender.id });
    sender.heldBack = true;
    this.#changed(sender);
    const ms = Math.min(MAX_HOLD_BACK_MS, HOLD_BACK_MS * 2 ** (failures - FAILURES_TO_HOLD_BACK));
    context.agenda.add(context.now + ms, () => {
      if (!sender.heldBack) return;
      sender.heldBack = false;
      this.#changed(sender);
    });
  }

  busy(sender: Peer): void {
    this.#pause(sender, BUSY_MS);
  }

  /** A receiver says that a piece was bad. */
  complained(receiver: Peer, sender: PeerId): void {
    if (this.#complaints.add(receiver.id, sender, this.#parts.context.now)) this.#suspended(sender);
  }

  /** The peer gives nothing for a while, and so reads from the origin for itself only. False: that is so already. */
  suspend(id: PeerId): boolean {
    const { now } = this.#parts.context;
    if (this.#complaints.suspendedUntil(id, now) !== undefined) return false;
    this.#complaints.suspend(id, now);
    this.#suspended(id);
    return true;
  }

  #suspended(id: PeerId): void {
    const { context, directory } = this.#parts;
    const peer = directory.peers.get(id);
    if (!peer) return;
    peer.suspended = true;
    this.#changed(peer);
    const until = this.#complaints.suspendedUntil(id, context.now);
    if (until !== undefined) context.agenda.add(until, () => this.#absolve(id));
  }

  /** Offers nothing more from it for a while; what it holds still counts as held. */
  #pause(sender: Peer, ms: number): void {
    const { context, matcher } = this.#parts;
    sender.busyUntil = Math.max(sender.busyUntil, context.now + ms);
    context.agenda.add(sender.busyUntil, () => matcher.offer(sender));
  }

  #absolve(id: PeerId): void {
    const { context, directory } = this.#parts;
    const peer = directory.peers.get(id);
    if (!peer?.suspended || this.#complaints.suspendedUntil(id, context.now) !== undefined) return;
    peer.suspended = false;
    this.#changed(peer);
  }

  /** Whether the peer is a source may have changed. */
  #changed(peer: Peer): void {
    const { leasing, matcher } = this.#parts;
    for (const member of peer.active.values()) {
      recount(member);
      if (!member.counted) removeFree(member);
      else if (member.holdsAny) addFree(member);
    }
    for (const wish of peer.wishes) leasing.recountReader(wish);
    if (peer.isSource) matcher.offer(peer);
    else for (const member of peer.active.values()) this.#lessHeld(member.blob);
  }

  /** What nobody holds any more may be leased. */
  #lessHeld(blob: Blob): void {
    if (blob.active) this.#parts.leasing.offer(blob);
  }
}

export function isPieceOf(blob: Blob, piece: number): boolean {
  return Number.isInteger(piece) && piece >= 0 && piece < blob.pieceCount;
}
