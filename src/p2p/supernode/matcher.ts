import { addFree, Chooser } from './choice.ts';
import type { Context } from './context.ts';
import { WAITERS_PER_SLOT } from './limits.ts';
import type { Member, Peer, Transfer, Wish } from './state.ts';
import { isAvoided } from './trust.ts';

/**
 * Brings free slots together: of a proxy that could take a piece (`fill`), and of one that could give one (`offer`). A slot
 * that finds nobody waits among the blob's `free` sources or `hungry` wishes for the other side.
 */
export class Matcher {
  readonly #context: Context;
  readonly #chooser: Chooser;
  #round = 0;

  constructor(context: Context) {
    this.#context = context;
    this.#chooser = new Chooser(context);
  }

  /** Gives a proxy's free download slots to its wishes, to the one with the fewest pieces in flight first. */
  fill(peer: Peer, thorough = false): void {
    this.#round += 1;
    for (let wish = this.#neediest(peer); wish; wish = this.#neediest(peer)) {
      const choice = this.#chooser.choose(wish, thorough);
      if (choice) this.#fetch(wish, choice.piece, choice.source);
      else wish.emptyRound = this.#round;
    }
    for (const wish of peer.wishes) this.#queue(wish);
  }

  /** Offers a source's free upload slots to waiters, over all blobs that it holds something of, each in turn. */
  offer(peer: Peer): void {
    const { slots, now } = this.#context;
    if (!peer.isSource || peer.busyUntil > now) return;
    for (let left = peer.active.size; left > 0 && slots.canUpload(peer, true); left -= 1) {
      this.offerBlob(peer.active.next()!);
    }
  }

  /** A transfer is over: both its slots are free again. */
  release(transfer: Transfer): void {
    const { slots } = this.#context;
    const { source } = transfer;
    slots.end(transfer);
    if (!source.isSource) return;
    for (const member of source.active.values()) if (member.counted && member.holdsAny) addFree(member);
  }

  /** Offers a source's free upload slots to those who wait for this blob. */
  offerBlob(source: Member): void {
    const { slots, now } = this.#context;
    const { peer, blob } = source;
    if (!source.counted || !source.holdsAny || peer.busyUntil > now) return;
    while (slots.canUpload(peer, blob.isSmall)) {
      if (!this.#serveOne(source)) {
        addFree(source);
        return;
      }
    }
  }

  /** The one with the fewest pieces in flight; ties at random: else each blob would be bound to the sender that it has. */
  #neediest(peer: Peer): Wish | undefined {
    const { slots, random } = this.#context;
    let best: Wish | undefined;
    let ties = 0;
    for (const wish of peer.wishes) {
      if (wish.emptyRound === this.#round || !slots.canDownload(peer, wish.blob.isSmall)) continue;
      const isTie = best?.transfers.length === wish.transfers.length;
      if (best && !isTie && wish.transfers.length > best.transfers.length) continue;
      ties = isTie ? ties + 1 : 1;
      if (ties === 1 || random() * ties < 1) best = wish;
    }
    return best;
  }

  #queue(wish: Wish): void {
    const { slots } = this.#context;
    const { hungry, isSmall } = wish.blob;
    if (slots.canDownload(wish.peer, isSmall) && this.#chooser.isHungry(wish)) hungry.add(wish);
    else hungry.delete(wish);
  }

  #serveOne(source: Member): boolean {
    const { hungry, isSmall } = source.blob;
    const { slots, now } = this.#context;
    let far: { wish: Wish; piece: number } | undefined;
    for (let looks = Math.min(WAITERS_PER_SLOT, hungry.size); looks > 0; looks -= 1) {
      const wish = hungry.next()!;
      if (wish.peer === source.peer) continue;
      if (!slots.canDownload(wish.peer, isSmall)) {
        // Its next report puts it back.
        hungry.delete(wish);
        continue;
      }
      if (isAvoided(wish.peer, source.peer, now)) continue;
      const piece = this.#chooser.chooseFrom(wish, source);
      if (piece === undefined) continue;
      if (wish.peer.zone === source.peer.zone) return this.#serve(wish, piece, source);
      far ??= { wish, piece };
    }
    return far !== undefined && this.#serve(far.wish, far.piece, source);
  }

  #serve(wish: Wish, piece: number, source: Member): true {
    this.#fetch(wish, piece, source);
    this.#queue(wish);
    return true;
  }

  #fetch(wish: Wish, piece: number, source: Member): void {
    const { slots, out, now } = this.#context;
    slots.start(wish, piece, source, now);
    wish.waitSaidAt = undefined;
    wish.toldNone = false;
    const { peer, blob } = wish;
    out.push({
      kind: 'fetch',
      peer: peer.id,
      digest: blob.digest,
      piece,
      from: source.peer.id,
      crc32: blob.crcOf(piece, source.peer.id),
    });
  }
}
