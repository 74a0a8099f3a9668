import { codeOf, describeError } from '../../base/errors.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Metrics } from '../../base/metrics.ts';
import { PAUSED_TODO } from '../protocol/errors.ts';
import { MAX_KNOWN_PEERS } from '../protocol/limits.ts';
import type { Membership } from '../protocol/membership.ts';
import type { FromSupernode, KnownPeer, Message } from '../protocol/messages.ts';
import { ClockSkew } from './clock-skew.ts';
import { DialBacks, type DialBack } from './dial-back.ts';
import { DialForOthers, type Ask } from './dial-for-others.ts';
import type { Inventory } from './inventory.ts';
import type { PreheatOrders } from './preheat-orders.ts';
import { NoSession, SupernodeLost } from './session-errors.ts';
import type { SelfDescription } from './session-hello.ts';
import type { LinkListener, SessionLink, Welcome } from './session-link.ts';
import type { FindCandidates } from './supernode-dial.ts';
import { SupernodeSearch } from './supernode-search.ts';
import { SupernodeStatuses, type SupernodeStatus } from './supernode-statuses.ts';

/** A session that has lasted so long was a good one: after it the waits begin anew. */
const GOOD_SESSION_MS = 10_000;
/** Those whose sessions ended together, as when a supernode is restarted, come back spread over so long (docs/simulation.md). */
export const COME_BACK_MS = 2000;
/** Who has lost its session because it did not run for a while was alone in that, and may come back sooner. */
const COME_BACK_AWAKE_MS = 250;
const AWAKE_MS = 5000;
const ANOTHER_SESSION = 'this proxy has another session';
/** What has changed in the inventory is told so often. */
const INVENTORY_MS = 5000;

/** What speaks through the session. */
export interface SessionUser {
  opened(link: SessionLink): void;
  /** Anything has come: the supernode is alive. */
  heard(): void;
  assigned(message: Message<FromSupernode, 'a'>): void;
  lost(): void;
}

export interface PeerSessionOptions {
  /** The first that is up is used. */
  readonly urls: readonly string[];
  readonly candidates: FindCandidates;
  /** Asked at each registration, and at each beat whether it has changed, with the local address of the session's connection. */
  readonly self: (localAddress: string | undefined) => SelfDescription;
  readonly membership: Membership;
  readonly inventory: Inventory;
  /** Orders to fetch images; undefined: none is taken. */
  readonly preheats?: Pick<PreheatOrders, 'opened' | 'lost' | 'ordered' | 'cancelled'> | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly random?: () => number;
  /** How piece ports are tried for a supernode; undefined: in clear. */
  readonly ask?: Ask | undefined;
}

/**
 * This proxy's session with a supernode. It looks for one for ever (`SupernodeSearch`). While it has one it goes on looking for
 * those earlier in the list, and for another way to this one while it is silent; where it finds one, the new session is open
 * before the old one is given up.
 */
export class PeerSession {
  readonly #options: PeerSessionOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #connected: Metrics['supernodeConnected'];
  readonly #statuses: SupernodeStatuses;
  readonly #search: SupernodeSearch;
  readonly #skew: ClockSkew;
  readonly #dialer: DialForOthers;
  readonly #dialBacks: DialBacks;
  #user: SessionUser | undefined;
  #link: SessionLink | undefined;
  /** Of the supernode that it is with, in the list. */
  #index = -1;
  #known: readonly KnownPeer[] = [];
  #supernodeClock: { wall: number; at: number } | undefined;
  #warned = '';
  #inventoryFault = '';
  #cancelAnnounce = (): void => undefined;
  /** The session is to be opened anew, as the secrets have changed; it goes on until then. */
  #isRenewing = false;
  #renewalFault = '';
  /** When it last went on after a pause. */
  #awokeAt = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: PeerSessionOptions) {
    this.#options = options;
    const { urls, candidates, self, membership, clock, log, metrics, random = Math.random } = options;
    this.#clock = clock;
    this.#random = random;
    this.#skew = new ClockSkew(log);
    this.#dialer = new DialForOthers(options.ask);
    this.#dialBacks = new DialBacks(clock);
    this.#statuses = new SupernodeStatuses(urls, { clock, log });
    this.#search = new SupernodeSearch({
      urls,
      candidates,
      contextOf: (index) => ({ self, membership, clock, session: this.#listenerOf(index) }),
      clock,
      random,
      tried: (index) => this.#statuses.tried(index),
      failed: (index, error) => {
        // Another way to the supernode that it is with was looked for in vain.
        if (index !== this.#index) this.#statuses.failed(index, error);
        else if (this.#isRenewing) this.#sayRenewalFault(error);
      },
    });
    this.#connected = metrics.supernodeConnected;
    for (const url of urls) this.#connected.set({ url }, 0);
  }

  /** Begins to look for a supernode. */
  start(user: SessionUser): void {
    this.#user = user;
    this.#options.membership.onChange(() => this.#secretsChanged());
    this.#statuses.alone();
    this.#search.seek(0);
  }

  /** Says goodbye. */
  close(): void {
    this.#stopped = true;
    this.#search.stop();
    this.#statuses.close();
    this.#link?.goodbye('this proxy stops');
  }

  /** The session that is open now. */
  get link(): SessionLink | undefined {
    return this.#link?.isOpen ? this.#link : undefined;
  }

  status(): readonly SupernodeStatus[] {
    return this.#statuses.all();
  }

  /** Whom to ask when every supernode is gone. */
  knownPeers(): readonly KnownPeer[] {
    return this.#known;
  }

  /** Has the supernode try this proxy's piece port, now. Rejects with NO_SESSION, or with what ends the session meanwhile. */
  async dialBack(): Promise<DialBack> {
    const { link } = this;
    if (!link) throw new NoSession({ supernodes: this.#statuses.all() });
    return this.#dialBacks.ask(link);
  }

  /** Milliseconds since 1970 by the supernode's clock; by this node's own while it has met none. */
  supernodeTime(): number {
    const known = this.#supernodeClock;
    return known ? known.wall + this.#clock.monotonic() - known.at : this.#clock.now();
  }

  // --- what links say ---

  #listenerOf(index: number): LinkListener {
    return {
      opened: (link, welcome) => this.#opened(index, link, welcome),
      message: (link, message) => this.#message(link, message),
      ended: (link, error) => this.#ended(link, error),
      doubted: (link, inDoubt) => this.#doubted(link, inDoubt),
      paused: (link, ms) => this.#paused(link, ms),
    };
  }

  #opened(index: number, link: SessionLink, welcome: Welcome): void {
    const before = this.#link;
    if (before) this.#left(new SupernodeLost({ address: before.address, why: ANOTHER_SESSION }));
    this.#link = link;
    this.#index = index;
    this.#isRenewing = false;
    this.#renewalFault = '';
    this.#search.found(index);
    this.#learn(welcome.peers);
    const { log, urls } = this.#options;
    this.#connected.set({ url: urls[index]! }, 1);
    this.#statuses.connected(index, link.address);
    for (let later = index + 1; later < urls.length; later += 1) this.#statuses.standby(later);
    this.#compareClocks(link);
    if (welcome.warning !== undefined && welcome.warning !== this.#warned) {
      this.#warned = welcome.warning;
      log.warn({ code: 'PROTOCOL_VERSION_DIFFERS', address: link.address }, welcome.warning);
    }
    this.#user?.opened(link);
    this.#options.preheats?.opened(link);
    void this.#announce(link, 'full');
    // Only now, so that there was no moment without a session.
    before?.goodbye(ANOTHER_SESSION);
  }

  #message(link: SessionLink, message: FromSupernode): void {
    if (this.#link !== link) return;
    this.#user?.heard();
    if (message.t === 'a') this.#user?.assigned(message);
    else if (message.t === 'beat') {
      if (message.peers) this.#learn(message.peers);
      this.#compareClocks(link);
      this.#compareAddresses(link);
    } else if (message.t === 'tested') this.#dialBacks.answered(message);
    else if (message.t === 'preheat') this.#options.preheats?.ordered(message);
    else if (message.t === 'cancel') this.#options.preheats?.cancelled(message.id);
    else if (message.t === 'dial') void this.#dialer.dial(message).then((answer) => link.send(answer));
  }

  #ended(link: SessionLink, error: Error): void {
    if (this.#link !== link) return;
    const index = this.#index;
    this.#left(error);
    if (this.#stopped) return;
    this.#statuses.failed(index, error);
    this.#statuses.alone();
    const now = this.#clock.monotonic();
    const spreadMs = now - this.#awokeAt < AWAKE_MS ? COME_BACK_AWAKE_MS : COME_BACK_MS;
    const wasGood = now - link.openedAt >= GOOD_SESSION_MS;
    this.#search.seek(this.#random() * spreadMs, wasGood ? undefined : index);
  }

  #doubted(link: SessionLink, inDoubt: boolean): void {
    if (this.#link !== link || this.#stopped) return;
    if (inDoubt || this.#isRenewing) this.#search.doubt(this.#index);
    else this.#search.found(this.#index, 'asked');
  }

  #paused(link: SessionLink, ms: number): void {
    if (this.#link !== link) return;
    this.#awokeAt = this.#clock.monotonic();
    const what = `this process did not run for ${ms} ms, or the clock was set; the session with the supernode is checked`;
    this.#options.log.warn({ code: 'PROXY_PAUSED', ms, todo: PAUSED_TODO }, what);
  }

  /** The session is this proxy's no more. */
  #left(error: Error): void {
    this.#connected.set({ url: this.#options.urls[this.#index]! }, 0);
    this.#link = undefined;
    this.#index = -1;
    this.#isRenewing = false;
    this.#cancelAnnounce();
    this.#dialBacks.lost(error);
    this.#user?.lost();
    this.#options.preheats?.lost();
  }

  // --- its own course ---

  /**
   * The membership's secrets are others now. A session that was opened with one that still counts goes on until it was opened anew:
   * so the supernode learns which secrets this proxy has, and none depends on the one that is to be taken out.
   */
  #secretsChanged(): void {
    if (this.#stopped) return;
    const link = this.#link;
    if (!link?.trustedBy) {
      this.#search.seek(0);
      return;
    }
    if (this.#options.membership.accepts(link.trustedBy)) {
      this.#isRenewing = true;
      this.#search.doubt(this.#index);
      return;
    }
    const why = 'it has proved itself with a join secret that is not accepted any more';
    link.goodbye(why);
  }

  #sayRenewalFault(error: Error): void {
    const why = describeError(error);
    if (why === this.#renewalFault) return;
    this.#renewalFault = why;
    this.#options.log.warn(
      {
        code: 'SESSION_NOT_RENEWED',
        cause: codeOf(error),
        todo: 'bring the secret file of the supernode to the same step of the rotation (docs/rotation.md), and send it SIGHUP',
      },
      `the session goes on with the join secret that it was opened with: it could not be opened anew: ${why}`,
    );
  }

  #compareClocks(link: SessionLink): void {
    const { clockSkewMs } = link;
    this.#supernodeClock = { wall: this.#clock.now() - clockSkewMs, at: this.#clock.monotonic() };
    this.#statuses.skewed(this.#index, clockSkewMs);
    this.#skew.measured(clockSkewMs, link.address);
  }

  /** Where this node is reached at other addresses now than it has said: registers anew with them, before the session is given up. */
  #compareAddresses(link: SessionLink): void {
    const { addresses } = this.#options.self(link.localAddress);
    if (addresses.join() !== link.addresses.join()) this.#search.doubt(this.#index);
  }

  /** A supernode that has just started knows few peers: those of before stay known behind those that it names. */
  #learn(peers: readonly KnownPeer[]): void {
    const named = new Set(peers.map(({ id }) => id));
    this.#known = [...peers, ...this.#known.filter(({ id }) => !named.has(id))].slice(0, MAX_KNOWN_PEERS);
  }

  /** Tells all that is here, and from then on what changes. */
  async #announce(link: SessionLink, what: 'full' | 'changes'): Promise<void> {
    let next: 'full' | 'changes' = 'changes';
    try {
      for await (const announce of this.#options.inventory[what](link.epoch)) {
        if (this.#link !== link) return;
        link.send(announce);
      }
      this.#inventoryFault = '';
    } catch (error) {
      next = 'full';
      this.#sayInventoryFault(describeError(error));
    }
    if (this.#link !== link) return;
    this.#cancelAnnounce = this.#clock.after(INVENTORY_MS, () => void this.#announce(link, next));
  }

  #sayInventoryFault(why: string): void {
    if (why === this.#inventoryFault) return;
    this.#inventoryFault = why;
    const todo = 'look for what is wrong with the store or its disk; it is tried again';
    this.#options.log.warn(
      { code: 'INVENTORY_UNTOLD', todo },
      `the supernode cannot be told what this proxy holds, and sends no peer here: ${why}`,
    );
  }
}
