/** shellcheck finds nothing in the shell scripts: those of the tree, and what `hawker completion` prints. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { runCommand } from '../support/cli.ts';
import { run } from './support/programs.ts';
import { e2e } from './support/rig.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const NOT_OURS = new Set(['node_modules', '.git', '.build', '.tap', 'dist', 'coverage']);
/** Every check, also those that are off by default, but for taste. */
const OPTIONS = ['--norc', '--severity=style', '--enable=avoid-nullary-conditions,deprecate-which'];

/** By their name, or by their first line. */
async function scripts(dir: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory() && !NOT_OURS.has(entry.name)) found.push(...(await scripts(path)));
    if (!entry.isFile()) continue;
    if (/\.(?:ba)?sh$/.test(entry.name) || /^#!.*\b(?:ba|da)?sh\b/.test((await readFile(path, 'utf8')).slice(0, 80)))
      found.push(path);
  }
  return found;
}

e2e(t, 'shellcheck finds nothing', ['shellcheck'], async (t, rig) => {
  const files = await scripts(ROOT);
  t.ok(files.map((path) => relative(ROOT, path)).includes('.ci/run'));
  const { code, stdout, stderr } = await run('shellcheck', [...OPTIONS, ...files]);
  t.equal(code, 0, stdout + stderr);

  const { status, out } = await runCommand(['completion', 'bash']);
  t.equal(status, 0);
  // bash 3 has no mapfile, and IFS is a newline where words are split; `cmd= place=0` is meant.
  const completion = join(rig.dir, 'completion.bash');
  await writeFile(completion, out);
  const checked = await run('shellcheck', [...OPTIONS, '--shell=bash', '--exclude=SC1007,SC2207', completion]);
  t.equal(checked.code, 0, checked.stdout + checked.stderr);

  const faulty = join(rig.dir, 'faulty.sh');
  await writeFile(faulty, '#!/bin/sh\nrm -r $1\n');
  t.match((await run('shellcheck', [...OPTIONS, faulty])).stdout, /SC2086/, 'it would say so');
});
