import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { hashFile } from './clients/client.ts';
import { type Hawker, MAIN } from './hawker.ts';
import { FileHost } from './nginx.ts';
import { type Finished, run } from './programs.ts';
import { Relay } from './relay.ts';
import type { Rig } from './rig.ts';

const MiB = 1024 * 1024;
const GET_BOUND_MS = 240_000;
/** For nodes that are asked for files only. */
export const NO_REGISTRY = 'http://127.0.0.1:1';

/** A file of so many random bytes; its digest. */
export async function makeFile(path: string, size: number): Promise<string> {
  const noise = await open('/dev/urandom', 'r');
  const file = await open(path, 'w');
  const buffer = Buffer.allocUnsafe(8 * MiB);
  for (let left = size; left > 0;) {
    const { bytesRead } = await noise.read(buffer, 0, Math.min(buffer.length, left));
    await file.write(buffer, 0, bytesRead);
    left -= bytesRead;
  }
  await Promise.all([noise.close(), file.close()]);
  return hashFile(path);
}

/** A file of so many random bytes at a server of files, behind a relay that lets `rate` bytes a second through. */
export async function startPacedFile(
  rig: Rig,
  { name, size, rate }: { name: string; size: number; rate: number },
): Promise<{ readonly host: FileHost; readonly relay: Relay; readonly digest: string }> {
  const host = await FileHost.start(rig, 'files');
  const digest = await makeFile(join(host.root, name), size);
  const relay = await Relay.start(host.url);
  rig.onClose(() => relay.close());
  relay.paceTo(rate);
  return { host, relay, digest };
}

export function getArgs(proxy: Hawker, url: string, file: string, more: readonly string[] = []): string[] {
  return [MAIN, 'get', '--api-listen', proxy.api, url, '-o', file, '--json', ...more];
}

export function get(rig: Rig, proxy: Hawker, url: string, file: string, ...more: string[]): Promise<Finished> {
  return run(process.execPath, getArgs(proxy, url, file, more), { env: rig.environment(), boundMs: GET_BOUND_MS });
}

export interface Got {
  readonly bytes: number;
  readonly kept: number;
  readonly shared: boolean;
  readonly sources: Readonly<Record<'store' | 'peers' | 'origin', number>>;
  readonly ms: number;
}

export const gotOf = ({ stdout }: Finished): Got => JSON.parse(stdout) as Got;

export async function sizeIn(dir: string): Promise<number> {
  const sizes = await Promise.all((await readdir(dir)).map(async (name) => (await stat(join(dir, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

export async function isRight(t: Test, what: string, file: string, digest: string): Promise<void> {
  t.equal(await hashFile(file), digest, `${what} has the right bytes`);
  t.same(
    (await readdir(join(file, '..'))).filter((name) => name.startsWith('.')),
    [],
    'and nothing else is left',
  );
}
