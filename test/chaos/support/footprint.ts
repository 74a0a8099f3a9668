import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Hawker } from '../../e2e/support/hawker.ts';
import { untilSo } from './until-so.ts';

const MiB = 1024 * 1024;
/** Sockets that are kept alive to the registry, and what else a node opens in passing. */
const SPARE_DESCRIPTORS = 24;
const BACK_BOUND_MS = 20_000;

/** What a process of Hawker's takes (Linux). */
export class Footprint {
  readonly #pid: number;
  readonly #descriptors: number;
  readonly #memory: number;

  /** As of now: from here on the peak counts. */
  constructor({ pid }: Pick<Hawker, 'pid'>) {
    this.#pid = pid;
    this.#descriptors = descriptorsOf(pid);
    this.#memory = memoryOf(pid, 'VmRSS');
    // proc(5): 5 resets the peak of the resident set.
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  }

  /** Whether the memory has not been more than so many bytes above what it was. */
  peakFaults(bytes: number): string[] {
    const more = memoryOf(this.#pid, 'VmHWM') - this.#memory;
    return more <= bytes ? [] : [`it took ${inMiB(more)} more memory, not ${inMiB(bytes)} at most`];
  }

  /** Waits until descriptors, and memory but for so many bytes, are back to what they were. */
  backFaults(bytes: number): Promise<string[]> {
    return untilSo(BACK_BOUND_MS, async () => {
      const descriptors = descriptorsOf(this.#pid) - this.#descriptors;
      const memory = memoryOf(this.#pid, 'VmRSS') - this.#memory;
      return [
        ...(descriptors <= SPARE_DESCRIPTORS ? [] : [`${descriptors} descriptors more are open than before`]),
        ...(memory <= bytes ? [] : [`${inMiB(memory)} more memory is in use than before`]),
      ];
    });
  }
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function memoryOf(pid: number, what: 'VmRSS' | 'VmHWM'): number {
  const kib = new RegExp(`^${what}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return Number(kib) * 1024;
}

function inMiB(bytes: number): string {
  return `${Math.round(bytes / MiB)} MiB`;
}
