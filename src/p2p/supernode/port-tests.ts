import type { FromProxy, FromSupernode, Message } from '../protocol/messages.ts';
import { CLOSE } from '../protocol/socket.ts';
import type { Hello } from './admission.ts';
import { Reachability, type Helper, type ReachabilityOptions, type Tested } from './reachability.ts';
import type { MemberView, RosterEvent, TestResult } from './roster-events.ts';
import { NO_ADDRESS, type Roster } from './roster.ts';
import type { Session } from './session.ts';
import type { Sessions } from './sessions.ts';

const MAX_ERROR_CHARACTERS = 2000;

export interface PortTestsDeps extends Omit<ReachabilityOptions, 'helpers'> {
  readonly roster: Pick<Roster, 'find' | 'some'>;
  readonly sessions: Pick<Sessions, 'of' | 'send' | 'drop'>;
  readonly tell: (event: RosterEvent) => void;
}

/** Tests of piece ports: of peers whenever the roster wants one, of proxies that ask for theirs, of visitors. */
export class PortTests {
  readonly #roster: PortTestsDeps['roster'];
  readonly #sessions: PortTestsDeps['sessions'];
  readonly #tell: (event: RosterEvent) => void;
  readonly #reachability: Reachability;

  constructor({ roster, sessions, tell, ...options }: PortTestsDeps) {
    this.#roster = roster;
    this.#sessions = sessions;
    this.#tell = tell;
    this.#reachability = new Reachability({ ...options, helpers: (tested, count) => this.#helpers(tested, count) });
  }

  close(): void {
    this.#reachability.close();
  }

  /** A peer has tried to reach another one. */
  dialed(session: Session, answer: Message<FromProxy, 'dialed'>): void {
    this.#reachability.dialed(session.id, answer);
  }

  ofMember(member: MemberView): void {
    const tested = member.registration;
    this.#reachability.test(member, {
      tested,
      isHere: () => member.connection !== undefined,
      done: (result) => this.#tell({ kind: 'tested', ...tested, result }),
    });
  }

  /** A proxy wants to know; the roster hears of it, too. `n` comes back in the answer. */
  asked(session: Session, n: number): void {
    const tested = this.#roster.find(session.peer)?.registration;
    if (!tested || tested.addresses.length === 0) {
      this.#answer(session, n, { error: NO_ADDRESS });
    } else if (session.isTested) {
      this.#answer(session, n, { error: 'a test of this proxy is under way already' });
    } else {
      session.isTested = true;
      this.#reachability.test(session, {
        tested,
        isHere: () => session.phase === 'open',
        done: (result) => {
          session.isTested = false;
          this.#tell({ kind: 'tested', ...tested, result });
          this.#answer(session, n, result);
        },
      });
    }
  }

  /** Somebody who only visits: it is told, and its session is over. */
  ofVisitor(session: Session, hello: Hello): void {
    const leave = (result: TestResult) => {
      this.#answer(session, 0, result);
      session.socket.close(CLOSE.normal, '');
      this.#sessions.drop(session);
    };
    if (hello.addresses.length === 0) leave({ error: NO_ADDRESS });
    else this.#reachability.test(session, { tested: hello, isHere: () => session.phase === 'visiting', done: leave });
  }

  #answer(session: Session, n: number, { address, error }: TestResult): void {
    const said = address === undefined ? { error: error.slice(0, MAX_ERROR_CHARACTERS) } : { address };
    this.#sessions.send(session, { t: 'tested', n, ...said });
  }

  #helpers({ peer }: Tested, count: number): Helper[] {
    return this.#roster.some('', peer, count).flatMap((helper) => {
      const session = this.#sessions.of(helper.registration.peer);
      return session
        ? [{ id: session.id, ask: (message: FromSupernode) => this.#sessions.send(session, message) }]
        : [];
    });
  }
}
