/** Exponential backoff with full jitter, capped: the wait before retry number `attempt` (from 0), in milliseconds. */
export interface Backoff {
  readonly firstMs: number;
  readonly capMs: number;
}

/** Between half of and the whole of `min(capMs, firstMs * 2^attempt)`, so that many who failed together spread out. */
export function backoffMs({ firstMs, capMs }: Backoff, attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(capMs, firstMs * 2 ** Math.min(attempt, 30));
  return ceiling * (0.5 + random() / 2);
}
