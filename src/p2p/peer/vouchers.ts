import { randomBytes } from 'node:crypto';
import type { Digest } from '../../base/digest.ts';
import type { PeerTarget } from '../protocol/coordinator.ts';
import { NONCE_BYTES, type Membership } from '../protocol/membership.ts';
import { inPresentLife, type LifeDeps } from './ask-neighbour.ts';
import { PeerBadResponse } from './errors.ts';
import type { KnownNeighbours } from './neighbours.ts';
import type { PieceClient } from './piece-client.ts';
import { saidIn, type Reading, type ReadingKey } from './readings.ts';

/** A reading, and the peer whose word it is. */
export interface PeerReading extends Reading {
  readonly peer: string;
}

/** The other proxies' word for what they have read from an origin. */
export interface Vouchers {
  /** Whether there is anybody to ask. */
  readonly isAnybodyThere: boolean;
  /**
   * A reading that the asker `accepts`; undefined: nobody vouches for one. Never rejects. `thorough`: those too that failed
   * to answer a moment ago.
   */
  ask(
    key: ReadingKey,
    accepts: (reading: Reading) => boolean,
    thorough: boolean,
    signal: AbortSignal,
  ): Promise<PeerReading | undefined>;
}

export interface PeerVouchersDeps extends Pick<LifeDeps, 'whoami'> {
  readonly neighbours: Pick<KnownNeighbours, 'inquire'>;
  /** The peers that are known, of which each is asked. */
  readonly knownCount: () => number;
  /** Peers that give the blob just now: these are asked first. */
  readonly giversOf: (digest: Digest) => readonly PeerTarget[];
  readonly client: Pick<PieceClient, 'reading'>;
  readonly membership: Pick<Membership, 'isReadingProof' | 'isWhoamiProof'>;
}

/**
 * Asks the peers that give a blob, and those that a supernode named last. Only the word of a member counts: a piece is checked
 * by its digest, whoever sends it, but with a stranger's word a private blob would go out.
 */
export class PeerVouchers implements Vouchers {
  readonly #deps: PeerVouchersDeps;

  constructor(deps: PeerVouchersDeps) {
    this.#deps = deps;
  }

  get isAnybodyThere(): boolean {
    return this.#deps.knownCount() > 0;
  }

  async ask(
    key: ReadingKey,
    accepts: (reading: Reading) => boolean,
    thorough: boolean,
    signal: AbortSignal,
  ): Promise<PeerReading | undefined> {
    const { neighbours, giversOf, knownCount } = this.#deps;
    const enough = new AbortController();
    let accepted: PeerReading | undefined;
    const answered = (reading: PeerReading): void => {
      accepted ??= reading;
      // Who has not answered yet need not.
      enough.abort();
    };
    const ask = async (peer: PeerTarget, late: AbortSignal): Promise<PeerReading | undefined> => {
      const reading = await inPresentLife(peer, (target) => this.#ask(target, key, late), late, this.#deps);
      return reading && accepts(reading) ? reading : undefined;
    };
    const first = giversOf(key.digest);
    const search = {
      digest: key.digest,
      first,
      except: new Set<string>(),
      thorough,
      most: first.length + knownCount(),
    };
    const inquiry = { ask, answered, enough: 1, about: 'who has read it' };
    await neighbours.inquire(search, inquiry, AbortSignal.any([signal, enough.signal]));
    return accepted;
  }

  /** Rejects as `PieceClient.reading`, and with PEER_BAD_RESPONSE where the proof is no member's. */
  async #ask(target: PeerTarget, key: ReadingKey, signal: AbortSignal): Promise<PeerReading | undefined> {
    const { client, membership } = this.#deps;
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    const answer = await client.reading(target, key, nonce, signal);
    if (!answer) return undefined;
    const { peer, instance, addresses } = target;
    const { reading, proof } = answer;
    if (membership.isReadingProof(proof, { nonce, peer, instance, ...key, said: saidIn(reading) })) {
      return { ...reading, peer };
    }
    throw new PeerBadResponse({ peer, address: addresses.join(', '), seen: 'a reading without the proof of a member' });
  }
}
