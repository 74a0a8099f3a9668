/*
 * Sets of pieces and lists of CRC-32s as text, for messages. A set: base64 of bits, the lowest first. CRCs: base64 of
 * little-endian 32-bit words, one a piece.
 */

/** The set of `pieces`, each below `count`. */
export function packPieces(pieces: Iterable<number>, count: number): string {
  const bits = Buffer.alloc(Math.ceil(count / 8));
  for (const piece of pieces) if (piece < count) bits[piece >>> 3]! |= 1 << (piece & 7);
  return bits.toString('base64');
}

/** The pieces of a set, in order; undefined where the text holds a piece that a blob of `count` pieces does not have. */
export function unpackPieces(text: string, count: number): number[] | undefined {
  const bits = Buffer.from(text, 'base64');
  const pieces: number[] = [];
  for (let index = 0; index < bits.length; index += 1) {
    for (let rest = bits[index]!; rest !== 0; rest &= rest - 1) {
      const piece = index * 8 + 31 - Math.clz32(rest & -rest);
      if (piece >= count) return undefined;
      pieces.push(piece);
    }
  }
  return pieces;
}

export function packCrcs(crcs: ArrayLike<number>): string {
  const words = Buffer.alloc(crcs.length * 4);
  for (let index = 0; index < crcs.length; index += 1) words.writeUInt32LE(crcs[index]! >>> 0, index * 4);
  return words.toString('base64');
}

/** Undefined where there is not one CRC for each of `count` pieces. */
export function unpackCrcs(text: string, count: number): Uint32Array | undefined {
  const words = Buffer.from(text, 'base64');
  if (words.length !== count * 4) return undefined;
  return Uint32Array.from({ length: count }, (_, index) => words.readUInt32LE(index * 4));
}
