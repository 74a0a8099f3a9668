/** Sets of piece numbers as words of 32 bits. */
export type Bitmap = Uint32Array;

export const NO_BITS: Bitmap = new Uint32Array(0);

export function bitmapOf(count: number): Bitmap {
  return new Uint32Array(Math.ceil(count / 32));
}

export function hasBit(bits: Bitmap, index: number): boolean {
  return ((bits[index >>> 5]! >>> (index & 31)) & 1) === 1;
}

export function setBit(bits: Bitmap, index: number): void {
  bits[index >>> 5]! |= 1 << (index & 31);
}

export function clearBit(bits: Bitmap, index: number): void {
  bits[index >>> 5]! &= ~(1 << (index & 31));
}

/** The bits of word `word` that lie in `[from, end)`. */
export function maskOf(word: number, from: number, end: number): number {
  const low = Math.max(0, from - word * 32);
  const high = Math.min(32, end - word * 32);
  if (high <= low) return 0;
  const upTo = high === 32 ? 0xffff_ffff : (1 << high) - 1;
  return upTo & (0xffff_ffff << low);
}

/** The lowest bit that is set in a word that is not 0. */
export function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}

/** The first index from `from` on that is not set; `end` where all are. */
export function firstClear(bits: Bitmap, from: number, end: number): number {
  for (let index = from; index < end;) {
    const clear = ~bits[index >>> 5]! & (0xffff_ffff << (index & 31));
    if (clear !== 0) return Math.min(end, (index & ~31) + lowestBit(clear));
    index = (index & ~31) + 32;
  }
  return end;
}

/** Calls back with each index that is set, in order. */
export function eachBit(bits: Bitmap, callback: (index: number) => void): void {
  for (let word = 0; word < bits.length; word += 1) {
    for (let rest = bits[word]!; rest !== 0; rest &= rest - 1) callback(word * 32 + lowestBit(rest));
  }
}
