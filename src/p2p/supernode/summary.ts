import type { MemberView } from './roster-events.ts';
import type { Roster } from './roster.ts';

/** Peers and refusals that one summary names. */
const MOST_NAMED = 5;

export interface Summary {
  readonly counts: ReturnType<Roster['counts']>;
  readonly message: string;
  readonly todo: string;
}

/** Who is missing and why, in one line; undefined where all are ready and nobody was refused after `since`. */
export function summaryOf(roster: Roster, since: number): Summary | undefined {
  const missing = Array.from(roster.members()).filter(({ state }) => state === 'unreachable' || state === 'stale');
  const refused = Array.from(roster.refused()).filter(({ at }) => at >= since);
  if (missing.length === 0 && refused.length === 0) return undefined;
  const counts = roster.counts();
  const parts = [
    ...named(missing, ({ registration, from, state, reason }: MemberView) => {
      return `${registration.host || from} is ${state} (${reason})`;
    }),
    ...named(refused, ({ host, address, code, message, count }) => {
      return `${host || address} was refused ${count} times (${code}: ${message})`;
    }),
  ];
  const message = `${counts.ready} peers are ready; ${parts.join('; ')}`;
  return { counts, message, todo: '`hawker peers` lists them all; `hawker doctor` on such a node says what to do' };
}

function named<T>(all: readonly T[], describe: (one: T) => string): string[] {
  const more = all.length - MOST_NAMED;
  return [...all.slice(0, MOST_NAMED).map(describe), ...(more > 0 ? [`${more} more like these`] : [])];
}
