import { randomBytes } from 'node:crypto';
import { describeError } from '../../base/errors.ts';
import type { Clock } from '../../base/clock.ts';
import { NONCE_BYTES, type Membership } from '../protocol/membership.ts';
import type { FromProxy, FromSupernode, Message } from '../protocol/messages.ts';
import { askWhoami, type WhoamiAnswer } from '../protocol/whoami.ts';
import type { Registration, TestResult } from './roster-events.ts';

/** Tests at the same time: where nothing answers each takes up to 7 s, so 1,000 such peers are through in half a minute. */
const MAX_TESTS = 256;
/** Peers that try where the supernode could not, and how long they have. */
export const HELPERS = 2;
const HELP_MS = 5000;

/** A peer that can be asked to try. */
export interface Helper {
  readonly id: number;
  ask(message: Message<FromSupernode, 'dial'>): void;
}

/** What was tested: it may have changed meanwhile. */
export type Tested = Pick<Registration, 'peer' | 'instance' | 'addresses'>;

/** A proxy whose piece port is to be tested. */
export interface Subject {
  readonly tested: Tested;
  /** Whether anybody still waits for the result. */
  isHere(): boolean;
  done(result: TestResult): void;
}

export interface ReachabilityOptions {
  readonly membership: Membership;
  readonly clock: Clock;
  /** Some peers that may try to reach this one. */
  readonly helpers: (tested: Tested, count: number) => readonly Helper[];
  /** What was reported, or asked for, has thrown. */
  readonly fault: (error: unknown) => void;
  readonly ask?: (address: string, nonce: string) => Promise<WhoamiAnswer>;
}

/**
 * Finds out whether a peer's piece port can be reached: the supernode dials its addresses and has a nonce signed, which proves
 * peer and instance; where it cannot, two other peers try, for a policy may keep out the supernode alone.
 */
export class Reachability {
  readonly #options: ReachabilityOptions;
  readonly #ask: (address: string, nonce: string) => Promise<WhoamiAnswer>;
  readonly #queue = new Map<object, Subject>();
  readonly #asked = new Map<number, { helper: number; answered: (answer: Message<FromProxy, 'dialed'>) => void }>();
  #running = 0;
  #lastAsked = 0;
  #closed = false;

  constructor(options: ReachabilityOptions) {
    this.#options = options;
    this.#ask = options.ask ?? askWhoami;
  }

  /** `who`: of its tests that have not begun only the latest is made. */
  test(who: object, subject: Subject): void {
    this.#queue.set(who, subject);
    this.#next();
  }

  dialed(helper: number, answer: Message<FromProxy, 'dialed'>): void {
    const asked = this.#asked.get(answer.n);
    if (asked?.helper === helper) asked.answered(answer);
  }

  close(): void {
    this.#closed = true;
    this.#queue.clear();
  }

  #next(): void {
    for (const [who, subject] of this.#queue) {
      if (this.#running >= MAX_TESTS) return;
      this.#queue.delete(who);
      if (!subject.isHere()) continue;
      this.#running += 1;
      void this.#run(subject)
        .catch(this.#options.fault)
        .then(() => {
          this.#running -= 1;
          this.#next();
        });
    }
  }

  async #run(subject: Subject): Promise<void> {
    const { tested } = subject;
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    let result = await this.#dial(tested, nonce);
    if (result.error !== undefined && !this.#closed) result = await this.#askHelpers(tested, nonce, result.error);
    if (!this.#closed) subject.done(result);
  }

  async #dial({ peer, instance, addresses }: Tested, nonce: string): Promise<TestResult> {
    // In their order, so that the same faults read the same.
    const errors: string[] = [];
    try {
      const address = await Promise.any(
        addresses.map(async (address, index) => {
          try {
            const answer = await this.#ask(address, nonce);
            const fault = faultOf(answer, peer, instance, nonce, this.#options.membership);
            if (fault === undefined) return address;
            throw new Error(`${address}: ${fault}`);
          } catch (error) {
            errors[index] = describeError(error);
            throw error;
          }
        }),
      );
      return { address };
    } catch {
      return { error: errors.join('; ') };
    }
  }

  async #askHelpers(tested: Tested, nonce: string, error: string): Promise<TestResult> {
    const helpers = this.#options.helpers(tested, HELPERS);
    if (helpers.length === 0) return { error };
    const answers = await Promise.all(helpers.map((helper) => this.#askHelper(helper, tested, nonce)));
    for (const answer of answers) {
      const { address, proof } = answer ?? {};
      if (address === undefined || !tested.addresses.includes(address)) continue;
      const facts = { nonce, peer: tested.peer, instance: tested.instance };
      if (this.#options.membership.isWhoamiProof(proof, facts)) return { address };
    }
    return { error: `${error}; nor could ${helpers.length === 1 ? 'another peer' : `${helpers.length} other peers`}` };
  }

  #askHelper(helper: Helper, tested: Tested, nonce: string): Promise<Message<FromProxy, 'dialed'> | undefined> {
    this.#lastAsked += 1;
    const n = this.#lastAsked;
    const { peer, instance, addresses } = tested;
    return new Promise((resolve) => {
      const done = (answer: Message<FromProxy, 'dialed'> | undefined) => {
        this.#asked.delete(n);
        cancel();
        resolve(answer);
      };
      const cancel = this.#options.clock.after(HELP_MS, () => done(undefined));
      this.#asked.set(n, { helper: helper.id, answered: done });
      helper.ask({ t: 'dial', n, peer, instance, nonce, addresses: [...addresses] });
    });
  }
}

function faultOf(
  { peer, instance, proof }: WhoamiAnswer,
  expectedPeer: string,
  expectedInstance: string,
  nonce: string,
  membership: Membership,
): string | undefined {
  if (peer !== expectedPeer) return `another peer answers there, ${peer.slice(0, 64)}`;
  if (instance !== expectedInstance) return 'another instance of this peer answers there';
  return membership.isWhoamiProof(proof, { nonce, peer, instance })
    ? undefined
    : 'what answers there cannot prove that it is a member';
}
