import { randomBytes } from 'node:crypto';
import type { Digest } from '../../base/digest.ts';
import { codeOf } from '../../base/errors.ts';
import type { PeerTarget } from '../protocol/coordinator.ts';
import type { Membership } from '../protocol/membership.ts';
import { askWhoami, type AskWhoami } from '../protocol/whoami.ts';
import { PeerRefused } from './errors.ts';
import { ASK_MS } from './neighbours.ts';
import type { PieceClient } from './piece-client.ts';

const NONCE_BYTES = 16;

export interface LifeDeps {
  readonly membership: Pick<Membership, 'isWhoamiProof'>;
  /** Undefined: in clear. */
  readonly whoami?: AskWhoami | undefined;
}

export interface AskNeighbourDeps extends LifeDeps {
  readonly client: Pick<PieceClient, 'has'>;
}

/** Asks a peer whether it has the whole of a blob: the peer if so, else undefined. Rejects as `PieceClient.has`. */
export function askNeighbour(
  peer: PeerTarget,
  digest: Digest,
  signal: AbortSignal,
  deps: AskNeighbourDeps,
): Promise<PeerTarget | undefined> {
  const ask = async (target: PeerTarget) =>
    (await deps.client.has(target, digest, signal)) === undefined ? undefined : target;
  return inPresentLife(peer, ask, signal, deps);
}

/**
 * What `ask` gives. A token is made out to one life of a peer; one that has been started anew since the supernode named it
 * refuses it, and is asked who it is now. Rejects as `ask`.
 */
export async function inPresentLife<T>(
  peer: PeerTarget,
  ask: (peer: PeerTarget) => Promise<T>,
  signal: AbortSignal,
  deps: LifeDeps,
): Promise<T> {
  try {
    return await ask(peer);
  } catch (error) {
    // Of several addresses the error is the first one's, and the refusal may be another's.
    const mayBeAnew = codeOf(error) === PeerRefused.code || (peer.addresses.length > 1 && !signal.aborted);
    const anew = mayBeAnew ? await inItsNewLife(peer, deps) : undefined;
    if (!anew) throw error;
    return ask(anew);
  }
}

/** The peer as it proves itself to be now, if that is another instance. */
async function inItsNewLife(
  { peer, instance: before, addresses }: PeerTarget,
  { membership, whoami = askWhoami }: LifeDeps,
): Promise<PeerTarget | undefined> {
  const ask = async (address: string): Promise<PeerTarget> => {
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    const { peer: name, instance, proof } = await whoami(address, nonce, ASK_MS);
    const isProved = name === peer && membership.isWhoamiProof(proof, { nonce, peer, instance });
    if (!isProved || instance === before) throw new Error('it is no new life of this peer');
    return { peer, instance, addresses: [address, ...addresses.filter((other) => other !== address)] };
  };
  return Promise.any(addresses.map(ask)).catch(() => undefined);
}
