import type { ConnectionId, MemberView, PeerState, Registration } from './roster-events.ts';

/** Who wants to register, and how it is connected. */
export interface Arrival {
  readonly connection: ConnectionId;
  readonly from: string;
  readonly registration: Registration;
}

/** A peer from its registration until it is forgotten; the roster's own. */
export class Member implements MemberView {
  registration: Registration;
  number: number;
  connection: ConnectionId | undefined;
  from: string;
  state: PeerState = 'unreachable';
  reason = '';
  since: number;
  lastHeard: number;
  addresses: readonly string[];
  /** All numbers that it was introduced by, the present one last. */
  readonly numbers: number[];
  /** When its present test began; undefined while there is none. */
  testingSince: number | undefined;
  testedAt = Number.NEGATIVE_INFINITY;
  retestAt = Number.POSITIVE_INFINITY;
  failedTests = 0;

  constructor(number: number, { connection, from, registration }: Arrival, now: number) {
    this.registration = registration;
    this.number = number;
    this.numbers = [number];
    this.connection = connection;
    this.from = from;
    this.since = now;
    this.lastHeard = now;
    this.addresses = registration.addresses;
  }
}
