import type { RefusalCode } from '../protocol/errors.ts';
import type { PeerId } from './events.ts';

/** A connection, by the number that the supernode gave it. */
export type ConnectionId = number;

/** What a proxy says of itself; membership, version and form have been checked. */
export interface Registration {
  readonly peer: PeerId;
  /** New at each start: tells a restarted proxy, or a copy of its disk, from the one that is known. */
  readonly instance: string;
  readonly host: string;
  /** `host:port` of its piece port; none: nobody can fetch from it. */
  readonly addresses: readonly string[];
  readonly zone: string;
  readonly version: string;
  readonly protocol: string;
  readonly uploadSlots: number | undefined;
  /** How far its clock is ahead of the supernode's. */
  readonly clockSkewMs: number;
}

/** What the roster is told. */
export type RosterEvent =
  | {
      readonly kind: 'register';
      readonly connection: ConnectionId;
      readonly from: string;
      readonly registration: Registration;
    }
  /** Anything came from it. */
  | { readonly kind: 'heard'; readonly connection: ConnectionId }
  /** `goodbye`: it said that it stops. */
  | { readonly kind: 'closed'; readonly connection: ConnectionId; readonly goodbye: boolean; readonly reason: string }
  /** Its piece port was tried at these advertised addresses: the one that answered, or why none did. */
  | {
      readonly kind: 'tested';
      readonly peer: PeerId;
      readonly instance: string;
      readonly addresses: readonly string[];
      readonly result: TestResult;
    }
  /** Others have trouble with it. */
  | { readonly kind: 'trouble'; readonly peer: PeerId }
  /** A registration that never came so far, or a session that was ended for what it said. */
  | {
      readonly kind: 'refused';
      readonly from: string;
      readonly who?: Claim | undefined;
      readonly code: RefusalCode;
      readonly message: string;
    };

/** Who somebody says that it is. */
export type Claim = Pick<Registration, 'peer' | 'host'>;

export type TestResult =
  { readonly address: string; readonly error?: undefined } | { readonly address?: undefined; readonly error: string };

/** What the roster says. */
export type RosterNotice =
  /** `fresh`: nothing of it is known any more; else it replaces `replaced` and its work goes on. */
  | {
      readonly kind: 'welcome';
      readonly connection: ConnectionId;
      readonly member: MemberView;
      readonly fresh: boolean;
      readonly replaced: ConnectionId | undefined;
    }
  | { readonly kind: 'reject'; readonly connection: ConnectionId; readonly code: RefusalCode; readonly message: string }
  | { readonly kind: 'close'; readonly connection: ConnectionId; readonly code: RefusalCode; readonly message: string }
  /** A registration or session was refused, once more or (`count` 1) for the first time. */
  | { readonly kind: 'refused'; readonly refused: Refused }
  /** Find out whether it still answers. */
  | { readonly kind: 'ping'; readonly connection: ConnectionId }
  /** Find out whether its piece port can be reached. */
  | { readonly kind: 'test'; readonly member: MemberView }
  /** Its state or the reason for it has changed; `was` undefined: it is new. */
  | { readonly kind: 'state'; readonly member: MemberView; readonly was: PeerState | undefined };

export type PeerState = 'ready' | 'unreachable' | 'stale' | 'left';

/** A peer as the roster knows it; changes with it. Times are those that were passed to the roster. */
export interface MemberView {
  readonly registration: Registration;
  /** Names this instance at these addresses, and is never used for anything else. */
  readonly number: number;
  readonly connection: ConnectionId | undefined;
  /** Where it connected from. */
  readonly from: string;
  readonly state: PeerState;
  /** Why it is not ready. */
  readonly reason: string;
  /** When it came into this state. */
  readonly since: number;
  readonly lastHeard: number;
  /** The address that was proved to work comes first. */
  readonly addresses: readonly string[];
}

/** Registrations and sessions that were refused, those of one kind from one host and address together. */
export interface Refused {
  readonly address: string;
  /** As it said, proved or not; '' where it has not. */
  readonly host: string;
  readonly peer: PeerId;
  readonly code: RefusalCode;
  readonly message: string;
  /** The last time. */
  readonly at: number;
  readonly count: number;
}
