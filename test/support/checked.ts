import fc from 'fast-check';
import type { Test } from 'tap';

/** Checks a property in so many runs, and says so; test/support/seeded.ts has the seed. */
export function checked(t: Test, numRuns: number, property: fc.IProperty<unknown>): void {
  fc.assert(property, { numRuns });
  t.pass(`${numRuns} histories`);
}
