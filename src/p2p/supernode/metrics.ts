import { Counter, Gauge } from 'prom-client';
import type { RoleMetrics } from '../../base/metrics.ts';
import { REFUSALS, type RefusalCode } from '../protocol/errors.ts';

/** What a supernode counts, in the registry of its role. */
export class SupernodeMetrics {
  readonly #refused: Counter<'code'>;
  readonly #rejectedEvents: Counter<'code'>;
  readonly #faults: Counter;

  /** `peers` is asked at each scrape. */
  constructor(metrics: RoleMetrics, peers: () => Readonly<Record<string, number>>) {
    const registers = [metrics.registry];
    const gauge = new Gauge({
      name: 'hawker_peers',
      help: 'Peers by state; rejected: kinds of refused registrations that are remembered',
      labelNames: ['state'],
      registers,
      collect() {
        for (const [state, count] of Object.entries(peers())) gauge.set({ state }, count);
      },
    });
    this.#refused = new Counter({
      name: 'hawker_registration_failures_total',
      help: 'Registrations that were refused and sessions that were ended for what was said, by code',
      labelNames: ['code'],
      registers,
    });
    // From the start: a rate does not see the first of what was not there before.
    for (const code of Object.keys(REFUSALS)) this.#refused.inc({ code }, 0);
    this.#rejectedEvents = new Counter({
      name: 'hawker_swarm_rejected_total',
      help: 'What peers said of pieces and blobs that cannot be true or breaks a limit, by code',
      labelNames: ['code'],
      registers,
    });
    this.#faults = new Counter({
      name: 'hawker_supernode_faults_total',
      help: 'Faults in the supernode after which it has begun anew (SUPERNODE_FAULT in its log)',
      registers,
    });
  }

  fault(): void {
    this.#faults.inc();
  }

  refused(code: RefusalCode): void {
    this.#refused.inc({ code });
  }

  rejectedEvent(code: string): void {
    this.#rejectedEvents.inc({ code });
  }
}
