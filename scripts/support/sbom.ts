import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Lock {
  readonly packages: Record<string, { readonly dev?: boolean; devDependencies?: unknown }>;
}

/**
 * The bill of materials of what runs (CycloneDX 1.5, JSON): every package of the lock file that is not for development alone, by npm. Throws
 * with npm's own words where it fails.
 *
 * npm is given a lock file without the packages for development: `npm sbom --omit dev` leaves out what both need (npm 11.19: `ws`,
 * `yaml` and nine more of Hawker's).
 */
export function billOfMaterials(root: string): string {
  const about = readJson(join(root, 'package.json')) as { name: string; devDependencies?: unknown };
  const lock = readJson(join(root, 'package-lock.json')) as Lock;
  delete about.devDependencies;
  delete lock.packages['']?.devDependencies;
  for (const [path, { dev }] of Object.entries(lock.packages)) if (dev) delete lock.packages[path];
  const dir = mkdtempSync(join(tmpdir(), 'hawker-sbom-'));
  try {
    // npm takes the directory's name for the program's.
    const tree = join(dir, about.name);
    mkdirSync(tree);
    writeFileSync(join(tree, 'package.json'), JSON.stringify(about));
    writeFileSync(join(tree, 'package-lock.json'), JSON.stringify(lock));
    const args = ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx', '--sbom-type', 'application'];
    const { status, stdout, stderr } = spawnSync('npm', args, { cwd: tree, encoding: 'utf8' });
    if (status !== 0) throw new Error(`npm sbom: exit ${status}\n${stderr}`);
    return stdout;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}
