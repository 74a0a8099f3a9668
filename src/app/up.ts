import { systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Config } from '../config/config.ts';
import { Lifecycle } from './lifecycle.ts';
import { startProxy } from './proxy.ts';
import type { Service } from './service.ts';

/** Starts everything that a node needs in one process. Rejects, with all that was started stopped again, when a part cannot start. */
export async function startUp(config: Config, { log }: { log: Logger }): Promise<Service> {
  const lifecycle = new Lifecycle({ log, clock: systemClock });
  const addresses = await startProxy(config, { log, lifecycle });
  return { addresses, stop: () => lifecycle.stop() };
}
