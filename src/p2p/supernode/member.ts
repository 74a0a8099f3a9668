import type { ConnectionId, MemberView, PeerState, Registration } from './roster-events.ts';
import { TestTimes } from './test-times.ts';

/** Who wants to register, and how it is connected. */
export interface Arrival {
  readonly connection: ConnectionId;
  readonly from: string;
  readonly registration: Registration;
}

/** A peer from its registration until it is forgotten; the roster's own. */
export class Member implements MemberView {
  registration: Registration;
  /** Given by the roster's numbers, which come before anything is told of it. */
  number = 0;
  connection: ConnectionId | undefined;
  from: string;
  state: PeerState = 'unreachable';
  reason = '';
  since: number;
  lastHeard: number;
  addresses: readonly string[];
  /** All numbers that it was introduced by and that are still known, the present one last. */
  readonly numbers: number[] = [];
  readonly tests = new TestTimes();

  constructor({ connection, from, registration }: Arrival, now: number) {
    this.registration = registration;
    this.connection = connection;
    this.from = from;
    this.since = now;
    this.lastHeard = now;
    this.addresses = registration.addresses;
  }
}
