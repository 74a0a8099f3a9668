import fc from 'fast-check';
import type { Test } from 'tap';

/** A failure's seed, to run the same histories again. */
const SEED = 'HAWKER_SEED';

/** Checks a property in so many runs, and says with which seed: `HAWKER_SEED=N npm test -- FILE` makes the same ones. */
export function checked(t: Test, numRuns: number, property: fc.IProperty<unknown>): void {
  const given = process.env[SEED];
  const seed = given === undefined ? Math.trunc(Math.random() * 2 ** 31) : Number(given);
  t.comment(`${SEED}=${seed}`);
  fc.assert(property, { numRuns, seed });
  t.pass(`${numRuns} histories`);
}
