import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Rig } from './rig.ts';

/** Where package.json, dist and node_modules are. */
const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
const PROTOCOL = /PROTOCOL_VERSION = '[^']+'/;

/** The program as it is built, and as it would be installed. */
export const BUILT = join(ROOT, 'dist/main.js');

/** A copy of the built program that says that it has another version and another protocol; the path of its main module. */
export async function makeRelease(
  rig: Rig,
  { version, protocol }: { version: string; protocol: string },
): Promise<string> {
  const dir = join(rig.dir, `hawker-${version}`);
  await mkdir(dir);
  await cp(join(ROOT, 'dist'), join(dir, 'dist'), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
  const description = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as object;
  await writeFile(join(dir, 'package.json'), JSON.stringify({ ...description, version }));
  const file = join(dir, 'dist/p2p/protocol/version.js');
  const text = await readFile(file, 'utf8');
  if (!PROTOCOL.test(text)) throw new Error(`${file} has no PROTOCOL_VERSION`);
  await writeFile(file, text.replace(PROTOCOL, `PROTOCOL_VERSION = '${protocol}'`));
  return join(dir, 'dist/main.js');
}
