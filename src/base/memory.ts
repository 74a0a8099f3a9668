import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Of a machine's memory, the most that Hawker takes where nothing else limits it: a mirror is a guest on its node. */
export const MEMORY_SHARE = 0.5;

/** In bytes. */
export interface MemoryReading {
  /** What this process has in memory (its resident set). */
  readonly used: number;
  /** What it may come to before the kernel, or the node's other programs, are in need. */
  readonly limit: number;
  /** Where the limit comes from. */
  readonly by: 'cgroup' | 'machine';
}

/** Reads a file of `/proc` or `/sys/fs/cgroup`; undefined where it is not there. */
export type ReadText = (path: string) => string | undefined;

const readText = readerBelow('/');

/** Reads below another root: of what is mounted there. */
export function readerBelow(root: string): ReadText {
  return (path) => {
    try {
      return readFileSync(join(root, path), 'latin1');
    } catch {
      return undefined;
    }
  };
}

const CGROUPS = '/sys/fs/cgroup';
/** Levels of cgroups above this process' own that are looked at. */
const MAX_DEPTH = 16;

/**
 * What this process takes and may take. What the memory of its cgroup (v1 or v2) and its machine has left for it is added to what it
 * takes: others in the same cgroup, or on the machine, take part of it too. Cached file pages count as left, for the kernel drops
 * them first. Undefined where the system does not say (not Linux).
 */
export function readMemory(
  read: ReadText = readText,
  rss = () => process.memoryUsage.rss(),
): MemoryReading | undefined {
  const machine = machineMemory(read('/proc/meminfo'));
  if (!machine) return undefined;
  const used = rss();
  const byMachine = Math.min(machine.total * MEMORY_SHARE, used + machine.available);
  const group = cgroupLeft(read);
  const byGroup = group === undefined ? Number.POSITIVE_INFINITY : used + group;
  return byGroup < byMachine ? { used, limit: byGroup, by: 'cgroup' } : { used, limit: byMachine, by: 'machine' };
}

/** `MemTotal` and `MemAvailable` of `/proc/meminfo`, in bytes. */
export function machineMemory(text: string | undefined): { total: number; available: number } | undefined {
  const field = (name: string): number | undefined => {
    const kib = new RegExp(String.raw`^${name}: +(\d+) kB`, 'm').exec(text ?? '')?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  };
  const total = field('MemTotal');
  const available = field('MemAvailable');
  return total === undefined || available === undefined ? undefined : { total, available };
}

/** A control group with memory accounting, v1 (Documentation/admin-guide/cgroup-v1/memory.rst) or v2 (cgroup-v2.rst). In bytes. */
export interface MemoryGroup {
  /** Its directory, below /sys/fs/cgroup. */
  readonly path: string;
  /** Undefined: none. */
  readonly limit: number | undefined;
  /** Without the cached file pages that can be dropped, with what is below the group; undefined: it does not say. */
  readonly used: number | undefined;
  /** Processes that the kernel has killed in it for want of memory, since it was made. */
  readonly kills: number;
}

/** The control groups of a process (`groups`: the text of its `/proc/<pid>/cgroup`) as far as they can be seen: its own first, then those above. */
export function memoryGroups(groups: string | undefined, read: ReadText): MemoryGroup[] {
  const v1 = /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(.*)$/m.exec(groups ?? '')?.[1];
  const v2 = /^0::(.*)$/m.exec(groups ?? '')?.[1];
  return [
    ...(v1 === undefined ? [] : pathsUp(join(CGROUPS, 'memory'), v1).map((path) => readGroup(read, path, V1))),
    ...(v2 === undefined ? [] : pathsUp(CGROUPS, v2).map((path) => readGroup(read, path, V2))),
  ].filter((group) => group !== undefined);
}

/** Of groups, the one with the least limit; undefined: none has one. */
export function tightestOf(groups: readonly MemoryGroup[]): MemoryGroup | undefined {
  const limited = groups.filter(({ limit }) => limit !== undefined);
  return limited.toSorted((a, b) => a.limit! - b.limit!)[0];
}

/** Bytes that the tightest of this process' cgroups has left; undefined: none has a limit. */
function cgroupLeft(read: ReadText): number | undefined {
  const left = memoryGroups(read('/proc/self/cgroup'), read).flatMap(({ limit, used }) =>
    limit === undefined || used === undefined ? [] : [Math.max(0, limit - used)],
  );
  return left.length > 0 ? Math.min(...left) : undefined;
}

/** A cgroup and those above it. In a container the path may be that of the host, and the root is the cgroup itself. */
function pathsUp(root: string, path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..');
  const paths = parts.map((_, index) => join(root, ...parts.slice(0, parts.length - index)));
  return [...paths.slice(0, MAX_DEPTH), root];
}

interface Version {
  readonly limit: string;
  readonly usage: string;
  readonly events: string;
  /** In `memory.stat`, with what is below the group: cached file pages, and those among them that cannot be dropped. */
  readonly cache: string;
  readonly shmem: string;
}

const V1: Version = {
  limit: 'memory.limit_in_bytes',
  usage: 'memory.usage_in_bytes',
  events: 'memory.oom_control',
  cache: 'total_cache',
  shmem: 'total_shmem',
};
const V2: Version = {
  limit: 'memory.max',
  usage: 'memory.current',
  events: 'memory.events',
  cache: 'file',
  shmem: 'shmem',
};

/** Where v1 has no limit it says the largest number of pages that it knows. */
const NO_LIMIT_BYTES = 2 ** 62;

function readGroup(read: ReadText, path: string, names: Version): MemoryGroup | undefined {
  const limit = numberIn(read(join(path, names.limit)));
  const usage = numberIn(read(join(path, names.usage)));
  const events = read(join(path, names.events));
  if (limit === undefined && usage === undefined && events === undefined) return undefined;
  const stat = read(join(path, 'memory.stat')) ?? '';
  const droppable = Math.max(0, statOf(stat, names.cache) - statOf(stat, names.shmem));
  return {
    path,
    limit: limit !== undefined && limit < NO_LIMIT_BYTES ? limit : undefined,
    used: usage === undefined ? undefined : Math.max(0, usage - droppable),
    kills: statOf(events ?? '', 'oom_kill'),
  };
}

/** Undefined for `max`, and for what is not there. */
function numberIn(text: string | undefined): number | undefined {
  const digits = /^(\d+)\s*$/.exec(text ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function statOf(stat: string, name: string): number {
  return Number(new RegExp(String.raw`^${name} (\d+)$`, 'm').exec(stat)?.[1] ?? 0);
}
