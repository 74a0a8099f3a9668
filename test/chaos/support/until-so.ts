import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 100;

/** Looks until there is nothing to find fault with, for so long at most: what the last look found. */
export async function untilSo(boundMs: number, look: () => Promise<string[]>): Promise<string[]> {
  for (const end = performance.now() + boundMs; ; await sleep(POLL_MS)) {
    const faults = await look();
    if (faults.length === 0 || performance.now() > end) return faults;
  }
}
