import { backoffMs, type Backoff } from '../../base/backoff.ts';

/** Between two tests of one peer on others' complaints, in milliseconds. */
export const TROUBLE_TEST_MS = 5000;
/** A test that has not ended after so long is forgotten. */
export const TEST_BOUND_MS = 30_000;
/** A peer that could be reached is tested again after so long, give or take half of it, and later in a large cluster. */
export const READY_TEST_MS = 20_000;
const READY_TEST_MS_PER_PEER = 20;
const RETEST: Backoff = { firstMs: 1000, capMs: 10_000 };

/** When one peer's piece port is to be tested. Makes no test: it is told when one begins and how it has ended. */
export class TestTimes {
  /** When the present test began; undefined while there is none. */
  #runningSince: number | undefined;
  #testedAt = Number.NEGATIVE_INFINITY;
  #dueAt = Number.POSITIVE_INFINITY;
  #failed = 0;

  isDue(now: number): boolean {
    return this.#dueAt <= now;
  }

  /** A test is to begin. False: one is under way. */
  begin(now: number): boolean {
    if (this.#runningSince !== undefined && now - this.#runningSince < TEST_BOUND_MS) return false;
    this.#runningSince = now;
    this.#dueAt = now + TEST_BOUND_MS;
    return true;
  }

  /** It could not be reached: soon again, then later and later. */
  failed(now: number, random: () => number): void {
    this.#ended(now);
    this.#dueAt = now + backoffMs(RETEST, this.#failed, random);
    this.#failed += 1;
  }

  /** It could be reached, as one of so many `peers`: a port that is closed later is noticed though nobody asks for a piece. */
  passed(now: number, peers: number, random: () => number): void {
    this.#ended(now);
    this.#failed = 0;
    this.#dueAt = now + Math.max(READY_TEST_MS, READY_TEST_MS_PER_PEER * peers) * (0.5 + random());
  }

  /** Others have trouble with it. True: it is to be tested now; else it is as soon as its last test is old enough. */
  trouble(now: number): boolean {
    const at = this.#testedAt + TROUBLE_TEST_MS;
    if (at <= now) return true;
    this.#dueAt = Math.min(this.#dueAt, at);
    return false;
  }

  /** It has other addresses: of these nothing is known, and a test that is under way says nothing of them. */
  forget(): void {
    this.#runningSince = undefined;
    this.#failed = 0;
    this.stop();
  }

  /** It is gone: nothing is due. */
  stop(): void {
    this.#dueAt = Number.POSITIVE_INFINITY;
  }

  #ended(now: number): void {
    this.#runningSince = undefined;
    this.#testedAt = now;
  }
}
