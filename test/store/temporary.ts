import { mkdtemp, readdir, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { createLogger, type Logger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { DiskStore, type DiskStoreOptions } from '../../src/store/disk-store.ts';

/** An empty directory, removed after the test; short enough a path for a socket. */
export async function temporaryDirectory(t: Test, parent = tmpdir()): Promise<string> {
  const dir = await realpath(await mkdtemp(join(parent, 'hawker-')));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** A logger that keeps the codes of what it is told. */
export function recordingLogger(): { log: Logger; codes: () => string[] } {
  const lines: string[] = [];
  const log = createLogger({ level: 'debug', format: 'json', destination: { write: (line) => void lines.push(line) } });
  return { log, codes: () => lines.map((line) => (JSON.parse(line) as { code: string }).code) };
}

/** Opens a store in `dir`, closed after the test. */
export async function openStore(
  t: Test,
  dir: string,
  options: Partial<DiskStoreOptions> = {},
): Promise<{ store: DiskStore; codes: () => string[]; metrics: Metrics }> {
  const { log, codes } = recordingLogger();
  const metrics = new Metrics();
  const quotaBytes = 64 * 1024 * 1024;
  const store = await DiskStore.open({ dir, quotaBytes, log, metrics, clock: systemClock, ...options });
  t.teardown(() => store.close());
  return { store, codes, metrics };
}

/** What each file is charged in whole numbers of. */
export const KiB4 = 4096;

/** What the blobs and incoming blobs of a store's directory take, by its rule: allocated blocks, at least one a file. */
export async function bytesOnDisk(dir: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(join(dir, 'v1'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name.endsWith('.journal') || /^verified(\.new)?$/.test(entry.name)) continue;
    const { size, blocks } = await stat(join(entry.parentPath, entry.name));
    bytes += Math.max(KiB4, Math.min(blocks * 512, Math.ceil(size / KiB4) * KiB4));
  }
  return bytes;
}
