import { cp, mkdir, realpath, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { must } from './programs.ts';

/** What the Dockerfile's build stage runs. */
const BUILD_PROGRAMS = ['sh', 'cp', 'mkdir', 'chmod', 'env', 'find', 'node'];

/**
 * Root file systems in place of the images that the Dockerfile builds upon, where no registry is at hand: `build` with Node, npm and a few
 * programs of this machine, `base` with the libraries that Node needs and nothing else, not even a shell.
 */
export async function localBases(dir: string): Promise<{ build: string; base: string }> {
  const build = join(dir, 'build-root');
  const base = join(dir, 'base-root');
  const node = process.execPath;
  for (const program of BUILD_PROGRAMS) {
    const path = program === 'node' ? node : await realpath((await must('which', [program])).trim());
    await put(build, path, `/usr/bin/${program}`);
    for (const library of await librariesOf(path)) await put(build, library);
  }
  for (const library of await librariesOf(node)) await put(base, library);
  // bin/npm-cli.js of the package.
  const npm = dirname(dirname(await realpath((await must('which', ['npm'])).trim())));
  await cp(npm, join(build, '/usr/lib/npm'), { recursive: true, dereference: true });
  for (const [link, target] of [
    ['/usr/bin/npm', '/usr/lib/npm/bin/npm-cli.js'],
    ['/bin', 'usr/bin'],
  ] as const) {
    await symlink(target, join(build, link));
  }
  for (const root of [build, base]) {
    for (const folder of ['tmp', 'etc', 'var/lib', 'root', 'proc', 'sys', 'dev']) {
      await mkdir(join(root, folder), { recursive: true });
    }
    await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  }
  return { build, base };
}

/** The shared libraries of a program, and its loader, by their paths. */
async function librariesOf(program: string): Promise<string[]> {
  const listed = await must('ldd', [program]);
  return [...listed.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path]) => path!);
}

/** Copies a file below a root, to where it lies on this machine unless it says otherwise. */
async function put(root: string, path: string, to = path): Promise<void> {
  await mkdir(join(root, dirname(to)), { recursive: true });
  await cp(path, join(root, to), { dereference: true });
}
