import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PROGRAM } from '../netns/programs.ts';

/** A copy of the built program that speaks another version of the protocol; its main file. */
export async function buildOfProtocol(dir: string, protocol: string): Promise<string> {
  const dist = dirname(PROGRAM);
  const root = dirname(dist);
  const copy = join(dir, `build-${protocol}`);
  await mkdir(copy, { recursive: true });
  await cp(dist, join(copy, 'dist'), { recursive: true });
  await cp(join(root, 'package.json'), join(copy, 'package.json'));
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
  const file = join(copy, 'dist/p2p/protocol/version.js');
  const text = await readFile(file, 'utf8');
  const changed = text.replace(/PROTOCOL_VERSION = '\d+\.\d+'/, `PROTOCOL_VERSION = '${protocol}'`);
  if (changed === text) throw new Error(`${file} names no protocol version that can be replaced`);
  await writeFile(file, changed);
  return join(copy, 'dist/main.js');
}
