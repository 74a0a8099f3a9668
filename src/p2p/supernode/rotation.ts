import type { Logger } from '../../base/log.ts';
import type { RefusalCode } from '../protocol/errors.ts';
import type { Membership } from '../protocol/membership.ts';
import type { SecondRole } from '../protocol/secret-file.ts';
import { withSecond, type ProvedBy } from './admission.ts';
import type { Roster } from './roster.ts';
import type { Session } from './session.ts';
import type { Sessions } from './sessions.ts';

/** A join secret, by its line in this supernode's own file. */
export type SecretName = 'current' | SecondRole;

/** How far the peers that are here are with the rotation of the join secret. */
export interface RotationView {
  /** What the second line of this supernode's file is. */
  readonly second: SecondRole;
  /** Peers that are where this step has to bring them, and those that are not yet: once there are none of these, the next step is safe. */
  readonly ready: number;
  readonly waiting: number;
  /** Hosts of some of those that are not. */
  readonly waitingFor: readonly string[];
}

/** How often peers are counted while the secret is being replaced, and how often the log says how many are missing. */
const LOOK_MS = 1000;
const SAY_MS = 60_000;
/** Hosts that are named. */
const MAX_NAMED = 10;

export interface RotationDeps {
  readonly membership: Membership;
  readonly log: Logger;
  readonly sessions: Pick<Sessions, 'all'>;
  readonly roster: Pick<Roster, 'find'>;
  readonly refuse: (session: Session, code: RefusalCode, message: string) => void;
}

/**
 * Who has which secret: counted, so that an operator knows when the next step of a rotation is safe; and whoever has proved
 * itself with one that does not count any more is out.
 */
export class Rotation {
  readonly #deps: RotationDeps;
  #lookAt = Number.NEGATIVE_INFINITY;
  #sayAt = Number.NEGATIVE_INFINITY;
  #said: number | undefined;

  constructor(deps: RotationDeps) {
    this.#deps = deps;
  }

  secretsOf({ provedBy = [] }: { readonly provedBy?: ProvedBy | readonly never[] | undefined }): readonly SecretName[] {
    const { membership } = this.#deps;
    if (membership.isOpen) return [];
    const { first, second } = membership;
    return provedBy.flatMap((keys): SecretName[] => {
      if (keys === first) return ['current'];
      return keys === second?.keys ? [second.role] : [];
    });
  }

  view(): RotationView | undefined {
    const role = this.#deps.membership.second?.role;
    if (role === undefined) return undefined;
    let ready = 0;
    let waiting = 0;
    const waitingFor: string[] = [];
    for (const session of this.#deps.sessions.all()) {
      if (session.phase !== 'open') continue;
      if (isReady(role, this.secretsOf(session))) {
        ready += 1;
        continue;
      }
      waiting += 1;
      if (waitingFor.length < MAX_NAMED) waitingFor.push(this.#hostOf(session));
    }
    return { second: role, ready, waiting, waitingFor };
  }

  /** The membership's secrets are others now: looks at all sessions anew, and says how the peers stand. */
  changed(now: number): void {
    for (const session of this.#deps.sessions.all()) this.#examineAnew(session);
    this.#said = undefined;
    this.#sayAt = Number.NEGATIVE_INFINITY;
    this.#lookAt = Number.NEGATIVE_INFINITY;
    this.look(now);
  }

  /** Says how many are missing: where that has changed, not too often, and at once when none is. */
  look(now: number): void {
    if (now < this.#lookAt) return;
    this.#lookAt = now + LOOK_MS;
    const view = this.view();
    if (!view || view.waiting === this.#said || (now < this.#sayAt && view.waiting > 0)) return;
    this.#said = view.waiting;
    this.#sayAt = now + SAY_MS;
    const { second, ready, waiting, waitingFor } = view;
    this.#deps.log.info(
      { code: 'SECRET_ROTATION', second, ready, waiting, ...(waiting > 0 && { waitingFor }) },
      waiting === 0 ? `${SAFE[second]} (${ready} sessions)` : `${waiting} of ${ready + waiting} ${MISSING[second]}`,
    );
  }

  #hostOf({ peer }: Session): string {
    return this.#deps.roster.find(peer)?.registration.host ?? '';
  }

  #examineAnew(session: Session): void {
    const { membership, refuse } = this.#deps;
    const [prover] = session.provedBy ?? [];
    if (!prover) return;
    // Its second secret may be known here by now, or not any more.
    if (membership.accepts(prover)) session.provedBy = withSecond(prover, session.secondClaim, membership);
    else refuse(session, 'SECRET_RETIRED', 'the join secret that it has proved itself with is not accepted any more');
  }
}

/** Whether a peer is where the step of this supernode's file has to bring it. */
function isReady(role: SecondRole, secrets: readonly SecretName[]): boolean {
  if (role === 'next') return secrets.includes('next');
  if (role === 'previous') return secrets[0] === 'current';
  return secrets.join() === 'current,second';
}

const MISSING: Readonly<Record<SecondRole, string>> = {
  next: 'sessions are of proxies that do not accept the next join secret yet',
  previous: 'sessions still use the previous join secret',
  second: 'sessions are of proxies whose secret file is not as here',
};
const SAFE: Readonly<Record<SecondRole, string>> = {
  next: 'every proxy here accepts the next join secret: it can be made the first',
  previous: 'no session uses the previous join secret any more: it can be taken out',
  second: 'every proxy here has the same two join secrets, in the same order',
};
