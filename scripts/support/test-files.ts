import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

/**
 * The compiled test files for paths as people type them: `test/store/journal.test.ts`, a folder such as `test/store`, or the
 * compiled file itself. Throws where there is none.
 */
export function compiledTests(root: string, path: string): string[] {
  const source = relative(root, resolve(root, path));
  const compiled = join(root, source.startsWith('.build') ? source : join('.build', source)).replace(/\.ts$/, '.js');
  const stat = statSync(compiled, { throwIfNoEntry: false });
  if (!stat) throw new Error(`${path}: no such test (looked for ${relative(root, compiled)})`);
  const files = stat.isDirectory()
    ? readdirSync(compiled, { recursive: true, encoding: 'utf8' }).map((name) => join(compiled, name))
    : [compiled];
  return files.filter((file) => file.endsWith('.test.js')).sort();
}

/** Removes compiled tests whose source is gone: tsc leaves them, and they would still run. */
export function removeOrphans(root: string): void {
  const compiled = join(root, '.build/test');
  for (const name of readdirSync(compiled, { recursive: true, encoding: 'utf8' })) {
    if (name.endsWith('.js') && !existsSync(join(root, 'test', name.replace(/\.js$/, '.ts'))))
      rmSync(join(compiled, name));
  }
}
