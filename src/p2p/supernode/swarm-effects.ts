import type { RefusalCode } from '../protocol/errors.ts';
import { Assignments, type Assigning } from './assignments.ts';
import type { Decision, RejectDecision } from './events.ts';
import type { OperatorNews } from './operator-news.ts';
import type { MemberView, RosterEvent } from './roster-events.ts';
import type { Roster } from './roster.ts';
import type { Session } from './session.ts';
import type { Sessions } from './sessions.ts';

export interface SwarmEffectsDeps {
  readonly sessions: Pick<Sessions, 'of' | 'assigned'>;
  readonly roster: Pick<Roster, 'find'>;
  readonly news: Pick<OperatorNews, 'rejectedEvent' | 'readsWrongBytes'>;
  readonly tell: (event: RosterEvent) => void;
  readonly refuse: (session: Session, code: RefusalCode, message: string) => void;
  /** Sessions have assignments that are to be sent. */
  readonly flushSoon: () => void;
}

/** Does what follows from the swarm's decisions: assignments for sessions, and what roster and operator are to know of peers. */
export class SwarmEffects {
  readonly #deps: SwarmEffectsDeps;

  constructor(deps: SwarmEffectsDeps) {
    this.#deps = deps;
  }

  /** In their order. */
  carryOut(decisions: readonly Decision[]): void {
    const { roster, news, tell } = this.#deps;
    for (const decision of decisions) {
      if (decision.kind === 'trouble') tell({ kind: 'trouble', peer: decision.peer });
      else if (decision.kind === 'reject') this.#rejected(decision);
      else if (decision.kind === 'blamed') {
        news.readsWrongBytes(decision, roster.find(decision.peer)?.registration.host);
      } else this.#assign(decision);
    }
  }

  /** What contradicts others or breaks a limit may be honest; a piece that does not exist is not. */
  #rejected({ peer, code }: RejectDecision): void {
    const { sessions, news, refuse } = this.#deps;
    news.rejectedEvent(code);
    const session = sessions.of(peer);
    if (session && code === 'NO_SUCH_PIECE')
      refuse(session, 'IMPOSSIBLE', 'it reports a piece that the blob does not have');
  }

  #assign(decision: Assigning): void {
    const { sessions, flushSoon } = this.#deps;
    const session = sessions.of(decision.peer);
    const wish = session?.wishOf(decision.digest);
    // It left meanwhile, or does not wish for the blob any more.
    if (!session || wish === undefined) return;
    session.assignments ??= new Assignments();
    session.assignments.add(decision, wish, this.#sourceIn(decision));
    sessions.assigned(session);
    flushSoon();
  }

  #sourceIn(decision: Assigning): MemberView | undefined {
    const { roster } = this.#deps;
    if (decision.kind === 'fetch') return roster.find(decision.from);
    return decision.kind === 'second-reading' ? roster.find(decision.by) : undefined;
  }
}
