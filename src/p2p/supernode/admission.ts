import { faultOfAddress } from '../protocol/addresses.ts';
import { compatibility } from '../protocol/compatibility.ts';
import type { RefusalCode } from '../protocol/errors.ts';
import type { MemberKeys, SessionFacts } from '../protocol/member-keys.ts';
import type { Membership } from '../protocol/membership.ts';
import type { FromProxy, Message } from '../protocol/messages.ts';
import { PROTOCOL_VERSION } from '../protocol/version.ts';
import type { Registration } from './roster-events.ts';

export type Hello = Message<FromProxy, 'hello'>;

export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
}

/** Why a proxy of that protocol version cannot take part; undefined where it can. */
export function refuseProtocol(protocol: string): Refusal | undefined {
  const found = compatibility({ proxy: protocol, supernode: PROTOCOL_VERSION });
  return found.works ? undefined : { code: 'PROTOCOL_VERSION', message: found.message };
}

/** With which secrets a proxy has proved itself: the one that it proves with, and the other that it accepts, if that is known here. */
export type ProvedBy = readonly [MemberKeys, ...MemberKeys[]];

/** Why a proxy is turned away for what its `hello` says, or with what it has proved itself. */
export function examineHello(
  hello: Hello,
  challenge: { readonly membership: Membership; readonly epoch: string; readonly nonce: string },
): Refusal | ProvedBy {
  const byVersion = refuseProtocol(hello.protocol);
  if (byVersion) return byVersion;
  const { membership, epoch, nonce } = challenge;
  const facts = factsOf(hello, epoch, nonce);
  const prover = membership.proverOf(hello.proof, 'peer', facts);
  if (!prover) {
    const message = membership.isOpen
      ? 'the proxy has a join secret, this supernode has none'
      : 'the proxy does not have the join secret of this supernode';
    return { code: 'NOT_A_MEMBER', message };
  }
  const faults = hello.addresses.map(faultOfAddress).filter((fault) => fault !== undefined);
  if (faults.length > 0) return { code: 'BAD_ADDRESS', message: faults.join('; ') };
  return withSecond(prover, secondClaimIn(hello, epoch, nonce), membership);
}

/** What shows that a proxy has a second secret. */
export interface SecondClaim {
  readonly proof: string;
  readonly facts: SessionFacts;
}

export function secondClaimIn(hello: Hello, epoch: string, nonce: string): SecondClaim | undefined {
  return hello.secondProof === undefined
    ? undefined
    : { proof: hello.secondProof, facts: factsOf(hello, epoch, nonce) };
}

/** The secrets of a proxy that has proved itself with `prover`. */
export function withSecond(prover: MemberKeys, claim: SecondClaim | undefined, membership: Membership): ProvedBy {
  const other = claim && membership.proverOf(claim.proof, 'peer', claim.facts);
  return other && other !== prover ? [prover, other] : [prover];
}

/** What the proofs of a session are about. */
export function factsOf(hello: Pick<Hello, 'nonce' | 'peer' | 'instance' | 'addresses'>, epoch: string, nonce: string) {
  const { peer, instance, addresses } = hello;
  return { supernodeNonce: nonce, peerNonce: hello.nonce, epoch, peer, instance, addresses };
}

export function registrationOf(hello: Hello, now: number): Registration {
  const { peer, instance, host, addresses, zone, version, protocol, uploadSlots, time } = hello;
  const clockSkewMs = Math.round(time - now);
  return { peer, instance, host, addresses, zone, version, protocol, uploadSlots, clockSkewMs };
}
