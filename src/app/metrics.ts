import { Metrics, RoleMetrics } from '../base/metrics.ts';
import { PROTOCOL_VERSION, programVersion } from './version.ts';

/** The metrics of a proxy. */
export function proxyMetrics(): Metrics {
  return named(new Metrics());
}

/** What a supernode has of metrics as any role; its own come with `SupernodeMetrics`. */
export function supernodeMetrics(): RoleMetrics {
  return named(new RoleMetrics());
}

function named<T extends RoleMetrics>(metrics: T): T {
  metrics.buildInfo.set({ version: programVersion(), protocol: PROTOCOL_VERSION }, 1);
  return metrics;
}
