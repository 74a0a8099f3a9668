import type { Check } from './check.ts';
import { checkCluster, CLUSTER_CHECKS } from './cluster.ts';
import type { Subject } from './findings.ts';
import { NODE_CHECKS } from './node-checks.ts';

/** A check, and what it finds out: said where it cannot be run. */
export interface Entry {
  readonly finds: readonly Subject[];
  readonly check: Check;
}

/** All checks that need a configuration, in the order in which their findings are printed; they run at the same time. */
export const CHECKS: readonly Entry[] = [
  { finds: CLUSTER_CHECKS, check: (around) => checkCluster(around) },
  ...NODE_CHECKS,
];
