import { systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Config } from '../config/config.ts';
import { Lifecycle } from './lifecycle.ts';
import { loadMembership } from './membership.ts';
import type { Service } from './service.ts';
import { startSupernodeRole } from './supernode.ts';

/** Starts a supernode of its own. Rejects as `startUp`. */
export async function startSupernode(config: Config, { log }: { log: Logger }): Promise<Service> {
  const lifecycle = new Lifecycle({ log, clock: systemClock });
  const membership = await loadMembership(config);
  const { address } = await startSupernodeRole(config, { log, lifecycle, membership });
  return { addresses: [address], stop: () => lifecycle.stop() };
}
