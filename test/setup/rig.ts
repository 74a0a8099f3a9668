import { lstat, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import type { ProcessPort } from '../../src/cli/process-port.ts';
import { temporaryDirectory } from '../store/temporary.ts';
import { runCommand } from '../support/cli.ts';

/** What is below a directory: each path with its kind, mode and text. */
export type Tree = Readonly<Record<string, string>>;

/** A system of files, which `hawker setup` is run on as root. */
export interface SetupRig {
  readonly root: string;
  write(path: string, text: string): Promise<void>;
  read(path: string): Promise<string>;
  tree(): Promise<Tree>;
  /** `hawker setup …` with the root of this system. */
  setup(argv: readonly string[], more?: Partial<ProcessPort>): Promise<{ status: number; out: string; err: string }>;
}

export async function setupRig(t: Test): Promise<SetupRig> {
  const root = await temporaryDirectory(t);
  return rigAt(root);
}

export function rigAt(root: string): SetupRig {
  return {
    root,
    async write(path, text) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text);
    },
    read: (path) => readFile(join(root, path), 'utf8'),
    tree: () => treeOf(root),
    setup: (argv, more = {}) =>
      runCommand(['setup', ...argv, '--root', root], { account: { root: true, home: '/root' }, ...more }),
  };
}

async function treeOf(root: string): Promise<Tree> {
  const tree: Record<string, string> = {};
  for (const name of await readdir(root, { recursive: true })) {
    const path = join(root, name);
    const about = await lstat(path);
    const what = about.isSymbolicLink()
      ? `-> ${await readlink(path)}`
      : about.isFile()
        ? await readFile(path, 'latin1')
        : 'directory';
    tree[name] = `${(about.mode & 0o7777).toString(8)} ${what}`;
  }
  return tree;
}
