import { unifiedDiff } from './diff.ts';
import { readFileWithin, type NodeFile } from './files.ts';

/** One file as it is, and as it is to be; undefined: none. */
export interface Change {
  readonly path: string;
  readonly before: NodeFile | undefined;
  readonly after: string | undefined;
}

export function diffOf({ path, before, after }: Change): string {
  return unifiedDiff(path, before?.text, after);
}

export async function changeOf(root: string, path: string, after: string | undefined): Promise<Change> {
  return { path, before: await readFileWithin(root, path), after };
}
