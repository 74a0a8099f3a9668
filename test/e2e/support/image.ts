import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../../support/manifests.ts';
import type { Podman } from './containers.ts';
import { localBases } from './local-bases.ts';
import { must } from './programs.ts';
import type { Rig } from './rig.ts';

export const BUILD_PROGRAMS = ['tar', 'npm', 'ldd', 'which'];

/** Builds the Dockerfile under a name, upon bases made of this machine's own programs: no registry is at hand. */
export async function buildImage(rig: Rig, podman: Podman, name: string): Promise<void> {
  const roots = await localBases(await rig.folder('bases'));
  for (const [base, root] of Object.entries(roots)) {
    const tar = join(rig.dir, `${base}.tar`);
    await must('tar', ['--create', '--file', tar, '--directory', root, '.']);
    await podman.must('import', '--quiet', tar, `localhost/hawker-${base}:latest`);
  }
  // What `npm ci` of this tree has left in npm's cache is all that the build needs.
  const cache = (await must('npm', ['config', 'get', 'cache'])).trim();
  const npmrc = join(rig.dir, 'npmrc');
  await writeFile(npmrc, 'cache=/npm-cache\noffline=true\nupdate-notifier=false\n');
  const arg = (base: string) => ['--build-arg', `${base.toUpperCase()}=localhost/hawker-${base}:latest`];
  const mounts = ['--volume', `${cache}:/npm-cache:O`, '--volume', `${npmrc}:/root/.npmrc:ro`];
  const how = ['--format', 'docker', '--layers=false', '--isolation', 'chroot', '--network', 'host', '--pull=never'];
  await podman.must('build', '--quiet', ...how, ...mounts, ...arg('build'), ...arg('base'), '--tag', name, ROOT);
}
