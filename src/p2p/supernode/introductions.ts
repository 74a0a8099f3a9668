import { MAX_KNOWN_PEERS } from '../protocol/limits.ts';
import type { KnownPeer } from '../protocol/messages.ts';
import type { Roster } from './roster.ts';
import type { Session } from './session.ts';

/** How often a session is told anew whom to ask when every supernode is gone. */
export const TELL_PEERS_MS = 60_000;

/** Whom a proxy may ask when every supernode is gone: some peers that can be reached, those of its zone first. */
export class Introductions {
  readonly #roster: Pick<Roster, 'find' | 'some'>;

  constructor(roster: Pick<Roster, 'find' | 'some'>) {
    this.#roster = roster;
  }

  /** For a session that is open. */
  to(session: Session, now: number): KnownPeer[] {
    session.toldPeersAt = now;
    const zone = this.#roster.find(session.peer)?.registration.zone ?? '';
    return this.#roster.some(zone, session.peer, MAX_KNOWN_PEERS).map(({ registration, addresses }) => ({
      id: registration.peer,
      instance: registration.instance,
      addresses: [...addresses],
      zone: registration.zone,
    }));
  }

  /** The same, once a minute; undefined: it was told not long ago. */
  anewTo(session: Session, now: number): KnownPeer[] | undefined {
    return now - session.toldPeersAt >= TELL_PEERS_MS ? this.to(session, now) : undefined;
  }
}
