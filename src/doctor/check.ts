import type { Clock } from '../base/clock.ts';
import type { Config } from '../config/config.ts';

/** What one check found, as `hawker doctor --json` gives it. */
export interface Finding {
  /** Of the check, whatever it found: stable. */
  readonly code: string;
  /** `skipped`: it was not done, and `seen` says why. */
  readonly status: 'ok' | 'failed' | 'skipped';
  /** What was checked, a few words, with the thing that it was done to: `TCP to sn.example:6789`. */
  readonly title: string;
  /** What was done and what came back. */
  readonly seen: string;
  /** What that means for pulls through this node; '' where all is well. */
  readonly meaning: string;
  /** What to do about it; '' where there is nothing to do. */
  readonly todo: string;
  /** Code of the error behind a failure, as it stands in logs and in docs/troubleshooting.md. */
  readonly error?: string;
}

/** What checks have around them. */
export interface Around {
  readonly config: Config;
  readonly clock: Clock;
  /** Whether a file may be read, what it says, and so on are asked below this directory: `/`, but for tests. */
  readonly root: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** One check: it does what its findings say, within a bound of its own, and never throws for what it may find. */
export type Check = (around: Around) => Promise<readonly Finding[]>;
