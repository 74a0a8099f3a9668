import type { Clock } from '../../base/clock.ts';
import { silentLogger, type Logger } from '../../base/log.ts';
import type { Assignment, Coordinator, Ticket, Want } from '../protocol/coordinator.ts';
import { OriginReads } from './origin-reads.ts';

/** Decides for a proxy that is alone and knows no other: every piece comes from the origin. */
export class SoloCoordinator implements Coordinator {
  readonly #deps: { readonly clock: Clock; readonly log: Logger; readonly random: () => number };

  constructor({
    clock,
    log = silentLogger,
    random = Math.random,
  }: {
    clock: Clock;
    log?: Logger;
    random?: () => number;
  }) {
    this.#deps = { clock, log, random };
  }

  want(want: Want, listener: (assignment: Assignment) => void): Ticket {
    return new OriginReads(want, listener, this.#deps);
  }
}
