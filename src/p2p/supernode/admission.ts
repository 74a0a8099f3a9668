import { faultOfAddress } from '../protocol/addresses.ts';
import { compatibility } from '../protocol/compatibility.ts';
import type { RefusalCode } from '../protocol/errors.ts';
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

/** Why a proxy is turned away for what its `hello` says; undefined where it may register. */
export function refuseHello(
  hello: Hello,
  challenge: { readonly membership: Membership; readonly epoch: string; readonly nonce: string },
): Refusal | undefined {
  const byVersion = refuseProtocol(hello.protocol);
  if (byVersion) return byVersion;
  const { membership, epoch, nonce } = challenge;
  if (!membership.isSessionProof(hello.proof, 'peer', factsOf(hello, epoch, nonce))) {
    const message = membership.isOpen
      ? 'the proxy has a join secret, this supernode has none'
      : 'the proxy does not have the join secret of this supernode';
    return { code: 'NOT_A_MEMBER', message };
  }
  const faults = hello.addresses.map(faultOfAddress).filter((fault) => fault !== undefined);
  return faults.length === 0 ? undefined : { code: 'BAD_ADDRESS', message: faults.join('; ') };
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
