import type { Agenda } from './agenda.ts';
import type { Decision } from './events.ts';
import type { SwarmRules } from './limits.ts';
import type { Slots } from './slots.ts';

/** What the parts of one swarm share. */
export interface Context {
  /** Of the event in hand. */
  now: number;
  /** The decisions so far. */
  out: Decision[];
  /** Events refused so far. */
  rejected: number;
  readonly rules: SwarmRules;
  /** In [0, 1). */
  readonly random: () => number;
  readonly agenda: Agenda;
  readonly slots: Slots;
}
