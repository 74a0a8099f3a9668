import { Gauge } from 'prom-client';
import { backoffMs, type Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { CodedError, codeOf, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Metrics } from '../../base/metrics.ts';
import { MAX_KNOWN_PEERS } from '../protocol/limits.ts';
import type { Membership } from '../protocol/membership.ts';
import type { FromProxy, FromSupernode, KnownPeer, Message } from '../protocol/messages.ts';
import { askWhoami, type WhoamiAnswer } from '../protocol/whoami.ts';
import { DialBacks, type DialBack } from './dial-back.ts';
import type { Inventory } from './inventory.ts';
import { NoSession, SupernodeLost, SupernodeRefused } from './session-errors.ts';
import { SessionLink, type LinkListener, type SelfDescription, type Welcome } from './session-link.ts';
import type { Candidate, FindCandidates } from './supernode-dial.ts';

/** Between two rounds over all supernodes: short enough that one that comes back is found within seconds. */
const RETRY: Backoff = { firstMs: 250, capMs: 5000 };
/** A session that has lasted so long was a good one: after it the waits begin anew. */
const GOOD_SESSION_MS = 10_000;
/** How often it is looked whether a supernode earlier in the list is back. */
const LOOK_BACK_MS = 30_000;
/** While there is no supernode, this is said anew after so long. */
const SUMMARY_MS = 5 * 60_000;
/** What has changed in the inventory is told so often. */
const INVENTORY_MS = 5000;
/** Addresses that are dialed for a supernode at the same time. */
const MAX_DIALS = 8;

/** As `/api/v1/status` shows it. */
export interface SupernodeStatus {
  readonly url: string;
  readonly state: 'connected' | 'connecting' | 'failed' | 'standby';
  /** Of what keeps it from being connected; '' where nothing does. */
  readonly code: string;
  readonly message: string;
  /** When state or reason last changed, ISO 8601. */
  readonly since: string;
}

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
  /** Asked at each registration. */
  readonly self: () => SelfDescription;
  readonly membership: Membership;
  readonly inventory: Inventory;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly random?: () => number;
  readonly ask?: (address: string, nonce: string) => Promise<WhoamiAnswer>;
}

/**
 * This proxy's session with a supernode. It looks for one for ever: the list is gone through in order, each name is resolved
 * anew, each step has a time limit, and between two rounds there is a wait with jitter. The log has one line at each change of
 * the reason, none at each try.
 */
export class PeerSession implements LinkListener {
  readonly #options: PeerSessionOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #connected: Gauge<'url'>;
  readonly #statuses: SupernodeStatus[];
  readonly #stop = new AbortController();
  #user: SessionUser | undefined;
  #link: SessionLink | undefined;
  /** The one that is not open yet. */
  #opening: SessionLink | undefined;
  #wake: () => void = () => undefined;
  #ended: { link: SessionLink; error: Error } | undefined;
  #known: readonly KnownPeer[] = [];
  #clockOffsetMs: { wall: number; at: number } | undefined;
  #dials = 0;
  readonly #dialBacks: DialBacks;
  #warned = '';

  constructor(options: PeerSessionOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#random = options.random ?? Math.random;
    this.#dialBacks = new DialBacks(options.clock);
    const since = new Date(this.#clock.now()).toISOString();
    this.#statuses = options.urls.map((url) => ({ url, state: 'connecting', code: '', message: '', since }));
    this.#connected = new Gauge({
      name: 'hawker_supernode_connected',
      help: 'Whether this proxy has a session with the supernode',
      labelNames: ['url'],
      registers: [options.metrics.registry],
    });
    for (const url of options.urls) this.#connected.set({ url }, 0);
  }

  /** Begins to look for a supernode. */
  start(user: SessionUser): void {
    this.#user = user;
    void this.#run();
  }

  /** Says goodbye. */
  close(): void {
    this.#stop.abort();
    if (this.#link?.isOpen) this.#link.send({ t: 'bye' });
    for (const link of [this.#link, this.#opening]) {
      link?.end(new SupernodeLost({ address: link.address, why: 'this proxy stops' }));
    }
    this.#wake();
  }

  /** The session that is open now. */
  get link(): SessionLink | undefined {
    return this.#link?.isOpen ? this.#link : undefined;
  }

  status(): readonly SupernodeStatus[] {
    return this.#statuses;
  }

  /** Whom to ask when every supernode is gone. */
  knownPeers(): readonly KnownPeer[] {
    return this.#known;
  }

  /** Has the supernode try this proxy's piece port, now. Rejects with NO_SESSION, or with what ends the session meanwhile. */
  async dialBack(): Promise<DialBack> {
    const { link } = this;
    if (!link) throw new NoSession({ supernodes: this.#statuses });
    return this.#dialBacks.ask(link);
  }

  /** Milliseconds since 1970 by the supernode's clock; by this node's own while it has met none. */
  supernodeTime(): number {
    const offset = this.#clockOffsetMs;
    return offset ? offset.wall + this.#clock.monotonic() - offset.at : this.#clock.now();
  }

  // --- what links say ---

  opened(link: SessionLink, welcome: Welcome): void {
    const { log } = this.#options;
    this.#link = link;
    this.#learn(welcome.peers);
    this.#clockOffsetMs = { wall: welcome.time, at: this.#clock.monotonic() };
    if (welcome.warning !== undefined && welcome.warning !== this.#warned) {
      this.#warned = welcome.warning;
      log.warn({ code: 'PROTOCOL_VERSION_DIFFERS', address: link.address }, welcome.warning);
    }
    this.#user?.opened(link);
    void this.#announce(link, 'full');
    this.#wake();
  }

  message(link: SessionLink, message: FromSupernode): void {
    this.#user?.heard();
    if (message.t === 'a') this.#user?.assigned(message);
    else if (message.t === 'beat' && message.peers) this.#learn(message.peers);
    else if (message.t === 'dial') void this.#dial(link, message);
    else if (message.t === 'tested') this.#dialBacks.answered(message);
  }

  ended(link: SessionLink, error: Error): void {
    const wasOpen = this.#link === link;
    if (wasOpen) this.#link = undefined;
    this.#ended = { link, error };
    if (wasOpen) {
      this.#dialBacks.lost(error);
      this.#user?.lost();
    }
    this.#wake();
  }

  // --- its own course ---

  /** A supernode that has just started knows few peers: those of before stay known behind those that it names. */
  #learn(peers: readonly KnownPeer[]): void {
    const named = new Set(peers.map(({ id }) => id));
    this.#known = [...peers, ...this.#known.filter(({ id }) => !named.has(id))].slice(0, MAX_KNOWN_PEERS);
  }

  async #run(): Promise<void> {
    let failures = 0;
    let summaryAt = this.#clock.monotonic() + SUMMARY_MS;
    while (!this.#stop.signal.aborted) {
      const found = await this.#findOne();
      if (found !== undefined) {
        const lasted = await this.#live(found);
        failures = lasted >= GOOD_SESSION_MS ? 0 : failures + 1;
        summaryAt = this.#clock.monotonic() + SUMMARY_MS;
      } else failures += 1;
      if (this.#clock.monotonic() >= summaryAt) {
        summaryAt += SUMMARY_MS;
        const supernodes = this.#statuses.map(({ url, code }) => ({ url, code }));
        this.#options.log.warn({ code: 'NO_SUPERNODE', supernodes }, 'still no supernode: this proxy works alone');
      }
      await this.#wait(backoffMs(RETRY, Math.max(0, failures - 1), this.#random));
    }
  }

  /** The first supernode of the list with which a session can be opened. */
  async #findOne(): Promise<number | undefined> {
    for (const index of this.#statuses.keys()) {
      if (this.#stop.signal.aborted) return undefined;
      try {
        await this.#tryAll(index, (candidate) => this.#open(candidate));
        return index;
      } catch (error) {
        this.#say(index, 'failed', error);
      }
    }
    return undefined;
  }

  /** Stays with the session until it ends; how long that was, in milliseconds. */
  async #live(index: number): Promise<number> {
    const link = this.#link;
    if (!link) return 0;
    const { url } = this.#statuses[index]!;
    this.#connected.set({ url }, 1);
    this.#say(index, 'connected', undefined, link.address);
    for (const [other, { code }] of this.#statuses.entries())
      if (other > index && code === '') this.#say(other, 'standby');
    while (this.#link === link) {
      if (index === 0) await this.#wait();
      else if (await this.#isEarlierUp(index)) {
        link.end(new SupernodeLost({ address: link.address, why: 'a supernode earlier in the list is back' }));
      }
    }
    this.#connected.set({ url }, 0);
    if (this.#ended?.link === link && !this.#stop.signal.aborted) this.#say(index, 'failed', this.#ended.error);
    return this.#clock.monotonic() - link.openedAt;
  }

  async #isEarlierUp(index: number): Promise<boolean> {
    await this.#wait(LOOK_BACK_MS * (0.5 + this.#random()));
    for (let earlier = 0; earlier < index && this.#link; earlier += 1) {
      try {
        await this.#tryAll(earlier, (candidate) => this.#open(candidate, true));
        return true;
      } catch (error) {
        this.#say(earlier, 'failed', error);
      }
    }
    return false;
  }

  /** Tries the addresses of one supernode in turn. Throws the last one's error. */
  async #tryAll(index: number, open: (candidate: Candidate) => Promise<void>): Promise<void> {
    let last: unknown;
    for (const candidate of await this.#options.candidates(this.#statuses[index]!.url)) {
      try {
        await open(candidate);
        return;
      } catch (error) {
        last = error;
        if (this.#stop.signal.aborted) break;
      }
    }
    throw last;
  }

  async #open(candidate: Candidate, probe = false): Promise<void> {
    const { address } = candidate;
    const { self, membership, clock } = this.#options;
    const socket = await candidate.open();
    await new Promise<void>((resolve, reject) => {
      const listener: LinkListener = {
        opened: (link, welcome) => {
          this.opened(link, welcome);
          resolve();
        },
        message: (link, message) => this.message(link, message),
        ended: (link, error) => {
          if (probe && link.epoch === '' && error instanceof SupernodeLost) resolve();
          else reject(error);
          if (!probe) this.ended(link, error);
        },
      };
      this.#opening = new SessionLink({ address, socket, self: self(), membership, clock, listener, probe });
      if (this.#stop.signal.aborted) this.#opening.end(new SupernodeLost({ address, why: 'this proxy stops' }));
    }).finally(() => {
      this.#opening = undefined;
    });
  }

  /** One line at each change of state or reason. */
  #say(index: number, state: SupernodeStatus['state'], error?: unknown, address = ''): void {
    const before = this.#statuses[index]!;
    const code = error === undefined ? '' : codeOf(error);
    const message = error === undefined ? '' : describeError(error);
    if (before.state === state && before.code === code && before.message === message) return;
    const since = new Date(this.#clock.now()).toISOString();
    const { url } = before;
    this.#statuses[index] = { url, state, code, message, since };
    const { log } = this.#options;
    if (state === 'connected') log.info({ code: 'SUPERNODE_CONNECTED', url, address }, 'registered with the supernode');
    if (state !== 'failed') return;
    const todo = error instanceof CodedError || error instanceof SupernodeRefused ? error.todo : '';
    log.warn({ code, url, todo }, `no session with the supernode: ${message}; it is tried again and again`);
  }

  /** Tells all that is here, and from then on what changes. */
  async #announce(link: SessionLink, what: 'full' | 'changes'): Promise<void> {
    for await (const announce of this.#options.inventory[what](link.epoch)) {
      if (this.#link !== link) return;
      link.send(announce);
    }
    this.#clock.after(INVENTORY_MS, () => {
      if (this.#link === link) void this.#announce(link, 'changes');
    });
  }

  /** Tries whether this proxy can reach another one, for a supernode that cannot. */
  async #dial(link: SessionLink, { n, nonce, addresses }: Message<FromSupernode, 'dial'>): Promise<void> {
    if (this.#dials >= MAX_DIALS) {
      link.send({ t: 'dialed', n, error: 'this proxy tries too many already' });
      return;
    }
    this.#dials += 1;
    const ask = this.#options.ask ?? askWhoami;
    let answer: FromProxy;
    try {
      const { address, proof } = await Promise.any(
        addresses.map(async (address) => ({ address, ...(await ask(address, nonce)) })),
      );
      answer = { t: 'dialed', n, address, proof };
    } catch (error) {
      const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
      answer = { t: 'dialed', n, error: errors.map(describeError).join('; ').slice(0, 300) };
    }
    this.#dials -= 1;
    link.send(answer);
  }

  /** For so long, or until the proxy stops or the session ends. */
  async #wait(ms?: number): Promise<void> {
    if (this.#stop.signal.aborted) return;
    let cancel = (): void => undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (ms !== undefined) cancel = this.#clock.after(ms, resolve);
    });
    cancel();
  }
}
