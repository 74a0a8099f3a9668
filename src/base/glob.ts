/** Any characters but slashes; any characters. */
const WITHIN = Symbol('*');
const ACROSS = Symbol('**');

type Step = string | typeof WITHIN | typeof ACROSS;

/**
 * A test for whole texts: `*` stands for any number of characters but slashes, `**` (or more) for any number of characters, everything
 * else for itself. All the ways through a pattern are followed at once, so that no text takes longer than its length times the
 * pattern's.
 */
export function compileGlob(pattern: string): (text: string) => boolean {
  const steps = [...pattern.matchAll(/\*+|[^*]/gsu)].map(([part]): Step => {
    if (!part.startsWith('*')) return part;
    return part === '*' ? WITHIN : ACROSS;
  });
  return (text) => {
    let at = reached(steps, [0]);
    for (const character of text) {
      at = reached(
        steps,
        [...at].flatMap((index) => after(steps[index], index, character)),
      );
      if (at.size === 0) return false;
    }
    return at.has(steps.length);
  };
}

/** Where a character leads from a step. */
function after(step: Step | undefined, index: number, character: string): number[] {
  if (step === ACROSS || (step === WITHIN && character !== '/')) return [index];
  return step === character ? [index + 1] : [];
}

/** These steps, and those behind them that need no character: a star may stand for nothing. */
function reached(steps: readonly Step[], indexes: readonly number[]): Set<number> {
  const all = new Set<number>();
  for (let index of indexes) {
    all.add(index);
    for (; typeof steps[index] === 'symbol'; index += 1) all.add(index + 1);
  }
  return all;
}
