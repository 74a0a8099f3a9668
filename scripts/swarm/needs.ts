import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { formatSize } from '../../src/base/units.ts';
import type { Asked } from './options.ts';
import { PROGRAM } from './programs.ts';

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
/** Beside the blobs: of each process. */
const BYTES_PER_PROXY = 150e6;

/** Why the rig cannot run here, each reason with what to do; none: it can. */
export function missing({ nodes, size }: Asked): string[] {
  const path = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const absent = Object.keys(PACKAGES).filter((program) => !path.some((dir) => existsSync(join(dir, program))));
  const packages = [...new Set(absent.map((program) => PACKAGES[program]))].join(' ');
  const needed = (nodes + 2) * size + nodes * BYTES_PER_PROXY;
  const available = availableBytes();
  return [
    process.platform !== 'linux' && 'network namespaces are of Linux only',
    process.getuid?.() !== 0 && 'it takes root to make network namespaces: try sudo',
    absent.length > 0 && `not installed: ${absent.join(', ')} (on Debian: apt-get install ${packages})`,
    !existsSync(PROGRAM) && `${PROGRAM} is not there: run npm run build`,
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
