import { CLOSE } from '../protocol/socket.ts';
import type { PeerEvent, SwarmEvent } from './events.ts';
import type { OperatorNews } from './operator-news.ts';
import type { PortTests } from './port-tests.ts';
import type { Preheats } from './preheats.ts';
import type { Reception } from './reception.ts';
import type { MemberView, PeerState, RosterNotice } from './roster-events.ts';
import type { Sessions } from './sessions.ts';

export interface RosterEffectsDeps {
  readonly sessions: Pick<Sessions, 'get' | 'send' | 'end'>;
  readonly reception: Pick<Reception, 'welcome'>;
  readonly ports: Pick<PortTests, 'ofMember'>;
  readonly preheats: Pick<Preheats, 'connected' | 'gone'>;
  readonly news: Pick<OperatorNews, 'stateChanged' | 'refused'>;
  readonly swarm: (event: SwarmEvent) => void;
}

/** Does what follows from the roster's notices: who comes, changes or goes is told to sessions, swarm, preheats and operator. */
export class RosterEffects {
  readonly #deps: RosterEffectsDeps;

  constructor(deps: RosterEffectsDeps) {
    this.#deps = deps;
  }

  /** In their order. `now`: as it was told to the roster. */
  carryOut(notices: readonly RosterNotice[], now: number): void {
    for (const notice of notices) this.#carryOut(notice, now);
  }

  #carryOut(notice: RosterNotice, now: number): void {
    const { sessions, ports, news } = this.#deps;
    switch (notice.kind) {
      case 'state':
        this.#stateChanged(notice.member, notice.was, now);
        return;
      case 'welcome':
        this.#welcome(notice, now);
        return;
      case 'reject':
      case 'close': {
        const session = sessions.get(notice.connection);
        if (session) sessions.end(session, notice.code, notice.message, CLOSE.again);
        return;
      }
      case 'ping': {
        const session = sessions.get(notice.connection);
        if (session) sessions.send(session, { t: 'ping' });
        return;
      }
      case 'test':
        ports.ofMember(notice.member);
        return;
      case 'refused':
        news.refused(notice.refused);
    }
  }

  #stateChanged(member: MemberView, was: PeerState | undefined, now: number): void {
    const { swarm, preheats, news } = this.#deps;
    const { state, reason, registration } = member;
    const { peer, instance } = registration;
    const isIn = isHeard(state);
    const wasIn = was !== undefined && isHeard(was);
    if (isIn) swarm(peerEventOf(member));
    else if (wasIn) swarm({ kind: 'gone', peer });
    // Who was silent for a while and has the same session still.
    if (isIn && !wasIn) preheats.connected(peer, instance, now);
    else if (!isIn && wasIn) preheats.gone(peer, `${state}: ${reason}`, now);
    news.stateChanged(member, was);
  }

  #welcome({ connection, member, fresh }: Extract<RosterNotice, { kind: 'welcome' }>, now: number): void {
    const { reception, swarm, preheats } = this.#deps;
    if (!reception.welcome(connection, fresh, now)) return;
    // The state of one that is new comes with a notice of its own.
    if (!fresh) swarm(peerEventOf(member));
    const { peer, instance } = member.registration;
    preheats.connected(peer, instance, now);
  }
}

/** It takes part, whether or not others can fetch from it. */
function isHeard(state: PeerState): boolean {
  return state === 'ready' || state === 'unreachable';
}

function peerEventOf({ registration, state }: MemberView): PeerEvent {
  const { peer, zone, uploadSlots } = registration;
  return { kind: 'peer', peer, reachable: state === 'ready', zone, uploadSlots };
}
