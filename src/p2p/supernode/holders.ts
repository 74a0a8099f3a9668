import { bitmapOf, clearBit, eachBit, NO_BITS, setBit } from './bitmap.ts';
import type { Blob, Member, Wish } from './state.ts';

/*
 * Who holds what. While a blob is wanted it has, for each piece, the number of sources that hold it, not counting those that
 * hold the whole blob: these are one number. A piece whose last source goes may be leased again: the cursor goes back to it.
 */

/** The member has one more piece. False: it had it. */
export function addPiece(member: Member, piece: number): boolean {
  const { blob } = member;
  if (member.has(piece)) return false;
  if (member.held.length === 0) member.held = bitmapOf(blob.pieceCount);
  setBit(member.held, piece);
  member.count += 1;
  if (member.counted) blob.holders[piece]! += 1;
  if (member.count === blob.pieceCount) becomeWhole(member);
  return true;
}

export function becomeWhole(member: Member): void {
  if (member.whole) return;
  const { counted } = member;
  if (counted) uncount(member);
  member.whole = true;
  member.peer.wholes += 1;
  member.held = NO_BITS;
  member.count = 0;
  if (counted) count(member);
}

/** The member has one piece less. False: it did not have it. */
export function dropPiece(member: Member, piece: number): boolean {
  const { blob, counted } = member;
  if (!member.has(piece)) return false;
  if (member.whole) {
    if (counted) uncount(member);
    member.whole = false;
    member.held = bitmapOf(blob.pieceCount);
    for (let other = 0; other < blob.pieceCount; other += 1) setBit(member.held, other);
    member.count = blob.pieceCount;
    if (counted) count(member);
  }
  clearBit(member.held, piece);
  member.count -= 1;
  if (!counted) return true;
  blob.holders[piece]! -= 1;
  if (!blob.isHeld(piece)) blob.cursor = Math.min(blob.cursor, piece);
  return true;
}

/** What the member holds of the piece is in doubt: others are to get it elsewhere. */
export function doubtPiece(member: Member, piece: number): void {
  if (!dropPiece(member, piece) || !member.wish) return;
  (member.wish.doubted ??= new Set()).add(piece);
  setBit(member.wish.flying, piece);
}

/** What the wish's member holds of the piece is in doubt no more: it is right, or lost. False: it was not. */
export function undoubtPiece(wish: Wish, piece: number): boolean {
  if (!wish.doubted?.delete(piece)) return false;
  if (!wish.transfers.some((transfer) => transfer.piece === piece)) clearBit(wish.flying, piece);
  return true;
}

/** The member holds nothing any more. */
export function dropPieces(member: Member): void {
  if (member.counted) uncount(member);
  if (member.whole) member.peer.wholes -= 1;
  member.whole = false;
  member.count = 0;
  member.held = member.wish && member.blob.pieces ? bitmapOf(member.blob.pieces.count) : NO_BITS;
  recount(member);
}

/** Its pieces count exactly while the blob is wanted and its peer is a source. */
export function recount(member: Member): void {
  const should = member.blob.active && member.blob.pieces !== undefined && member.peer.isSource;
  if (should && !member.counted) count(member);
  else if (!should && member.counted) uncount(member);
}

function count(member: Member): void {
  const { blob } = member;
  member.counted = true;
  if (member.whole) blob.wholes += 1;
  else eachBit(member.held, (piece) => (blob.holders[piece]! += 1));
}

function uncount(member: Member): void {
  const { blob } = member;
  member.counted = false;
  if (member.whole) {
    blob.wholes -= 1;
    if (blob.wholes === 0) blob.cursor = 0;
    return;
  }
  eachBit(member.held, (piece) => {
    blob.holders[piece]! -= 1;
    if (blob.holders[piece] === 0) blob.cursor = Math.min(blob.cursor, piece);
  });
}

/** What is known of a piece's check sum; the first word stands. False: there was one. */
export function learnCrc(blob: Blob, piece: number, crc32: number): boolean {
  if (!blob.pieces || blob.knownCrc(piece) !== undefined) return false;
  replaceCrc(blob, piece, crc32);
  return true;
}

/** The first word was wrong; undefined: nobody knows the right one. */
export function replaceCrc(blob: Blob, piece: number, crc32: number | undefined): void {
  if (!blob.crcs) {
    blob.crcs = new Uint32Array(blob.pieceCount);
    blob.crcKnown = bitmapOf(blob.pieceCount);
  }
  blob.crcs[piece] = crc32 ?? 0;
  if (crc32 === undefined) clearBit(blob.crcKnown, piece);
  else setBit(blob.crcKnown, piece);
}
