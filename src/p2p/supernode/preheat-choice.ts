import { createHash } from 'node:crypto';
import type { PeerId } from './events.ts';
import { PreheatNoPeers, PreheatTooFewPeers } from './preheat-errors.ts';
import type { PreheatRequest } from './preheat-order.ts';
import type { MemberView } from './roster-events.ts';

/** A peer that may be chosen. */
export interface PreheatCandidate {
  readonly peer: PeerId;
  readonly instance: string;
  readonly host: string;
  readonly zone: string;
  /** Others can fetch from it. */
  readonly isReady: boolean;
}

/** Those of the roster's members that are here and are heard. */
export function candidatesAmong(members: Iterable<MemberView>): PreheatCandidate[] {
  const candidates: PreheatCandidate[] = [];
  for (const { registration, state } of members) {
    const isReady = state === 'ready';
    if (isReady || state === 'unreachable') candidates.push({ ...registration, isReady });
  }
  return candidates;
}

/**
 * Those that others can fetch from come first; then always the same ones for an image, so that an order again finds it there.
 * Throws PREHEAT_NO_PEERS, PREHEAT_TOO_FEW_PEERS.
 */
export function choose(
  { image, zone, peers }: Pick<PreheatRequest, 'image' | 'zone' | 'peers'>,
  candidates: readonly PreheatCandidate[],
): PreheatCandidate[] {
  const there = candidates.filter((candidate) => zone === undefined || candidate.zone === zone);
  if (there.length === 0) throw new PreheatNoPeers({ zone });
  const wanted = peers ?? there.length;
  if (there.length < wanted) throw new PreheatTooFewPeers({ wanted, there: there.length });
  const rankOf = ({ peer }: PreheatCandidate) => createHash('sha256').update(`${image}\0${peer}`).digest('hex');
  const ranked = there.map((candidate) => ({ candidate, rank: rankOf(candidate) }));
  ranked.sort((a, b) => Number(b.candidate.isReady) - Number(a.candidate.isReady) || (a.rank < b.rank ? -1 : 1));
  return ranked.slice(0, wanted).map(({ candidate }) => candidate);
}
