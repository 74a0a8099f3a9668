import { formatTime } from '../../base/units.ts';
import { MISSED_HEARTBEATS } from '../protocol/limits.ts';
import type { RefusalCode } from '../protocol/errors.ts';
import { Departed } from './departed.ts';
import { Duplicates } from './duplicates.ts';
import type { PeerId } from './events.ts';
import { MemberNumbers } from './member-numbers.ts';
import { Member, type Arrival } from './member.ts';
import { ReadyMembers } from './ready-members.ts';
import { Refusals } from './refusals.ts';
import type {
  Claim,
  ConnectionId,
  MemberView,
  PeerState,
  Refused,
  RosterEvent,
  RosterNotice,
} from './roster-events.ts';

export { LEFT_KEPT_MS, MAX_LEFT } from './departed.ts';
export { PING_MS } from './duplicates.ts';
export { MAX_NUMBERS } from './member-numbers.ts';
export { READY_TEST_MS, TEST_BOUND_MS, TROUBLE_TEST_MS } from './test-times.ts';

/** Peers with a session at the same time. */
export const MAX_SESSIONS = 20_000;
/** A peer of which nothing is heard for so many heartbeats has its connection closed. */
export const GIVEN_UP_HEARTBEATS = 12;
export const NO_ADDRESS = 'it advertises no address';
const REPLACED = 'a newer session has taken over';

const NOTHING: readonly RosterNotice[] = [];

/** What can be read of a roster. */
export type RosterView = Pick<Roster, 'members' | 'find' | 'byNumber' | 'refused' | 'isFull' | 'counts' | 'some'>;

/**
 * Who is here. A pure state machine: events and the time (milliseconds on a clock that never jumps) go in, notices come out.
 *
 * A peer is `unreachable` until its piece port was proved to answer, then `ready`; `stale` after three missed heartbeats, `left`
 * once its connection is closed. Whoever is stale or has left registers again, and is whole again after that.
 */
export class Roster {
  readonly #heartbeatMs: number;
  readonly #random: () => number;
  readonly #members = new Map<PeerId, Member>();
  readonly #byConnection = new Map<ConnectionId, Member>();
  readonly #duplicates = new Duplicates();
  /** Those of `members` that have left. */
  readonly #departed = new Departed();
  /** Of those that are here. */
  readonly #numbers = new MemberNumbers();
  readonly #refused = new Refusals();
  readonly #ready: ReadyMembers;
  #out: RosterNotice[] = [];

  constructor(options: { heartbeatMs: number; random: () => number }) {
    this.#heartbeatMs = options.heartbeatMs;
    this.#random = options.random;
    this.#ready = new ReadyMembers(options.random);
  }

  apply(event: RosterEvent, now: number): readonly RosterNotice[] {
    switch (event.kind) {
      case 'heard':
        this.#heard(event.connection, now);
        break;
      case 'register':
        this.#register(event, now);
        break;
      case 'closed':
        this.#closed(event.connection, event.goodbye ? 'it stopped' : event.reason, now);
        break;
      case 'tested':
        this.#tested(event, now);
        break;
      case 'trouble':
        this.#trouble(event.peer, now);
        break;
      case 'refused':
        this.#remember(event.from, event.who, event.code, event.message, now);
    }
    return this.#take();
  }

  /** The supernode itself did not run for so long: nobody is to be missed for what it could not hear. */
  paused(ms: number): void {
    for (const member of this.#byConnection.values()) member.lastHeard += ms;
    this.#duplicates.paused(ms);
  }

  /** What is due by now. Call it a few times a second. */
  tick(now: number): readonly RosterNotice[] {
    for (const peer of this.#duplicates.unanswered(now)) this.#succeed(peer, now);
    const staleBefore = now - MISSED_HEARTBEATS * this.#heartbeatMs;
    const goneBefore = now - GIVEN_UP_HEARTBEATS * this.#heartbeatMs;
    for (const member of this.#byConnection.values()) {
      if (member.lastHeard < staleBefore) this.#missed(member, goneBefore, now);
      else if (member.tests.isDue(now)) this.#test(member, now);
    }
    for (const member of this.#departed.expired(now)) {
      // It may have come back as somebody new.
      if (this.#members.get(member.registration.peer) === member) this.#members.delete(member.registration.peer);
    }
    return this.#take();
  }

  /** Everyone who is here, or was not long ago. */
  members(): IterableIterator<MemberView> {
    return this.#members.values();
  }

  find(peer: PeerId): MemberView | undefined {
    return this.#members.get(peer);
  }

  /** The peer that is here and has been introduced by that number. */
  byNumber(number: number): MemberView | undefined {
    return this.#numbers.find(number);
  }

  /** What was refused, the latest last. */
  refused(): IterableIterator<Refused> {
    return this.#refused.values();
  }

  /** It takes no more peers. */
  get isFull(): boolean {
    return this.#byConnection.size >= MAX_SESSIONS;
  }

  counts(): Record<PeerState | 'rejected', number> {
    const counts = { ready: 0, unreachable: 0, stale: 0, left: 0, rejected: this.#refused.size };
    for (const { state } of this.#members.values()) counts[state] += 1;
    return counts;
  }

  /** Some peers that can be asked for pieces, those of the zone first. */
  some(zone: string, except: PeerId, limit: number): MemberView[] {
    return this.#ready.some(zone, except, limit);
  }

  #take(): readonly RosterNotice[] {
    if (this.#out.length === 0) return NOTHING;
    const out = this.#out;
    this.#out = [];
    return out;
  }

  #register(arrival: Arrival, now: number): void {
    const { connection, registration } = arrival;
    const known = this.#members.get(registration.peer);
    const isHere = known?.connection !== undefined;
    if (isHere && known.registration.instance !== registration.instance) {
      this.#ask(known, arrival, now);
      return;
    }
    if (!isHere && this.isFull) {
      this.#refuse(arrival, 'FULL', `it has ${MAX_SESSIONS} sessions already`, now);
      return;
    }
    // Who registers anew is alive: nobody else is to have its id.
    if (isHere) this.#answered(known, now);
    if (isHere && known.state !== 'stale') {
      this.#replace(known, arrival, now);
      return;
    }
    if (isHere) {
      const replaced = known.connection!;
      this.#leave(known, 'it registered again', now);
      this.#out.push({ kind: 'close', connection: replaced, code: 'REPLACED', message: REPLACED });
    }
    if (known) this.#departed.delete(known);
    this.#welcome(connection, arrival, now);
  }

  /** A newer session of the same instance: what it was doing goes on. */
  #replace(member: Member, arrival: Arrival, now: number): void {
    const replaced = member.connection!;
    const { registration } = arrival;
    const moved = registration.addresses.join() !== member.registration.addresses.join();
    this.#byConnection.delete(replaced);
    this.#byConnection.set(arrival.connection, member);
    this.#ready.delete(member);
    member.registration = registration;
    member.connection = arrival.connection;
    member.from = arrival.from;
    member.lastHeard = now;
    if (moved) {
      // Others know it by its number with its old addresses.
      member.addresses = registration.addresses;
      this.#numbers.give(member);
    }
    if (member.state === 'ready') this.#ready.add(member);
    this.#out.push({ kind: 'welcome', connection: arrival.connection, member, fresh: false, replaced });
    this.#out.push({ kind: 'close', connection: replaced, code: 'REPLACED', message: REPLACED });
    if (moved) this.#untested(member, now);
  }

  #welcome(connection: ConnectionId, arrival: Arrival, now: number): void {
    const member = new Member(arrival, now);
    this.#numbers.give(member);
    this.#members.set(arrival.registration.peer, member);
    this.#byConnection.set(connection, member);
    this.#out.push({ kind: 'welcome', connection, member, fresh: true, replaced: undefined });
    this.#untested(member, now, true);
  }

  /** Nothing is known of these addresses. */
  #untested(member: Member, now: number, isNew = false): void {
    const hasAny = member.addresses.length > 0;
    const reason = hasAny ? 'its piece port is being tested' : NO_ADDRESS;
    this.#move(member, 'unreachable', reason, now, isNew);
    member.tests.forget();
    this.#test(member, now);
  }

  /** Two with one id: the older one is asked whether it is still there. */
  #ask(known: Member, arrival: Arrival, now: number): void {
    if (this.#duplicates.has(arrival.registration.peer)) {
      this.#refuse(arrival, 'DUPLICATE_ID', 'two other proxies with this peer id are here', now);
      return;
    }
    this.#duplicates.add(arrival, now);
    this.#out.push({ kind: 'ping', connection: known.connection! });
  }

  /** The older one of the two is alive. */
  #answered({ registration: { peer, host, instance }, from }: Member, now: number): void {
    const duplicate = this.#duplicates.take(peer);
    if (!duplicate) return;
    const message = `peer id ${peer} is in use by instance ${instance} on ${host} (${from})`;
    this.#refuse(duplicate, 'DUPLICATE_ID', message, now);
  }

  /** The older one of the two has not answered, or is gone: who waits for its place, if anybody does, gets it. */
  #succeed(peer: PeerId, now: number): void {
    const successor = this.#duplicates.take(peer);
    if (!successor) return;
    const known = this.#members.get(peer);
    if (known?.connection !== undefined) {
      const { connection } = known;
      this.#leave(known, 'another instance took its place, and it did not answer', now);
      const message = 'another instance with this peer id registered, and this one did not answer a ping';
      this.#out.push({ kind: 'close', connection, code: 'STALE', message });
    }
    this.#register(successor, now);
  }

  #heard(connection: ConnectionId, now: number): void {
    const member = this.#byConnection.get(connection);
    if (!member) return;
    member.lastHeard = now;
    this.#answered(member, now);
    if (member.state !== 'stale') return;
    this.#leave(member, 'it was silent for too long, and is to register again', now);
    const message = 'nothing was heard of this proxy for too long: it is to register again';
    this.#out.push({ kind: 'close', connection, code: 'STALE', message });
  }

  #closed(connection: ConnectionId, reason: string, now: number): void {
    const member = this.#byConnection.get(connection);
    if (!member) {
      this.#duplicates.closed(connection);
      return;
    }
    this.#leave(member, reason, now);
    this.#succeed(member.registration.peer, now);
  }

  #missed(member: Member, goneBefore: number, now: number): void {
    const reason = `nothing was heard of it for ${formatTime(now - member.lastHeard)}`;
    if (member.state !== 'stale') {
      this.#move(member, 'stale', reason, now);
    } else if (member.lastHeard < goneBefore) {
      const connection = member.connection!;
      this.#leave(member, reason, now);
      this.#out.push({ kind: 'close', connection, code: 'STALE', message: reason });
      this.#succeed(member.registration.peer, now);
    }
  }

  #leave(member: Member, reason: string, now: number): void {
    this.#byConnection.delete(member.connection!);
    member.connection = undefined;
    member.tests.stop();
    this.#numbers.retire(member);
    this.#move(member, 'left', reason, now);
    this.#departed.add(member);
  }

  #test(member: Member, now: number): void {
    if (member.addresses.length > 0 && member.tests.begin(now)) this.#out.push({ kind: 'test', member });
  }

  #tested({ peer, instance, addresses, result }: Extract<RosterEvent, { kind: 'tested' }>, now: number): void {
    const member = this.#members.get(peer);
    if (!member || member.connection === undefined || member.registration.instance !== instance) return;
    // Of addresses that it had before: those that it has now are being tested.
    if (member.registration.addresses.join() !== addresses.join()) return;
    if (result.address === undefined) {
      member.tests.failed(now, this.#random);
      if (member.state !== 'stale') this.#move(member, 'unreachable', result.error, now);
      return;
    }
    member.tests.passed(now, this.#byConnection.size, this.#random);
    const { address } = result;
    member.addresses = [address, ...member.registration.addresses.filter((other) => other !== address)];
    if (member.state !== 'stale') this.#move(member, 'ready', '', now);
  }

  #trouble(peer: PeerId, now: number): void {
    const member = this.#members.get(peer);
    if (member?.state === 'ready' && member.tests.trouble(now)) this.#test(member, now);
  }

  #move(member: Member, state: PeerState, reason: string, now: number, isNew = false): void {
    if (!isNew && member.state === state && member.reason === reason) return;
    const was = isNew ? undefined : member.state;
    member.state = state;
    member.reason = reason;
    if (was !== state) member.since = now;
    if (state === 'ready') this.#ready.add(member);
    else this.#ready.delete(member);
    this.#out.push({ kind: 'state', member, was });
  }

  #refuse(arrival: Arrival, code: RefusalCode, message: string, now: number): void {
    this.#remember(arrival.from, arrival.registration, code, message, now);
    this.#out.push({ kind: 'reject', connection: arrival.connection, code, message });
  }

  #remember(address: string, who: Claim | undefined, code: RefusalCode, message: string, now: number): void {
    const { host = '', peer = '' } = who ?? {};
    this.#out.push({ kind: 'refused', refused: this.#refused.add({ address, host, peer, code, message, at: now }) });
  }
}
