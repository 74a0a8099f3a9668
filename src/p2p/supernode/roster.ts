import { backoffMs, type Backoff } from '../../base/backoff.ts';
import { formatTime } from '../../base/units.ts';
import { MISSED_HEARTBEATS } from '../protocol/limits.ts';
import type { RefusalCode } from '../protocol/errors.ts';
import type { PeerId } from './events.ts';
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

/** Peers with a session at the same time. */
export const MAX_SESSIONS = 20_000;
/** Peers that have left are shown for so long, and so many at most. */
export const LEFT_KEPT_MS = 3_600_000;
export const MAX_LEFT = 1000;
/** A peer of which nothing is heard for so many heartbeats has its connection closed. */
export const GIVEN_UP_HEARTBEATS = 12;
/** How long the older one of two peers with the same id has to answer. */
export const PING_MS = 1000;
/** Between two tests of one peer on others' complaints. */
export const TROUBLE_TEST_MS = 5000;
/** A test that has not ended after so long is forgotten. */
export const TEST_BOUND_MS = 30_000;
const RETEST: Backoff = { firstMs: 1000, capMs: 10_000 };
/** A peer that could be reached is tested again after so long, give or take half of it, and later in a large cluster. */
export const READY_TEST_MS = 20_000;
const READY_TEST_MS_PER_PEER = 20;
export const NO_ADDRESS = 'it advertises no address';
/** Numbers of one peer, whose addresses have changed so often, that others may still use. */
export const MAX_NUMBERS = 16;
const REPLACED = 'a newer session has taken over';

/** A second proxy with an id that is taken: it waits until the first has answered, or has not. */
interface Challenge extends Arrival {
  readonly pingedAt: number;
}

const NOTHING: readonly RosterNotice[] = [];

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
  readonly #challenges = new Map<PeerId, Challenge>();
  /** Those of `members` that have left, the longest ago first. */
  readonly #left = new Set<Member>();
  /** Of those that are here. */
  readonly #byNumber = new Map<number, Member>();
  readonly #refused = new Refusals();
  readonly #ready: ReadyMembers;
  #lastNumber = 0;
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
    for (const [peer, challenge] of this.#challenges) {
      this.#challenges.set(peer, { ...challenge, pingedAt: challenge.pingedAt + ms });
    }
  }

  /** What is due by now. Call it a few times a second. */
  tick(now: number): readonly RosterNotice[] {
    for (const challenge of this.#challenges.values()) {
      if (now - challenge.pingedAt >= PING_MS) this.#succeed(challenge, now);
    }
    const staleBefore = now - MISSED_HEARTBEATS * this.#heartbeatMs;
    const goneBefore = now - GIVEN_UP_HEARTBEATS * this.#heartbeatMs;
    for (const member of this.#byConnection.values()) {
      if (member.lastHeard < staleBefore) this.#missed(member, goneBefore, now);
      else if (member.retestAt <= now) this.#test(member, now);
    }
    for (const member of this.#left) {
      if (this.#left.size <= MAX_LEFT && now - member.since < LEFT_KEPT_MS) break;
      this.#forget(member);
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
    return this.#byNumber.get(number);
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
      this.#challenge(known, arrival, now);
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
    if (known) this.#left.delete(known);
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
    if (moved) this.#renumber(member);
    if (member.state === 'ready') this.#ready.add(member);
    this.#out.push({ kind: 'welcome', connection: arrival.connection, member, fresh: false, replaced });
    this.#out.push({ kind: 'close', connection: replaced, code: 'REPLACED', message: REPLACED });
    if (moved) this.#untested(member, now);
  }

  /** Others know it by its number with its old addresses. */
  #renumber(member: Member): void {
    this.#lastNumber += 1;
    member.number = this.#lastNumber;
    member.addresses = member.registration.addresses;
    member.numbers.push(member.number);
    this.#byNumber.set(member.number, member);
    if (member.numbers.length > MAX_NUMBERS) this.#byNumber.delete(member.numbers.shift()!);
  }

  #welcome(connection: ConnectionId, arrival: Arrival, now: number): void {
    this.#lastNumber += 1;
    const member = new Member(this.#lastNumber, arrival, now);
    this.#members.set(arrival.registration.peer, member);
    this.#byConnection.set(connection, member);
    this.#byNumber.set(member.number, member);
    this.#out.push({ kind: 'welcome', connection, member, fresh: true, replaced: undefined });
    this.#untested(member, now, true);
  }

  /** Nothing is known of these addresses. */
  #untested(member: Member, now: number, isNew = false): void {
    const hasAny = member.addresses.length > 0;
    const reason = hasAny ? 'its piece port is being tested' : NO_ADDRESS;
    this.#move(member, 'unreachable', reason, now, isNew);
    member.testingSince = undefined;
    member.retestAt = Number.POSITIVE_INFINITY;
    member.failedTests = 0;
    this.#test(member, now);
  }

  #challenge(known: Member, arrival: Arrival, now: number): void {
    const { registration } = arrival;
    if (this.#challenges.has(registration.peer)) {
      this.#refuse(arrival, 'DUPLICATE_ID', 'two other proxies with this peer id are here', now);
      return;
    }
    this.#challenges.set(registration.peer, { ...arrival, pingedAt: now });
    this.#out.push({ kind: 'ping', connection: known.connection! });
  }

  /** The older one of the two is alive. */
  #answered({ registration: { peer, host, instance }, from }: Member, now: number): void {
    if (this.#challenges.size === 0) return;
    const challenge = this.#challenges.get(peer);
    if (!challenge) return;
    this.#challenges.delete(peer);
    const message = `peer id ${peer} is in use by instance ${instance} on ${host} (${from})`;
    this.#refuse(challenge, 'DUPLICATE_ID', message, now);
  }

  /** The older one of the two has not answered. */
  #succeed(challenge: Challenge, now: number): void {
    const { peer } = challenge.registration;
    this.#challenges.delete(peer);
    const known = this.#members.get(peer);
    if (known?.connection !== undefined) {
      const { connection } = known;
      this.#leave(known, 'another instance took its place, and it did not answer', now);
      const message = 'another instance with this peer id registered, and this one did not answer a ping';
      this.#out.push({ kind: 'close', connection, code: 'STALE', message });
    }
    this.#register(challenge, now);
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
      for (const [peer, challenge] of this.#challenges) {
        if (challenge.connection === connection) this.#challenges.delete(peer);
      }
      return;
    }
    this.#leave(member, reason, now);
    this.#makeWay(member, now);
  }

  /** Who waits for its place gets it. */
  #makeWay({ registration }: Member, now: number): void {
    const challenge = this.#challenges.get(registration.peer);
    if (challenge) this.#succeed(challenge, now);
  }

  #missed(member: Member, goneBefore: number, now: number): void {
    const reason = `nothing was heard of it for ${formatTime(now - member.lastHeard)}`;
    if (member.state !== 'stale') {
      this.#move(member, 'stale', reason, now);
    } else if (member.lastHeard < goneBefore) {
      const connection = member.connection!;
      this.#leave(member, reason, now);
      this.#out.push({ kind: 'close', connection, code: 'STALE', message: reason });
      this.#makeWay(member, now);
    }
  }

  #leave(member: Member, reason: string, now: number): void {
    this.#byConnection.delete(member.connection!);
    member.connection = undefined;
    member.retestAt = Number.POSITIVE_INFINITY;
    for (const number of member.numbers) this.#byNumber.delete(number);
    this.#move(member, 'left', reason, now);
    this.#left.add(member);
  }

  #forget(member: Member): void {
    this.#left.delete(member);
    // It may have come back as somebody new.
    if (this.#members.get(member.registration.peer) === member) this.#members.delete(member.registration.peer);
  }

  #test(member: Member, now: number): void {
    if (member.testingSince !== undefined && now - member.testingSince < TEST_BOUND_MS) return;
    if (member.addresses.length === 0) return;
    member.testingSince = now;
    member.retestAt = now + TEST_BOUND_MS;
    this.#out.push({ kind: 'test', member });
  }

  #tested({ peer, instance, addresses, result }: Extract<RosterEvent, { kind: 'tested' }>, now: number): void {
    const member = this.#members.get(peer);
    if (!member || member.connection === undefined || member.registration.instance !== instance) return;
    // Of addresses that it had before: those that it has now are being tested.
    if (member.registration.addresses.join() !== addresses.join()) return;
    member.testingSince = undefined;
    member.testedAt = now;
    if (result.address === undefined) {
      member.retestAt = now + backoffMs(RETEST, member.failedTests, this.#random);
      member.failedTests += 1;
      if (member.state !== 'stale') this.#move(member, 'unreachable', result.error, now);
      return;
    }
    member.failedTests = 0;
    member.retestAt = now + this.#readyTestMs() * (0.5 + this.#random());
    const { address } = result;
    member.addresses = [address, ...member.registration.addresses.filter((other) => other !== address)];
    if (member.state !== 'stale') this.#move(member, 'ready', '', now);
  }

  /** A port that is closed later is noticed though nobody asks for a piece. */
  #readyTestMs(): number {
    return Math.max(READY_TEST_MS, READY_TEST_MS_PER_PEER * this.#byConnection.size);
  }

  #trouble(peer: PeerId, now: number): void {
    const member = this.#members.get(peer);
    if (member?.state !== 'ready') return;
    const at = member.testedAt + TROUBLE_TEST_MS;
    if (at <= now) this.#test(member, now);
    else member.retestAt = Math.min(member.retestAt, at);
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
