import type { RefusalCode } from '../protocol/errors.ts';
import type { PeerId } from './events.ts';
import type { PeerState } from './roster-events.ts';
import type { RosterView } from './roster.ts';
import type { SecretName } from './rotation.ts';

/** Who is here, who is not and why: what `hawker peers`, doctor and the dashboard read. Times are ISO 8601. */
export interface PeersView {
  readonly peers: readonly PeerView[];
  readonly rejected: readonly RejectedView[];
}

export interface PeerView {
  readonly id: string;
  readonly instance: string;
  readonly host: string;
  readonly addresses: readonly string[];
  readonly zone: string;
  readonly version: string;
  readonly protocol: string;
  readonly state: PeerState;
  /** Why it is not ready; '' where it is. */
  readonly reason: string;
  /** When it came into this state. */
  readonly since: string;
  readonly lastHeartbeat: string;
  /** Whole blobs that it has announced. */
  readonly blobs: number;
  /** Where its session comes from. */
  readonly from: string;
  /** How far its clock is ahead of the supernode's. */
  readonly clockSkewMs: number;
  /** The join secrets that it accepts, as far as this supernode knows them, the one that it proves itself with first. */
  readonly secrets: readonly SecretName[];
}

/** What the roster does not know of a peer that is here. */
export interface PeerFacts {
  readonly blobs: number;
  readonly secrets: readonly SecretName[];
}

export interface RejectedView {
  readonly address: string;
  /** Host and peer id as it said, proved or not; '' where it has not. */
  readonly host: string;
  readonly peer: string;
  readonly code: RefusalCode;
  readonly message: string;
  /** The last time. */
  readonly at: string;
  readonly count: number;
}

const GONE: PeerFacts = { blobs: 0, secrets: [] };

/** `wallOffset`: what has to be added to the roster's times for milliseconds since 1970. */
export function peersView(roster: RosterView, factsOf: (peer: PeerId) => PeerFacts, wallOffset: number): PeersView {
  const wall = (time: number) => new Date(Math.round(time + wallOffset)).toISOString();
  const peers = Array.from(roster.members(), (member): PeerView => {
    const { peer, instance, host, zone, version, protocol, clockSkewMs } = member.registration;
    const { state, reason, from, addresses } = member;
    const times = { since: wall(member.since), lastHeartbeat: wall(member.lastHeard) };
    const { blobs, secrets } = state === 'left' ? GONE : factsOf(peer);
    return {
      id: peer,
      instance,
      host,
      addresses,
      zone,
      version,
      protocol,
      state,
      reason,
      ...times,
      blobs,
      from,
      clockSkewMs,
      secrets,
    };
  });
  const rejected = Array.from(roster.refused(), (refused): RejectedView => ({
    ...refused,
    at: wall(refused.at),
  })).reverse();
  return { peers, rejected };
}
