import fc from 'fast-check';
import t from 'tap';
import { LEFT_KEPT_MS, MAX_LEFT, PING_MS, Roster, TEST_BOUND_MS } from '../../../src/p2p/supernode/roster.ts';
import { MAX_REFUSED } from '../../../src/p2p/supernode/refusals.ts';
import type { MemberView, Registration, RosterEvent, RosterNotice } from '../../../src/p2p/supernode/roster-events.ts';
import { checked } from '../../support/checked.ts';

/*
 * Proxies that come, fall silent, are tested, move, come twice under one id, and go, in any order. Whatever happens: everybody who
 * registers is answered, a number means one instance at one set of addresses for ever, what is told adds up, all who can be reached
 * are ready in the end, and nothing is left of those who are gone.
 */

const HEARTBEAT_MS = 5000;
const TICK_MS = 250;
const PEERS = ['a', 'b', 'c', 'd'];
const INSTANCES = ['i1', 'i2'];
const ADDRESSES = [[], ['x:1'], ['x:1', 'y:1'], ['z:1']];

const STEP = fc.record({
  does: fc.oneof(
    ...Object.entries({
      register: 6,
      heard: 4,
      closed: 2,
      goodbye: 1,
      tested: 6,
      trouble: 2,
      refused: 1,
      paused: 1,
      pass: 4,
    }).map(([what, weight]) => ({ weight, arbitrary: fc.constant(what) })),
  ),
  peer: fc.constantFrom(...PEERS),
  instance: fc.constantFrom(...INSTANCES),
  addresses: fc.constantFrom(...ADDRESSES),
  pick: fc.nat(1000),
  flag: fc.boolean(),
});
type Step = typeof STEP extends fc.Arbitrary<infer A> ? A : never;

/** One connection, as its proxy sees it. */
interface Line {
  readonly registration: Registration;
  askedAt: number;
  isAnswered: boolean;
}

class World {
  readonly roster = new Roster({ heartbeatMs: HEARTBEAT_MS, random: () => 0.5 });
  readonly open = new Map<number, Line>();
  readonly #numbers = new Map<number, string>();
  readonly #tests = new Map<string, { member: MemberView; at: number }>();
  now = 0;
  #last = 0;

  do(step: Step): void {
    const { does, peer, instance, addresses, pick, flag } = step;
    const lines = [...this.open.keys()];
    const connection = lines[pick % Math.max(1, lines.length)] ?? 0;
    if (does === 'register') this.#register(peer, instance, addresses);
    else if (does === 'heard') this.say({ kind: 'heard', connection });
    else if (does === 'closed' || does === 'goodbye') {
      this.open.delete(connection);
      this.say({ kind: 'closed', connection, goodbye: does === 'goodbye', reason: 'it broke off' });
    } else if (does === 'tested') {
      const result = flag && addresses[0] !== undefined ? { address: addresses[0] } : { error: 'refused' };
      this.#tests.delete(`${peer} ${instance} ${addresses.join()}`);
      this.say({ kind: 'tested', peer, instance, addresses, result });
    } else if (does === 'trouble') this.say({ kind: 'trouble', peer });
    else if (does === 'refused') this.say({ kind: 'refused', from: `h${pick}`, code: 'FULL', message: 'no room' });
    else if (does === 'paused') {
      this.now += pick * 60;
      for (const line of this.open.values()) line.askedAt += pick * 60;
      this.roster.paused(pick * 60);
    } else this.pass(pick * pick);
  }

  say(event: RosterEvent): void {
    this.#hear(this.roster.apply(event, this.now));
    this.check();
  }

  /** With a tick in time, or, for more than a minute, one that is late. */
  pass(ms: number): void {
    const end = this.now + ms;
    const step = ms > 60_000 ? ms : TICK_MS;
    while (this.now < end) {
      this.now += step;
      this.#hear(this.roster.tick(this.now));
    }
    this.check();
  }

  /** Everybody says that it lives, and every test finds the first address. */
  live(ms: number): void {
    for (const end = this.now + ms; this.now < end;) {
      for (const connection of this.open.keys()) this.say({ kind: 'heard', connection });
      for (const [key, { member }] of this.#tests) {
        this.#tests.delete(key);
        const { peer, instance, addresses } = member.registration;
        this.say({ kind: 'tested', peer, instance, addresses, result: { address: addresses[0]! } });
      }
      this.pass(TICK_MS);
    }
  }

  check(): void {
    const { roster } = this;
    const connections = new Set<number>();
    let left = 0;
    for (const member of roster.members()) {
      const { connection, number, state, registration } = member;
      if (connection === undefined) left += 1;
      else if (!this.open.has(connection)) throw new Error('a member on a closed connection');
      else if (connections.has(connection)) throw new Error('two members on one connection');
      else connections.add(connection);
      if ((connection === undefined) !== (state === 'left')) throw new Error('left, or not?');
      if (state === 'ready' && registration.addresses.length === 0) throw new Error('ready without an address');
      if ((roster.byNumber(number) === member) !== (connection !== undefined)) throw new Error('a number of nobody');
      this.#numberIs(number, registration);
    }
    if (left > MAX_LEFT + 1) throw new Error('too many that have left');
    if (roster.counts().rejected > MAX_REFUSED) throw new Error('too many refusals');
    const ready = [...roster.members()].filter(({ state }) => state === 'ready');
    const given = roster.some('', '', 99);
    if (given.length !== ready.length || given.some(({ state }) => state !== 'ready')) throw new Error('who is ready?');
    for (const { isAnswered, askedAt, registration } of this.open.values())
      if (!isAnswered && this.now - askedAt > PING_MS + TICK_MS) throw new Error(`${registration.peer} waits for ever`);
  }

  #register(peer: string, instance: string, addresses: readonly string[]): void {
    this.#last += 1;
    const about = { host: 'node', zone: '', version: '1.2.3', protocol: '1.0', uploadSlots: 4, clockSkewMs: 0 };
    const registration = { peer, instance, addresses, ...about };
    this.open.set(this.#last, { registration, askedAt: this.now, isAnswered: false });
    this.say({ kind: 'register', connection: this.#last, from: 'x', registration });
  }

  #hear(notices: readonly RosterNotice[]): void {
    for (const notice of notices) {
      if (notice.kind === 'reject' || notice.kind === 'close') this.open.delete(notice.connection);
      else if (notice.kind === 'welcome') {
        const line = this.open.get(notice.connection);
        if (!line || line.isAnswered) throw new Error('a welcome to nobody');
        if (line.registration.instance !== notice.member.registration.instance)
          throw new Error('a welcome for another');
        line.isAnswered = true;
      } else if (notice.kind === 'test') this.#tested(notice.member);
      else if (notice.kind === 'ping' && !this.open.has(notice.connection)) throw new Error('a ping to nobody');
    }
  }

  /** One at a time for each, and of somebody who is here. */
  #tested(member: MemberView): void {
    const { peer, instance, addresses } = member.registration;
    if (member.connection === undefined || addresses.length === 0) throw new Error('a test of nobody');
    this.#tests.set(`${peer} ${instance} ${addresses.join()}`, { member, at: this.now });
  }

  #numberIs(number: number, { peer, instance, addresses }: Registration): void {
    const who = `${peer} ${instance} ${addresses.join()}`;
    const before = this.#numbers.get(number);
    if (before !== undefined && before !== who) throw new Error(`number ${number} was ${before}, and is ${who}`);
    this.#numbers.set(number, who);
  }
}

t.test('whatever happens: all are answered, all who can be reached are ready, nothing is left behind', (t) => {
  checked(
    t,
    300,
    fc.property(fc.array(STEP, { minLength: 20, maxLength: 120, size: 'max' }), (steps) => {
      const world = new World();
      for (const step of steps) world.do(step);
      world.live(TEST_BOUND_MS + 10_000);
      for (const { state, reason, registration } of world.roster.members()) {
        if (state !== 'ready' && state !== 'left' && registration.addresses.length > 0)
          throw new Error(`${registration.peer} is ${state} (${reason}), and can be reached`);
      }
      for (const connection of world.open.keys()) {
        world.open.delete(connection);
        world.say({ kind: 'closed', connection, goodbye: false, reason: 'all go' });
      }
      world.pass(LEFT_KEPT_MS + HEARTBEAT_MS);
      world.pass(TICK_MS);
      const left = [...world.roster.members()].map(({ registration, state }) => `${registration.peer} ${state}`);
      if (left.length > 0) throw new Error(`left behind: ${left.join()}`);
      for (let number = 0; number < 200; number += 1)
        if (world.roster.byNumber(number)) throw new Error(`number ${number} is still somebody's`);
    }),
  );
  t.end();
});
