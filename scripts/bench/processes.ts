import { readdirSync, readFileSync } from 'node:fs';
import { processSeconds } from '../swarm/cpu.ts';

/** A process and all below it. */
export function treeOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+$/.test(name) ? parentOf(Number(name)) : undefined;
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/** CPU seconds of a process and all below it, so far. */
export function treeSeconds(root: number): number {
  return processSeconds(treeOf(root));
}

/** CPU seconds of this process's children that have ended and been waited for (proc(5): cutime, cstime). */
export function endedChildrenSeconds(): number {
  const [, , , , , , , , , , , , , user = 0, system = 0] = fieldsOf('self')!.map(Number);
  return (user + system) / 100;
}

/** The most memory that a process has had, in MiB (proc(5): VmHWM). */
export function peakMiB(pid: number): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return Number(kib) / 1024;
}

function parentOf(pid: number): number | undefined {
  const parent = fieldsOf(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** The fields of /proc/PID/stat from the third on: the second, in brackets, may hold blanks. Undefined: the process has ended. */
function fieldsOf(pid: number | 'self'): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
  } catch {
    return undefined;
  }
}
