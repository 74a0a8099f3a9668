import { formatTime } from '../base/units.ts';
import type { Finding } from './check.ts';
import { ClockSkewed } from './errors.ts';
import { failedBy } from './failed-by.ts';
import { ok, skipped } from './findings.ts';

/** Piece tokens are good for 5 minutes each way; and logs of two nodes are to be read side by side. */
export const MAX_SKEW_MS = 30_000;

const MEANING =
  'logs and times of this node cannot be read beside those of the others; tokens and certificates of registries may count as not yet valid, or as over. (Pieces go by the supernode’s clock, and are not touched.)';

/** This node's clock against the supernode's; `skewMs` undefined: neither the proxy nor a visit has told. */
export function checkClock(supernode: string | undefined, skewMs: number | undefined): Finding {
  const about = { code: 'CLOCK', title: `clock against ${supernode ?? 'the supernode'}` };
  if (skewMs === undefined) return skipped(about, 'no session in which it could be compared');
  const skew = skewText(skewMs);
  if (Math.abs(skewMs) <= MAX_SKEW_MS) return ok(about, `this node's clock is ${skew} it`);
  return failedBy(about, new ClockSkewed({ skew }), MEANING);
}

/** `12.0 s ahead of`, to be followed by whose. */
function skewText(skewMs: number): string {
  return `${formatTime(Math.abs(skewMs))} ${skewMs < 0 ? 'behind' : 'ahead of'}`;
}
