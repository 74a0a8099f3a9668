/** A wish is taken for a misspelt one when no more than this share of its letters (and at least one) must change. */
const SHARE_OF_LETTERS = 0.4;

/** The one of `known` that `wish` most likely meant; undefined where none is near. */
export function nearest(wish: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(wish.length * SHARE_OF_LETTERS)) + 1;
  for (const candidate of known) {
    const distance = editDistance(wish.toLowerCase(), candidate.toLowerCase(), least);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** Letters to insert, drop, replace or swap with a neighbour (optimal string alignment); `enough` or more is not told apart. */
export function editDistance(a: string, b: string, enough: number): number {
  if (Math.abs(a.length - b.length) >= enough) return enough;
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1);
      next.push(cost);
    }
    before = row;
    row = next;
  }
  return Math.min(enough, row[b.length]!);
}
