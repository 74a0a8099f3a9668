import { readFileSync } from 'node:fs';
import { formatSize } from '../../src/base/units.ts';
import { missingHere } from '../netns/needs.ts';
import type { Asked, Rival } from './options.ts';

/** Debian packages, by the programs that the rig runs. */
const PACKAGES: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  tc: 'iproute2',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  mount: 'mount',
  sh: 'dash',
  cat: 'coreutils',
  sha256sum: 'coreutils',
  curl: 'curl',
  'docker-registry': 'docker-registry',
};
/** What a rival needs beside that. */
const RIVAL_PACKAGES: Readonly<Partial<Record<Rival, Readonly<Record<string, string>>>>> = {
  libtorrent: { mktorrent: 'mktorrent', opentracker: 'opentracker', python3: 'python3-libtorrent' },
  aria2: { mktorrent: 'mktorrent', opentracker: 'opentracker', aria2c: 'aria2' },
};
/** Beside the blobs: of each process. */
const BYTES_PER_PROXY = 150e6;

/** Why the rig cannot run here, each reason with what to do; none: it can. */
export function missing({ nodes, size, rival }: Asked): string[] {
  const needed = (nodes + 2) * size + nodes * BYTES_PER_PROXY;
  const available = availableBytes();
  return [
    ...missingHere({ ...PACKAGES, ...(rival && RIVAL_PACKAGES[rival]) }),
    available !== undefined &&
      available < needed &&
      `the stores are in memory: that takes ${formatSize(needed)}, and ${formatSize(available)} are free`,
  ].filter((reason) => reason !== false);
}

/** proc_meminfo(5). */
function availableBytes(): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const kibibytes = /^MemAvailable: +(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}
