import { Metrics } from '../base/metrics.ts';
import { PROTOCOL_VERSION, programVersion } from './version.ts';

/** The metrics of one role. */
export function roleMetrics(): Metrics {
  const metrics = new Metrics();
  metrics.buildInfo.set({ version: programVersion(), protocol: PROTOCOL_VERSION }, 1);
  return metrics;
}
