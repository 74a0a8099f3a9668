import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { compatibility } from '../protocol/compatibility.ts';
import type { RefusalCode } from '../protocol/errors.ts';
import { HELLO_TIMEOUT_MS } from '../protocol/limits.ts';
import { NONCE_BYTES, type Membership } from '../protocol/membership.ts';
import type { KnownPeer } from '../protocol/messages.ts';
import { CLOSE, type SessionSocket } from '../protocol/socket.ts';
import { PROTOCOL_VERSION } from '../protocol/version.ts';
import { examineHello, factsOf, registrationOf, secondClaimIn, type Hello } from './admission.ts';
import type { Introductions } from './introductions.ts';
import type { OperatorNews } from './operator-news.ts';
import type { PortTests } from './port-tests.ts';
import type { ConnectionId, RosterEvent } from './roster-events.ts';
import type { Roster } from './roster.ts';
import { Session, type SessionHost } from './session.ts';
import type { Sessions } from './sessions.ts';

/** The longest that a visitor waits for its result, in milliseconds: two tests and as many queues. */
export const VISIT_MS = 20_000;

export interface ReceptionDeps {
  readonly epoch: string;
  /** Of the program. */
  readonly version: string;
  readonly heartbeatMs: number;
  readonly membership: Membership;
  readonly clock: Pick<Clock, 'now'>;
  readonly sessions: Sessions;
  readonly roster: Pick<Roster, 'isFull'>;
  readonly introductions: Pick<Introductions, 'to'>;
  readonly ports: Pick<PortTests, 'ofVisitor'>;
  readonly news: Pick<OperatorNews, 'versionsDiffer'>;
  /** Who has shown that it is a member is registered; whether it is welcome the roster says. */
  readonly tell: (event: RosterEvent) => void;
  readonly refuse: (session: Session, code: RefusalCode, message: string) => void;
}

/** A session from its connection to its welcome: `challenge` goes out, `hello` comes in and is examined, `welcome` goes out. */
export class Reception {
  readonly #deps: ReceptionDeps;
  #lastConnection = 0;

  constructor(deps: ReceptionDeps) {
    this.#deps = deps;
  }

  /** Takes a connection from `from`, and speaks first. What is said on it goes to `host`. */
  accept(socket: SessionSocket, from: string, host: SessionHost): Session {
    const { sessions, membership, epoch, version, clock } = this.#deps;
    this.#lastConnection += 1;
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    const session = new Session(host, { id: this.#lastConnection, from, socket, nonce, now: host.now() });
    sessions.add(session);
    socket.listen(session);
    sessions.send(session, {
      t: 'challenge',
      nonce,
      epoch,
      protocol: PROTOCOL_VERSION,
      version,
      membership: !membership.isOpen,
      time: clock.now(),
    });
    return session;
  }

  /** A proxy says who it is, and proves that it is a member. */
  hello(session: Session, hello: Hello): void {
    const { membership, epoch, clock, tell, refuse } = this.#deps;
    const found = examineHello(hello, { membership, epoch, nonce: session.nonce });
    if ('code' in found) {
      refuse(session, found.code, found.message);
      return;
    }
    session.provedBy = found;
    session.secondClaim = secondClaimIn(hello, epoch, session.nonce);
    if (hello.visit === true) {
      this.#visit(session, hello);
      return;
    }
    const registration = registrationOf(hello, clock.now());
    tell({ kind: 'register', connection: session.id, from: session.from, registration });
  }

  /**
   * The roster has taken it in: the session is its peer's from now on. Unless `fresh` it goes on with what the peer's session
   * before it was about. False: there is no such session any more.
   */
  welcome(connection: ConnectionId, fresh: boolean, now: number): boolean {
    const { sessions, introductions, news } = this.#deps;
    const session = sessions.get(connection);
    if (!session?.hello) return false;
    const { hello } = session;
    session.open(hello.peer);
    const before = sessions.of(hello.peer);
    if (!fresh && before) session.inherit(before);
    sessions.opened(session);
    const warning = this.#sayWelcome(session, hello, introductions.to(session, now));
    if (warning !== undefined) news.versionsDiffer(hello, warning);
    return true;
  }

  /** Ends those that came and have said nothing, and visitors whose test does not end. */
  endLate(now: number): void {
    const { sessions, refuse } = this.#deps;
    for (const session of sessions.unregistered) {
      const age = now - session.openedAt;
      if (age < HELLO_TIMEOUT_MS) break;
      if (session.phase === 'new') refuse(session, 'HELLO_TIMEOUT', `no hello within ${HELLO_TIMEOUT_MS} ms`);
      else if (session.phase === 'visiting' && age >= VISIT_MS) {
        sessions.end(session, 'TOO_SLOW', 'the test of its piece port took too long', CLOSE.again);
      }
    }
  }

  /** It could register: it is told so, and whether its piece port can be reached. */
  #visit(session: Session, hello: Hello): void {
    const { roster, refuse, ports } = this.#deps;
    if (roster.isFull) {
      refuse(session, 'FULL', 'it has as many sessions as it takes');
      return;
    }
    session.phase = 'visiting';
    this.#sayWelcome(session, hello, []);
    ports.ofVisitor(session, hello);
  }

  /** How the versions differ, where they do. */
  #sayWelcome(session: Session, hello: Hello, peers: KnownPeer[]): string | undefined {
    const { sessions, epoch, heartbeatMs, clock } = this.#deps;
    const versions = compatibility({ proxy: hello.protocol, supernode: PROTOCOL_VERSION });
    const warning = versions.works ? versions.warning : undefined;
    sessions.send(session, {
      t: 'welcome',
      epoch,
      heartbeatMs,
      // With the secret that the proxy has proved itself with: it may not have the other one yet, or not any more.
      proof: session.provedBy![0].sessionProof('supernode', factsOf(hello, epoch, session.nonce)),
      time: clock.now(),
      peers,
      ...(warning !== undefined && { warning }),
    });
    return warning;
  }
}
