import type { RefusalCode } from '../protocol/errors.ts';
import { REFUSALS } from '../protocol/errors.ts';
import { encode, type FromSupernode } from '../protocol/messages.ts';
import type { PeerId } from './events.ts';
import type { ConnectionId } from './roster-events.ts';
import type { Session } from './session.ts';

/** What is not sent within this much holds a session up for good. */
const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;
const MAX_MESSAGE_CHARACTERS = 1000;

/**
 * The sessions of one life of the supernode, and what is sent to them. What many messages of one turn of the event loop bring
 * about leaves as one message a session, so that the busier it is the fewer messages it sends.
 */
export class Sessions {
  readonly #tooSlow: (session: Session) => void;
  readonly #all = new Map<ConnectionId, Session>();
  readonly #unregistered = new Set<Session>();
  readonly #byPeer = new Map<PeerId, Session>();
  /** Those with assignments that have not been sent. */
  readonly #dirty = new Set<Session>();

  /** `tooSlow`: a session does not take what it is sent, and is over. */
  constructor(tooSlow: (session: Session) => void) {
    this.#tooSlow = tooSlow;
  }

  /** The longest there first. */
  get unregistered(): ReadonlySet<Session> {
    return this.#unregistered;
  }

  get size(): number {
    return this.#all.size;
  }

  all(): IterableIterator<Session> {
    return this.#all.values();
  }

  get(id: ConnectionId): Session | undefined {
    return this.#all.get(id);
  }

  /** The open session of a peer. */
  of(peer: PeerId): Session | undefined {
    return this.#byPeer.get(peer);
  }

  add(session: Session): void {
    this.#all.set(session.id, session);
    this.#unregistered.add(session);
  }

  /** The session is its peer's from now on. */
  opened(session: Session): void {
    this.#unregistered.delete(session);
    this.#byPeer.set(session.peer, session);
  }

  send(session: Session, message: FromSupernode): void {
    if (session.phase === 'over') return;
    session.socket.send(encode(message));
    if (session.socket.backlog <= MAX_BACKLOG_BYTES) return;
    session.phase = 'over';
    session.socket.terminate();
    this.#tooSlow(session);
  }

  /** False: the peer has no open session. */
  sendTo(peer: PeerId, message: FromSupernode): boolean {
    const session = this.#byPeer.get(peer);
    if (session) this.send(session, message);
    return session !== undefined;
  }

  /** It has assignments: they go out with the next flush, or now if no more fit into a message. */
  assigned(session: Session): void {
    if (session.assignments?.isFull) this.#flush(session);
    else this.#dirty.add(session);
  }

  flush(): void {
    for (const session of this.#dirty) this.#flush(session);
    this.#dirty.clear();
  }

  /** Says why, and closes. The roster is told by the caller, or has told. */
  end(session: Session, code: RefusalCode, message: string, closeCode: number): void {
    if (session.phase === 'over') return;
    const text = `${message} (${REFUSALS[code]})`.slice(0, MAX_MESSAGE_CHARACTERS);
    session.socket.send(encode({ t: session.phase === 'open' ? 'error' : 'reject', code, message: text }));
    session.socket.close(closeCode, code);
    this.drop(session);
  }

  /** It is over. */
  drop(session: Session): void {
    session.phase = 'over';
    session.assignments = undefined;
    this.#all.delete(session.id);
    this.#unregistered.delete(session);
    this.#dirty.delete(session);
    if (this.#byPeer.get(session.peer) === session) this.#byPeer.delete(session.peer);
  }

  #flush(session: Session): void {
    if (session.phase === 'open' && session.assignments) this.send(session, session.assignments.take());
  }
}
