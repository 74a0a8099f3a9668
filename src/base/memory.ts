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

const readText: ReadText = (path) => {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
};

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

/** Bytes that the tightest of this process' cgroups has left; undefined: none has a limit. */
function cgroupLeft(read: ReadText): number | undefined {
  const groups = read('/proc/self/cgroup') ?? '';
  const v1 = /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(.*)$/m.exec(groups)?.[1];
  const v2 = /^0::(.*)$/m.exec(groups)?.[1];
  const left = [
    ...(v1 === undefined ? [] : pathsUp(join(CGROUPS, 'memory'), v1).map((path) => leftIn(read, path, V1))),
    ...(v2 === undefined ? [] : pathsUp(CGROUPS, v2).map((path) => leftIn(read, path, V2))),
  ].filter((bytes) => bytes !== undefined);
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
  /** In `memory.stat`, with what is below the group: cached file pages, and those among them that cannot be dropped. */
  readonly cache: string;
  readonly shmem: string;
}

const V1: Version = {
  limit: 'memory.limit_in_bytes',
  usage: 'memory.usage_in_bytes',
  cache: 'total_cache',
  shmem: 'total_shmem',
};
const V2: Version = { limit: 'memory.max', usage: 'memory.current', cache: 'file', shmem: 'shmem' };

/** Where v1 has no limit it says the largest number of pages that it knows. */
const NO_LIMIT_BYTES = 2 ** 62;

function leftIn(read: ReadText, path: string, names: Version): number | undefined {
  const limit = numberIn(read(join(path, names.limit)));
  if (limit === undefined || limit >= NO_LIMIT_BYTES) return undefined;
  const usage = numberIn(read(join(path, names.usage)));
  const stat = read(join(path, 'memory.stat'));
  if (usage === undefined || stat === undefined) return undefined;
  const droppable = Math.max(0, statOf(stat, names.cache) - statOf(stat, names.shmem));
  return Math.max(0, limit - Math.max(0, usage - droppable));
}

/** Undefined for `max`, and for what is not there. */
function numberIn(text: string | undefined): number | undefined {
  const digits = /^(\d+)\s*$/.exec(text ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function statOf(stat: string, name: string): number {
  return Number(new RegExp(String.raw`^${name} (\d+)$`, 'm').exec(stat)?.[1] ?? 0);
}
