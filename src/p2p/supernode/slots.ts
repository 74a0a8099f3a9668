import { KiB } from '../../base/units.ts';
import { clearBit, setBit } from './bitmap.ts';
import { DOWNLOAD_SLOTS, ONE_PIECE_SLOTS, type SwarmRules } from './limits.ts';
import type { Member, Peer, Transfer, Wish } from './state.ts';

/** Smaller pieces measure round trips, not how fast a peer is. */
const MEASURED_FROM_BYTES = 256 * KiB;
/** A sender keeps all its slots until it is so many times slower than usual: differences below are chance. */
const SLOW_FROM = 2;
/** One measurement counts for at most so many times slower: one stall is not a slow peer. */
const MAX_SAMPLE = 20;

/**
 * Slots, both ways, and how fast peers are. A slot is reserved at both ends when a piece is assigned, so that nothing queues
 * at a sender, and freed when its transfer ends, however it does.
 */
export class Slots {
  readonly #rules: SwarmRules;
  /** By age: what is heard of a transfer ends it, so the oldest are the ones to give up. */
  readonly #transfers = new Set<Transfer>();
  /** Milliseconds a byte, over all transfers. */
  #usual: number | undefined;

  constructor(rules: SwarmRules) {
    this.#rules = rules;
  }

  get transfers(): number {
    return this.#transfers.size;
  }

  canDownload(peer: Peer, small: boolean): boolean {
    return !peer.isLeaving && peer.downloads < DOWNLOAD_SLOTS + this.#more(small);
  }

  canUpload(peer: Peer, small: boolean): boolean {
    return peer.uploads < this.uploadSlotsOf(peer) + this.#more(small);
  }

  /** U, shrunk by how slow the peer has been; one while it is not known whether it lives. */
  uploadSlotsOf(peer: Peer): number {
    if (peer.failedWith.size > 0) return 1;
    if (peer.sendSlowness < SLOW_FROM || !this.#rules.shrinkSlots) return peer.uploadSlots;
    return Math.max(1, Math.round(peer.uploadSlots / peer.sendSlowness));
  }

  start(wish: Wish, piece: number, source: Member, now: number): void {
    const transfer: Transfer = { wish, piece, source: source.peer, startedAt: now };
    wish.transfers.push(transfer);
    setBit(wish.flying, piece);
    wish.blob.inFlight[piece]! += 1;
    wish.peer.downloads += 1;
    source.peer.uploads += 1;
    this.#transfers.add(transfer);
  }

  end(transfer: Transfer): void {
    const { wish, piece, source } = transfer;
    if (!this.#transfers.delete(transfer)) return;
    wish.transfers.splice(wish.transfers.indexOf(transfer), 1);
    clearBit(wish.flying, piece);
    wish.blob.inFlight[piece]! -= 1;
    wish.peer.downloads -= 1;
    source.uploads -= 1;
  }

  find(wish: Wish, piece: number): Transfer | undefined {
    return wish.transfers.find((transfer) => transfer.piece === piece);
  }

  /** The transfer that is longest under way, if it was started before `time`. */
  oldestBefore(time: number): Transfer | undefined {
    const oldest = this.#transfers.values().next();
    return !oldest.done && oldest.value.startedAt <= time ? oldest.value : undefined;
  }

  /** A piece took `ms`: who was slow, the sender or the receiver? Each is measured against what the other explains. */
  measure(sender: Peer, receiver: Peer, bytes: number, ms: number): void {
    if (bytes < MEASURED_FROM_BYTES || !(ms > 0)) return;
    this.#usual ??= ms / bytes;
    const slowness = Math.min(MAX_SAMPLE, ms / bytes / this.#usual);
    this.#usual *= 1 + 0.01 * (Math.min(slowness, SLOW_FROM) - 1);
    const ofSender = slowness / Math.max(1, receiver.receiveSlowness);
    const ofReceiver = slowness / Math.max(1, sender.sendSlowness);
    sender.sendSlowness += 0.2 * (ofSender - sender.sendSlowness);
    receiver.receiveSlowness += 0.2 * (ofReceiver - receiver.receiveSlowness);
  }

  #more(small: boolean): number {
    return small && this.#rules.onePieceSlot ? ONE_PIECE_SLOTS : 0;
  }
}
