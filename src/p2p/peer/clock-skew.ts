import { formatTime } from '../../base/units.ts';
import type { Logger } from '../../base/log.ts';

/** Clocks further apart than this are told of; and nearer than that they are in step again. */
export const SKEWED_MS = 30_000;
const IN_STEP_MS = 25_000;

/** Compares this node's clock with the supernode's, and says once that they are apart, and once that they are not any more. */
export class ClockSkew {
  readonly #log: Logger;
  #isSkewed = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** `ms`: this node's clock less the supernode's. */
  measured(ms: number, address: string): void {
    const apart = Math.abs(ms);
    if (!this.#isSkewed && apart > SKEWED_MS) {
      this.#isSkewed = true;
      const todo = 'set the clocks of both machines by NTP (timedatectl, chronyc)';
      const which = ms > 0 ? 'ahead of' : 'behind';
      this.#log.warn(
        { code: 'CLOCK_SKEW', address, clockSkewMs: ms, todo },
        `this node's clock is ${formatTime(apart)} ${which} the supernode's: Hawker goes by the supernode's, but TLS certificates and registries' tokens may be refused where this one is wrong`,
      );
    } else if (this.#isSkewed && apart < IN_STEP_MS) {
      this.#isSkewed = false;
      this.#log.info(
        { code: 'CLOCK_IN_STEP', address, clockSkewMs: ms },
        "this node's clock and the supernode's agree again",
      );
    }
  }
}
