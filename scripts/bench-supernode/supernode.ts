/* A supernode as `hawker supernode` composes it, in a process of its own. Tells its parent its port. */
import { systemClock } from '../../src/base/clock.ts';
import { createLogger } from '../../src/base/log.ts';
import { Lifecycle } from '../../src/app/lifecycle.ts';
import { Reloads } from '../../src/app/reloads.ts';
import { startSupernodeRole } from '../../src/app/supernode.ts';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import { BENCH_SECRET } from './processes.ts';

const log = createLogger({ level: 'error', format: 'json' });
const { address } = await startSupernodeRole(
  {
    supernode: { listen: { host: '127.0.0.1', port: 0 }, heartbeatMs: 5000 },
    cluster: { secretFile: undefined, operatorTokenFile: undefined },
  },
  {
    log,
    lifecycle: new Lifecycle({ log, clock: systemClock }),
    membership: new Membership(BENCH_SECRET),
    reloads: new Reloads(),
  },
);
process.send!({ port: address.port });
// Without the drain of a real stop; with `--cpu-prof` the profile is written here.
process.on('message', () => process.exit(0));
