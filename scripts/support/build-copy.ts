import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The built program. */
export const PROGRAM = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));

/** One change of a built file: text that occurs in it exactly once, and what stands there instead. */
export interface Edit {
  /** Below `dist`: `registry/retry.js`. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** What keeps edits from being made, a line each: a text that is not there, or more than once. Empty: nothing. */
export async function obstacles(edits: readonly Edit[]): Promise<string[]> {
  const found = edits.map(async ({ file, find }) => {
    const text = await readFile(join(dirname(PROGRAM), file), 'utf8').catch(() => undefined);
    if (text === undefined) return [`there is no dist/${file}`];
    const times = text.split(find).length - 1;
    return times === 1 ? [] : [`dist/${file} has ${times} times, not once: ${find}`];
  });
  return (await Promise.all(found)).flat();
}

/** A copy of the built program in `dir`, which must not be there yet, with edits; its main file. Throws for one that cannot be made. */
export async function copyBuild(dir: string, edits: readonly Edit[]): Promise<string> {
  const dist = dirname(PROGRAM);
  const root = dirname(dist);
  const found = await obstacles(edits);
  if (found.length > 0) throw new Error(found.join('; '));
  await mkdir(dir, { recursive: true });
  await cp(dist, join(dir, 'dist'), { recursive: true, filter: (path) => !path.endsWith('.map') });
  await cp(join(root, 'package.json'), join(dir, 'package.json'));
  await symlink(join(root, 'node_modules'), join(dir, 'node_modules'));
  for (const { file, find, replace } of edits) {
    const path = join(dir, 'dist', file);
    const text = await readFile(path, 'utf8');
    await writeFile(
      path,
      text.replace(find, () => replace),
    );
  }
  return join(dir, 'dist/main.js');
}
