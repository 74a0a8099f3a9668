import type { RefusalCode } from '../protocol/errors.ts';
import { CLOSE } from '../protocol/socket.ts';
import type { OperatorNews } from './operator-news.ts';
import type { Claim, RosterEvent } from './roster-events.ts';
import type { Roster } from './roster.ts';
import type { Session } from './session.ts';
import type { Sessions } from './sessions.ts';

export interface EndingsDeps {
  readonly sessions: Pick<Sessions, 'end' | 'drop'>;
  readonly roster: Pick<Roster, 'find'>;
  readonly tell: (event: RosterEvent) => void;
  readonly news: Pick<OperatorNews, 'denied'>;
}

/**
 * How sessions end that the roster does not end itself: it is told of each, with the reason, so that whoever is missing is
 * missing for a reason that can be read.
 */
export class Endings {
  readonly #deps: EndingsDeps;
  #stopped = false;

  constructor(deps: EndingsDeps) {
    this.#deps = deps;
  }

  /** The supernode ends: sessions that are closed from now on have not left. */
  stop(): void {
    this.#stopped = true;
  }

  /** A connection from `from` was refused before it could become a session. */
  turnedAway(from: string, code: RefusalCode, message: string): void {
    this.#deps.tell({ kind: 'refused', from, code, message });
    this.#deps.news.denied(from, code);
  }

  /** Ends a session for what was said in it, or for who is at its other end. */
  refuse(session: Session, code: RefusalCode, message: string): void {
    if (session.phase === 'over') return;
    const { sessions, tell, news } = this.#deps;
    const isMember = session.phase === 'open';
    tell({ kind: 'refused', from: session.from, who: this.#whoIs(session), code, message });
    if (!isMember) news.denied(session.from, code);
    sessions.end(session, code, message, CLOSE.policy);
    this.closed(session, false, `its session was ended: ${code}, ${message}`);
  }

  /** Its connection is cut already: it does not take what it is sent. */
  tooSlow(session: Session): void {
    const message = 'it does not take what it is sent';
    this.#deps.tell({ kind: 'refused', from: session.from, who: this.#whoIs(session), code: 'TOO_SLOW', message });
    this.closed(session, false, 'it did not take what it was sent');
  }

  /** Its connection is closed; `goodbye`: it said that it stops. */
  closed(session: Session, goodbye: boolean, reason: string): void {
    if (this.#stopped) return;
    this.#deps.sessions.drop(session);
    this.#deps.tell({ kind: 'closed', connection: session.id, goodbye, reason });
  }

  /** What it calls itself; before its membership was proved anybody may say anything. */
  #whoIs({ hello, peer }: Session): Claim | undefined {
    return hello ?? this.#deps.roster.find(peer)?.registration;
  }
}
