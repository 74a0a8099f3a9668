import { Interrupted } from './errors.ts';
import { FAILED } from './exit.ts';
import type { ProcessPort } from './process-port.ts';

/** A Ctrl-C reaches a process from the terminal and from who started it. */
const SAME_SIGNAL_MS = 500;

/**
 * A signal that aborts (INTERRUPTED, with what is `left` and what is `todo`) when the process is told to stop; told so again, it ends at once. `done` when
 * there is nothing to stop any more.
 */
export function interruptible(
  port: ProcessPort,
  left: string,
  todo?: string,
): { signal: AbortSignal; done: () => void } {
  const stop = new AbortController();
  let firstAt = Number.POSITIVE_INFINITY;
  let isDone = false;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    port.onSignal(name, () => {
      const now = performance.now();
      if (isDone || now - firstAt >= SAME_SIGNAL_MS) port.exit(FAILED);
      firstAt = Math.min(firstAt, now);
      stop.abort(new Interrupted({ signal: name, left, ...(todo !== undefined && { todo }) }));
    });
  }
  return { signal: stop.signal, done: () => (isDone = true) };
}
