import { join, dirname } from 'node:path';
import { textOf } from './node-files.ts';

/** Memory of the control group that a process is in, in bytes. */
export interface GroupMemory {
  /** Where it is read, below /sys/fs/cgroup. */
  readonly path: string;
  /** The least limit on the way up to the root; undefined: none. */
  readonly limitBytes: number | undefined;
  /** Used by the group that has that limit, page cache that can be dropped not counted. */
  readonly usedBytes: number | undefined;
  /** Processes of the group that the kernel has killed for want of memory, since it was made. */
  readonly kills: number;
}

const MOUNT = '/sys/fs/cgroup';
/** v1 says "no limit" with a number near 2^63 (Documentation/admin-guide/cgroup-v1/memory.rst). */
const NO_LIMIT_BYTES = 2 ** 60;

/** Reads cgroup v2 (Documentation/admin-guide/cgroup-v2.rst) or v1, whichever has memory; undefined where neither can be read. */
export async function groupMemory(root: string, pid: number | 'self'): Promise<GroupMemory | undefined> {
  const lines = ((await textOf(root, `/proc/${pid}/cgroup`)) ?? '').trim().split('\n');
  const entries = lines.map((line) => /^\d+:([^:]*):(.*)$/.exec(line)).filter((match) => match !== null);
  const v1 = entries.find(([, controllers]) => controllers!.split(',').includes('memory'))?.[2];
  const v2 = entries.find(([, controllers]) => controllers === '')?.[2];
  if (v1 !== undefined) {
    const files = { limit: 'memory.limit_in_bytes', used: 'memory.usage_in_bytes', events: 'memory.oom_control' };
    return await walkUp(root, join(MOUNT, 'memory'), v1, { ...files, cache: 'total_inactive_file' });
  }
  if (v2 === undefined) return undefined;
  const files = { limit: 'memory.max', used: 'memory.current', events: 'memory.events', cache: 'inactive_file' };
  return await walkUp(root, MOUNT, v2, files);
}

async function walkUp(
  root: string,
  mount: string,
  group: string,
  files: { limit: string; used: string; events: string; cache: string },
): Promise<GroupMemory | undefined> {
  // In a container the path is the host's, while what is mounted begins at the container's own group.
  const outside = (await textOf(root, join(mount, group, files.used))) === undefined;
  const own = join(mount, outside ? '/' : group);
  let limitBytes: number | undefined;
  let limited = own;
  for (let path = own; path.startsWith(mount); path = dirname(path)) {
    const limit = numberIn(await textOf(root, join(path, files.limit)));
    if (limit === undefined || limit >= (limitBytes ?? NO_LIMIT_BYTES)) continue;
    limitBytes = limit;
    limited = path;
  }
  const used = numberIn(await textOf(root, join(limited, files.used)));
  const events = await textOf(root, join(own, files.events));
  if (used === undefined && limitBytes === undefined && events === undefined) return undefined;
  const cache = field(await textOf(root, join(limited, 'memory.stat')), files.cache) ?? 0;
  const usedBytes = used === undefined ? undefined : Math.max(0, used - cache);
  return { path: own, limitBytes, usedBytes, kills: field(events, 'oom_kill') ?? 0 };
}

/** `max` is no number: no limit. */
function numberIn(text: string | undefined): number | undefined {
  const match = /^(\d{1,20})\s*$/.exec(text ?? '');
  return match ? Number(match[1]) : undefined;
}

function field(text: string | undefined, name: string): number | undefined {
  const line = (text ?? '').split('\n').find((one) => one.startsWith(`${name} `));
  return numberIn(line?.slice(name.length + 1));
}
