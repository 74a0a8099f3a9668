import { setTimeout as sleep } from 'node:timers/promises';
import { ALLOWED } from '../../e2e/support/wait.ts';

const POLL_MS = 100;

/** Looks until there is nothing to find fault with, for so long at most (on a machine of one's own): what the last look found. */
export async function untilSo(boundMs: number, look: () => Promise<string[]>): Promise<string[]> {
  for (const end = performance.now() + boundMs * ALLOWED; ; await sleep(POLL_MS)) {
    const faults = await look();
    if (faults.length === 0 || performance.now() > end) return faults;
  }
}
