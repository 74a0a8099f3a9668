/**
 * How long a test waits for what is to come by itself. It is far more than it takes: a machine that others use too may take ten times
 * as long as one of its own, and a long bound costs nothing where what is waited for comes.
 */
export const PATIENCE_MS = 60_000;

/** A bound that was set on a machine of its own is so many times as long. */
export const ALLOWANCE = 5;
