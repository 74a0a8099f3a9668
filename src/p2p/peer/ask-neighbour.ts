import { randomBytes } from 'node:crypto';
import type { Digest } from '../../base/digest.ts';
import { codeOf } from '../../base/errors.ts';
import type { PeerTarget } from '../protocol/coordinator.ts';
import type { Membership } from '../protocol/membership.ts';
import { askWhoami } from '../protocol/whoami.ts';
import { PeerRefused } from './errors.ts';
import { ASK_MS } from './neighbours.ts';
import type { PieceClient } from './piece-client.ts';

const NONCE_BYTES = 16;

export interface AskNeighbourDeps {
  readonly client: Pick<PieceClient, 'has'>;
  readonly membership: Pick<Membership, 'isWhoamiProof'>;
  readonly whoami?: typeof askWhoami;
}

/**
 * Asks a peer whether it has the whole of a blob: the peer if so, else undefined. A token is made out to one life of a peer;
 * one that has been started anew since the supernode named it refuses it, and is asked who it is now. Rejects as
 * `PieceClient.has`.
 */
export async function askNeighbour(
  peer: PeerTarget,
  digest: Digest,
  signal: AbortSignal,
  deps: AskNeighbourDeps,
): Promise<PeerTarget | undefined> {
  const { client } = deps;
  try {
    return (await client.has(peer, digest, signal)) === undefined ? undefined : peer;
  } catch (error) {
    // Of several addresses the error is the first one's, and the refusal may be another's.
    const mayBeAnew = codeOf(error) === PeerRefused.code || (peer.addresses.length > 1 && !signal.aborted);
    const anew = mayBeAnew ? await inItsNewLife(peer, deps) : undefined;
    if (!anew) throw error;
    return (await client.has(anew, digest, signal)) === undefined ? undefined : anew;
  }
}

/** The peer as it proves itself to be now, if that is another instance. */
async function inItsNewLife(
  { peer, instance: before, addresses }: PeerTarget,
  { membership, whoami = askWhoami }: AskNeighbourDeps,
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
