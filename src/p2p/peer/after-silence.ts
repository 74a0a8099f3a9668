import type { Clock } from '../../base/clock.ts';

/** A timer that is this late: the process did not run meanwhile, and nor may others have. In milliseconds. */
const PAUSED_MS = 500;

/**
 * Calls `silent` when `ms` have passed and nothing was heard; who hears something calls what is returned. What has come while
 * this process was busy is still in the socket: it is read before the verdict. `wasPaused`: this process did not run, and
 * perhaps the whole machine, so that the silence says nothing of the other side.
 */
export function afterSilence(clock: Clock, ms: number, silent: (wasPaused: boolean) => void): () => void {
  let heard = false;
  const dueAt = clock.monotonic() + ms;
  const cancel = clock.after(ms, () =>
    setImmediate(() => {
      if (!heard) silent(clock.monotonic() - dueAt >= PAUSED_MS);
    }),
  );
  return () => {
    heard = true;
    cancel();
  };
}
