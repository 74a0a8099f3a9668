import { applyPatch, createTwoFilesPatch, parsePatch, reversePatch } from 'diff';

const OPTIONS = { context: 3 };
/** What `diff -u` names a file that is not there. */
const NOTHING = '/dev/null';

/** The unified diff from one text of a file to another; undefined stands for no file. */
export function unifiedDiff(path: string, before: string | undefined, after: string | undefined): string {
  const names = [before === undefined ? NOTHING : path, after === undefined ? NOTHING : path] as const;
  const text = createTwoFilesPatch(...names, before ?? '', after ?? '', undefined, undefined, OPTIONS);
  // The library begins with lines for CVS, which patch(1) and people can do without.
  return text.replace(/^(?:Index: .*\n)?=+\n/, '');
}

/**
 * Takes what a unified diff has done out of `text` again, wherever in it that stands now; undefined where its lines, or those
 * around them, are not there as they were. Nothing is guessed: no line may differ.
 */
export function takeBack(text: string, diff: string): string | undefined {
  const [patch] = parsePatch(diff);
  if (!patch) return undefined;
  const result = applyPatch(text, reversePatch(patch), { fuzzFactor: 0, autoConvertLineEndings: false });
  return result === false ? undefined : result;
}
