import { bitmapOf, eachBit, hasBit, NO_BITS, setBit } from './bitmap.ts';
import type { Blob, Member } from './state.ts';

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
  member.held = NO_BITS;
  member.count = 0;
  if (counted) count(member);
}

/** The member holds nothing any more. */
export function dropPieces(member: Member): void {
  if (member.counted) uncount(member);
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

/** What is known of a piece's check sum; the first word stands. */
export function learnCrc(blob: Blob, piece: number, crc32: number): void {
  if (!blob.pieces) return;
  if (!blob.crcs) {
    blob.crcs = new Uint32Array(blob.pieces.count);
    blob.crcKnown = bitmapOf(blob.pieces.count);
  }
  if (hasBit(blob.crcKnown, piece)) return;
  setBit(blob.crcKnown, piece);
  blob.crcs[piece] = crc32;
}
