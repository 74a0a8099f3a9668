import type { Clock } from '../../base/clock.ts';
import type { FromProxy, Message } from '../protocol/messages.ts';
import type { Introductions } from './introductions.ts';
import type { Roster } from './roster.ts';
import type { Session } from './session.ts';
import type { Sessions } from './sessions.ts';
import type { Traffic } from './traffic.ts';

export interface HeartbeatsDeps {
  readonly roster: Pick<Roster, 'find'>;
  readonly sessions: Pick<Sessions, 'send'>;
  readonly traffic: Pick<Traffic, 'told'>;
  readonly introductions: Pick<Introductions, 'anewTo'>;
  /** The wall's time is told in each answer. */
  readonly clock: Pick<Clock, 'now'>;
}

/** Answers heartbeats, and takes in what they bring along. */
export class Heartbeats {
  readonly #deps: HeartbeatsDeps;

  constructor(deps: HeartbeatsDeps) {
    this.#deps = deps;
  }

  answer(session: Session, { n, bytes }: Message<FromProxy, 'beat'>, now: number): void {
    const { roster, sessions, traffic, introductions, clock } = this.#deps;
    const instance = roster.find(session.peer)?.registration.instance;
    if (bytes && instance !== undefined) traffic.told(instance, bytes, now);
    const peers = introductions.anewTo(session, now);
    sessions.send(session, { t: 'beat', n, time: clock.now(), ...(peers && { peers }) });
  }
}
