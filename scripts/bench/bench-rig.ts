import { setTimeout as sleep } from 'node:timers/promises';
import type { Daemon } from '../../test/e2e/support/programs.ts';
import type { Rig } from '../../test/e2e/support/rig.ts';
import { treeSeconds } from './processes.ts';

/** What a case is run with. */
export interface Bench {
  readonly rig: Rig;
  /** A directory on a disk: the rig's own is in memory. */
  readonly diskDir: string;
  readonly runs: number;
  /** Blobs are so much smaller than they should be, to try the benchmark itself; 1 for figures. */
  readonly scale: number;
  /** Where CPU profiles of Hawker's processes go. */
  readonly profile: string | undefined;
  readonly say: (line: string) => void;
}

/** A program that answers HTTP requests for what a registry has. */
export interface Server {
  readonly url: string;
  readonly daemon: Daemon;
  stop(): Promise<void>;
}

const QUIET_MS = 400;
const QUIET_BOUND_MS = 60_000;
/** USER_HZ is 100: one tick in that time is noise. */
const QUIET_SECONDS = 0.02;

/** Waits until programs do nothing any more: what one run leaves to do must not be done during the next. */
export async function quiet(daemons: readonly Daemon[]): Promise<void> {
  const seconds = () => daemons.filter(({ running }) => running).reduce((sum, { pid }) => sum + treeSeconds(pid), 0);
  const end = performance.now() + QUIET_BOUND_MS;
  for (let before = seconds(); performance.now() < end;) {
    await sleep(QUIET_MS);
    const now = seconds();
    if (now - before <= QUIET_SECONDS) return;
    before = now;
  }
}
