/*
 * Disputes. A proxy reports that all pieces of a blob are here and the whole does not have its digest: somebody has read
 * something wrong from the origin, and told the check sum of what it has read. Each piece is then read once more, by another
 * than its first reader, who tells its SHA-256; all who dispute compare, and fetch again what differs (from the second
 * reader). One dispute a blob at a time, so one more copy from the origin, however many have the mismatch.
 *
 * Who is wrong is known when the digest is right again at a third one, who then tells the right check sums: the first reader
 * or the second. So one liar alone cannot get anybody suspended: not by a false reading (the digest stays wrong with it), not
 * by a false result (both readers agree).
 */
import type { PeerId, SecondReadingEvent } from './events.ts';
import { Dispute, type ReadAgain, type Second } from './dispute.ts';
import { addPiece, doubtPiece, dropPiece, learnCrc, replaceCrc, undoubtPiece } from './holders.ts';
import { MAX_DISPUTES, MAX_SUSPECTS, SUSPEND_MS, VAIN_DISPUTES, WAIT_REPEAT_MS } from './limits.ts';
import { reject, serve, type Parts } from './parts.ts';
import { SecondReaders } from './second-readers.ts';
import { isPieceOf, type Sources } from './sources.ts';
import type { Blob, Transfer, Wish } from './state.ts';
import { avoid } from './trust.ts';
import type { Wishes } from './wishes.ts';

export class Disputes {
  readonly #parts: Parts;
  readonly #sources: Sources;
  readonly #wishes: Wishes;
  readonly #readers: SecondReaders;
  readonly #disputed = new Set<Blob>();
  /** Disputes that each peer has opened, and of which nothing has come out. */
  readonly #vain = new Map<PeerId, { count: number; at: number }>();

  constructor(parts: Parts, sources: Sources, wishes: Wishes) {
    this.#parts = parts;
    this.#sources = sources;
    this.#wishes = wishes;
    this.#readers = new SecondReaders(parts, (dispute) => this.#allRead(dispute));
  }

  /** All pieces are at the wish's proxy, and their whole is wrong. */
  mismatch(wish: Wish): void {
    const { blob, peer } = wish;
    const dispute = holdsAll(wish) ? (blob.dispute ?? this.#open(blob, peer.id)) : undefined;
    if (!dispute) {
      if (!holdsAll(wish)) reject(this.#parts, peer.id, 'NOT_WHOLE');
      this.#say(wish, true);
      return;
    }
    dispute.disputers.set(wish, { isOver: false });
    for (const [piece, second] of dispute.seconds) if (second.state === 'told') this.#tell(wish, piece, second);
    this.#readers.assign(dispute);
  }

  /** A piece was read again. */
  secondReading(event: SecondReadingEvent, wish: Wish): void {
    const { blob, member, peer } = wish;
    const { piece, crc32, sha256 } = event;
    const { dispute } = blob;
    const read = dispute?.reads.get(event.lease);
    if (!isPieceOf(blob, piece) || !dispute || read?.wish !== wish || piece < read.first || piece > read.last) {
      reject(this.#parts, peer.id, isPieceOf(blob, piece) ? 'NOT_ASKED' : 'NO_SUCH_PIECE');
      return;
    }
    read.lastHeardAt = this.#parts.context.now;
    if (dispute.seconds.has(piece)) return;
    const first = blob.firstReaders[piece];
    const firstCrc32 = blob.knownCrc(piece);
    const isContradiction = firstCrc32 !== undefined && firstCrc32 !== crc32;
    const second: Second = { by: peer.id, sha256, crc32, first, firstCrc32, state: isContradiction ? 'held' : 'told' };
    dispute.seconds.set(piece, second);
    this.#readers.arrived(wish, piece);
    addPiece(member, piece);
    learnCrc(blob, piece, crc32);
    if (!isContradiction) this.#tellAll(dispute, piece, second);
    this.#keepWaiting(dispute);
    this.#parts.matcher.offerBlob(member);
  }

  progress(wish: Wish, lease: number): void {
    const { dispute } = wish.blob;
    const read = dispute?.reads.get(lease);
    if (!dispute || read?.wish !== wish) return;
    read.lastHeardAt = this.#parts.context.now;
    this.#keepWaiting(dispute);
  }

  /** False: it is no lease to read again. */
  readEnded(wish: Wish, lease: number, isFailure: boolean): boolean {
    const { dispute } = wish.blob;
    const read = dispute?.reads.get(lease);
    if (!dispute || read?.wish !== wish) return false;
    if (isFailure) dispute.unable.add(wish.peer.id);
    this.#endRead(dispute, read);
    return true;
  }

  /** The wish's proxy has thrown a piece away. */
  lostPiece(wish: Wish, piece: number): void {
    const { blob, member, peer } = wish;
    if (!isPieceOf(blob, piece)) {
      reject(this.#parts, peer.id, 'NO_SUCH_PIECE');
      return;
    }
    if (!undoubtPiece(wish, piece) && !dropPiece(member, piece)) {
      reject(this.#parts, peer.id, 'NOT_HELD');
      return;
    }
    for (const run of wish.awaited) if (piece >= run.first && piece < run.next) run.next = piece;
    const { dispute } = blob;
    const second = dispute?.seconds.get(piece);
    if (second?.state === 'told' && dispute!.disputers.has(wish) && second.by !== peer.id)
      this.#contest(dispute!, piece, second);
    serve(this.#parts, wish);
    if (!blob.isHeld(piece)) this.#parts.leasing.offer(blob);
    this.#wishes.answer(wish);
  }

  /** The whole is right at the wish's proxy, with this check sum of a piece that it had to replace. */
  settled(wish: Wish, piece: number, crc32: number): void {
    const { blob, peer } = wish;
    const { dispute } = blob;
    if (!isPieceOf(blob, piece)) {
      reject(this.#parts, peer.id, 'NO_SUCH_PIECE');
      return;
    }
    const second = dispute?.seconds.get(piece);
    if (!dispute || !(dispute.disputers.has(wish) || second?.by === peer.id)) {
      reject(this.#parts, peer.id, 'NO_DISPUTE');
      return;
    }
    if (second && second.crc32 === second.firstCrc32) return;
    dispute.contests.delete(piece);
    if (second?.crc32 === crc32) {
      replaceCrc(blob, piece, crc32);
      this.#judge(dispute, wish, piece, { wrong: second.first, right: second.by });
    } else if (second && second.firstCrc32 === crc32) {
      replaceCrc(blob, piece, crc32);
      this.#restore(blob, piece, second.by);
      this.#judge(dispute, wish, piece, { wrong: second.by, right: second.first });
    } else if (blob.knownCrc(piece) !== crc32) {
      // One word against another: nobody knows the right one.
      replaceCrc(blob, piece, undefined);
    }
  }

  /** The wish is about to be given up. */
  closed(wish: Wish): void {
    const { dispute } = wish.blob;
    if (!dispute) return;
    dispute.disputers.delete(wish);
    for (const read of dispute.reads.values())
      if (read.wish === wish && !read.isOver) this.#endRead(dispute, read, true);
  }

  // --- opening and reading ---

  /** Undefined: there are too many, or this peer has opened too many for nothing. */
  #open(blob: Blob, opener: PeerId): Dispute | undefined {
    const { now } = this.#parts.context;
    for (const other of this.#disputed) if (!other.dispute) this.#disputed.delete(other);
    const before = this.#vain.get(opener);
    const count = before && before.at + SUSPEND_MS > now ? before.count : 0;
    if (this.#disputed.size >= MAX_DISPUTES || count >= VAIN_DISPUTES) return undefined;
    this.#vain.delete(opener);
    this.#vain.set(opener, { count: count + 1, at: now });
    if (this.#vain.size > MAX_SUSPECTS) this.#vain.delete(this.#vain.keys().next().value!);
    this.#disputed.add(blob);
    blob.dispute = new Dispute(blob, opener);
    return blob.dispute;
  }

  #endRead(dispute: Dispute, read: ReadAgain, isGone = false): void {
    if (read.isOver) return;
    this.#readers.end(dispute, read);
    this.#readers.assign(dispute, isGone ? read.wish : undefined);
    if (isGone) return;
    serve(this.#parts, read.wish);
    this.#wishes.answer(read.wish);
  }

  /** No more can be read: what contradicts a first reading is told, unless the second reader is more likely wrong. */
  #allRead(dispute: Dispute): void {
    const contradictions = dispute.contradictions();
    const against = (peer: PeerId | undefined) => (peer === undefined ? 0 : (contradictions.get(peer)?.size ?? 0));
    for (const [piece, second] of dispute.seconds) {
      if (second.state !== 'held') continue;
      if (against(second.by) > Math.max(1, against(second.first))) {
        second.state = 'dismissed';
        const reader = dispute.blob.members.get(second.by);
        if (reader) doubtPiece(reader, piece);
      } else {
        second.state = 'told';
        this.#tellAll(dispute, piece, second);
      }
    }
    for (const [wish, told] of dispute.disputers) {
      if (told.isOver) continue;
      told.isOver = true;
      this.#say(wish, true);
    }
  }

  // --- two versions ---

  /** A proxy that disputes has found that its piece is another: who else may have that version gives it to nobody. */
  #contest(dispute: Dispute, piece: number, { by, crc32 }: Second): void {
    const { blob } = dispute;
    if (dispute.contests.has(piece) || blob.knownCrc(piece) === crc32) return;
    replaceCrc(blob, piece, crc32);
    const stale = new Set<Transfer>();
    for (const { transfers } of blob.wishes.values()) {
      const transfer = transfers.find((one) => one.piece === piece);
      if (transfer) stale.add(transfer);
    }
    dispute.contests.set(piece, { by, stale });
    // A peer that holds it and does not want the blob has the whole, and has verified it.
    for (const member of blob.members.values()) if (member.wish && member.peer.id !== by) doubtPiece(member, piece);
  }

  /** The first version of the piece was right after all. */
  #restore(blob: Blob, piece: number, secondReader: PeerId): void {
    const { matcher } = this.#parts;
    for (const wish of blob.wishes.values()) {
      if (wish.peer.id === secondReader) doubtPiece(wish.member, piece);
      else if (undoubtPiece(wish, piece)) {
        addPiece(wish.member, piece);
        matcher.offerBlob(wish.member);
      }
    }
  }

  #judge(
    dispute: Dispute,
    wish: Wish,
    piece: number,
    { wrong, right }: { wrong: PeerId | undefined; right: PeerId | undefined },
  ): void {
    const { context } = this.#parts;
    const { peer, blob } = wish;
    this.#vain.delete(dispute.opener);
    if (wrong === undefined || right === undefined) return;
    // A reader's word for itself parts the two; it takes a third one's to suspend.
    if (right === peer.id) avoid(peer, wrong, SUSPEND_MS, context.now);
    else if (this.#sources.suspend(wrong))
      context.out.push({ kind: 'blamed', peer: wrong, digest: blob.digest, piece, right });
  }

  // --- what is said ---

  #tellAll(dispute: Dispute, piece: number, second: Second): void {
    for (const wish of dispute.disputers.keys()) this.#tell(wish, piece, second);
  }

  #tell({ peer, blob }: Wish, piece: number, { by, sha256 }: Second): void {
    // Who has read it has it.
    if (by === peer.id) return;
    this.#parts.context.out.push({ kind: 'second-reading', peer: peer.id, digest: blob.digest, piece, by, sha256 });
  }

  /** Those who dispute have patience as long as anything goes on. */
  #keepWaiting(dispute: Dispute): void {
    const { now } = this.#parts.context;
    if (now - dispute.saidAt < WAIT_REPEAT_MS) return;
    dispute.saidAt = now;
    for (const [wish, { isOver }] of dispute.disputers) if (!isOver) this.#say(wish, false);
  }

  #say({ peer, blob }: Wish, isOver: boolean): void {
    this.#parts.context.out.push({ kind: 'dispute', peer: peer.id, digest: blob.digest, isOver });
  }
}

/** The proxy has all pieces, rightly or not. */
function holdsAll({ member, blob, doubted }: Wish): boolean {
  return member.whole || member.count + (doubted?.size ?? 0) === blob.pieceCount;
}
