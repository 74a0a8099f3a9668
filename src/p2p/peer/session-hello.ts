import { randomBytes } from 'node:crypto';
import type { ByteTotals } from '../../base/metrics.ts';
import { compatibility } from '../protocol/compatibility.ts';
import type { MemberKeys } from '../protocol/member-keys.ts';
import { NONCE_BYTES, type Membership, type SessionFacts } from '../protocol/membership.ts';
import type { FromProxy, FromSupernode, Message } from '../protocol/messages.ts';
import { PROTOCOL_VERSION } from '../protocol/version.ts';

type Challenge = Message<FromSupernode, 'challenge'>;

/** What a proxy says of itself in `hello`. */
export interface SelfDescription {
  readonly peer: string;
  readonly instance: string;
  readonly version: string;
  readonly host: string;
  readonly addresses: readonly string[];
  readonly zone: string;
  readonly uploadSlots?: number | undefined;
  /** Asked at each beat. */
  readonly bytes?: () => ByteTotals;
}

export interface HelloOptions {
  readonly challenge: Pick<Challenge, 'epoch' | 'nonce'>;
  readonly self: SelfDescription;
  readonly membership: Membership;
  /** Wall time, in milliseconds since 1970. */
  readonly time: number;
  /** Only to find out whether it could register. */
  readonly isVisit: boolean;
}

/**
 * One registration: what is said, with the proof that this proxy is a member, and what the answer must prove. It keeps no proof: a
 * session lasts for days, and its proof is good for a moment.
 */
export class SessionHello {
  readonly #options: HelloOptions;
  readonly #facts: SessionFacts;

  constructor(options: HelloOptions) {
    const { challenge, self } = options;
    const { peer, instance } = self;
    const peerNonce = randomBytes(NONCE_BYTES).toString('base64url');
    this.#options = options;
    this.#facts = {
      supernodeNonce: challenge.nonce,
      peerNonce,
      epoch: challenge.epoch,
      peer,
      instance,
      addresses: [...self.addresses],
    };
  }

  message(): Message<FromProxy, 'hello'> {
    const { self, membership, time, isVisit } = this.#options;
    const { version, host, zone, uploadSlots } = self;
    const { peer, instance, addresses, peerNonce } = this.#facts;
    const { second } = membership;
    return {
      t: 'hello',
      protocol: PROTOCOL_VERSION,
      version,
      peer,
      instance,
      host,
      addresses: [...addresses],
      zone,
      ...(uploadSlots !== undefined && { uploadSlots }),
      nonce: peerNonce,
      proof: membership.sessionProof('peer', this.#facts),
      ...(second && { secondProof: second.keys.sessionProof('peer', this.#facts) }),
      time,
      ...(isVisit && { visit: true }),
    };
  }

  /** With which secret the supernode that sends `proof` has proved itself, to this registration; undefined: with none. */
  proverOf(proof: string): MemberKeys | undefined {
    return this.#options.membership.proverOf(proof, 'supernode', this.#facts);
  }
}

/** Why it is of no use to register, in the words of a supernode's refusal; undefined: it may be tried. */
export function refusalOf(
  { protocol, membership: asksForSecret }: Pick<Challenge, 'protocol' | 'membership'>,
  membership: Pick<Membership, 'isOpen'>,
): { readonly code: string; readonly message: string } | undefined {
  const versions = compatibility({ proxy: PROTOCOL_VERSION, supernode: protocol });
  if (!versions.works) return { code: 'PROTOCOL_VERSION', message: versions.message };
  if (asksForSecret && membership.isOpen)
    return { code: 'NOT_A_MEMBER', message: 'it has a join secret, this proxy has none' };
  return undefined;
}
