import type { MemberView } from './roster-events.ts';
import type { RosterView } from './roster.ts';

/** While peers are missing, it is said anew after so long. */
export const SUMMARY_MS = 5 * 60_000;
/** Peers and refusals that one summary names. */
const MOST_NAMED = 5;

export interface Summary {
  readonly counts: ReturnType<RosterView['counts']>;
  readonly message: string;
  readonly todo: string;
}

/** Says from time to time who is missing, as long as somebody is. No timer: it is told the time. */
export class Summaries {
  readonly #roster: RosterView;
  readonly #say: (summary: Summary) => void;
  #dueAt: number;

  constructor(roster: RosterView, now: number, say: (summary: Summary) => void) {
    this.#roster = roster;
    this.#say = say;
    this.#dueAt = now + SUMMARY_MS;
  }

  look(now: number): void {
    if (now < this.#dueAt) return;
    const summary = summaryOf(this.#roster, this.#dueAt - SUMMARY_MS);
    this.#dueAt = now + SUMMARY_MS;
    if (summary) this.#say(summary);
  }
}

/** Who is missing and why, in one line; undefined where all are ready and nobody was refused after `since`. */
function summaryOf(roster: RosterView, since: number): Summary | undefined {
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
