import { LRUCache } from 'lru-cache';
import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import { codeOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { PeerTarget } from '../protocol/coordinator.ts';
import type { KnownPeer } from '../protocol/messages.ts';
import { peerFailureOf } from './errors.ts';

/** Peers that are asked for one blob while the origin gives it. */
export const MAX_ASKED = 16;
/** Peers that are asked at the same time: for one blob, and for all. */
export const MAX_ASKS_PER_BLOB = 8;
export const MAX_ASKS = 64;
/** For an answer. */
export const ASK_MS = 500;
/** Of one blob, enough: no more are asked. */
export const MAX_HOLDERS = 8;
/** A peer that could not be asked, or failed to give, is left out for so long. */
export const FAILED_MS = 30_000;
const MAX_REMEMBERED = 1000;

/** Which blob is looked for, and where. */
export interface Search {
  readonly digest: Digest;
  /** Whom to ask first. */
  readonly first: readonly PeerTarget[];
  /** Ids of peers that are not to be asked. */
  readonly except: ReadonlySet<string>;
  /** Everybody who is known is asked, those included that failed a moment ago: no other source is left. */
  readonly thorough: boolean;
}

/** The port to the other proxies that are known, for one that has no supernode. */
export interface Neighbours {
  /**
   * Asks who has the whole of a blob; `found` is called with each that does, as it answers. Resolves once all have answered,
   * enough have said yes, or the signal has aborted; never rejects. Undefined: there is nobody to ask.
   */
  find(search: Search, found: (peer: PeerTarget) => void, signal: AbortSignal): Promise<void> | undefined;
  /** A peer has failed to give what it has: it is not asked for a while. */
  failed(peer: string): void;
}

export interface KnownNeighboursOptions {
  readonly known: () => readonly KnownPeer[];
  /** Own zone; '' where there is none. */
  readonly zone: string;
  /** Whether a peer has the whole blob: the peer as it is to be asked from now on; undefined: it has not. */
  readonly ask: (peer: PeerTarget, digest: Digest, signal: AbortSignal) => Promise<PeerTarget | undefined>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
}

/** The peers that the last supernode named: asked a few at a time, those of the same zone first, else at random. */
export class KnownNeighbours implements Neighbours {
  readonly #options: KnownNeighboursOptions;
  readonly #failedUntil = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  #asking = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(options: KnownNeighboursOptions) {
    this.#options = options;
  }

  find(search: Search, found: (peer: PeerTarget) => void, signal: AbortSignal): Promise<void> | undefined {
    const queue = this.#inOrder(search);
    return queue.length === 0 ? undefined : this.#askAll(search, queue, found, signal);
  }

  failed(peer: string): void {
    this.#failedUntil.set(peer, this.#options.clock.monotonic() + FAILED_MS);
  }

  #inOrder({ first, except, thorough }: Search): PeerTarget[] {
    const { known, zone, random = Math.random } = this.#options;
    const ranked = known().map((peer) => ({ peer, rank: (peer.zone === zone ? 0 : 1) + random() }));
    ranked.sort((a, b) => a.rank - b.rank);
    const targets = ranked.map(({ peer: { id, instance, addresses } }) => ({ peer: id, instance, addresses }));
    const byId = new Map<string, PeerTarget>();
    for (const target of [...first, ...targets]) if (!byId.has(target.peer)) byId.set(target.peer, target);
    const asked = [...byId.values()].filter(({ peer }) => !except.has(peer) && (thorough || !this.#hasFailed(peer)));
    return thorough ? asked : asked.slice(0, MAX_ASKED);
  }

  #hasFailed(peer: string): boolean {
    return (this.#failedUntil.get(peer) ?? Number.NEGATIVE_INFINITY) > this.#options.clock.monotonic();
  }

  async #askAll(
    { digest, thorough }: Search,
    queue: PeerTarget[],
    found: (peer: PeerTarget) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const holders: string[] = [];
    const failed: Record<string, string> = {};
    let asked = 0;
    const askSome = async (): Promise<void> => {
      for (let peer = queue.shift(); peer; peer = queue.shift()) {
        await this.#turn();
        try {
          if (signal.aborted || holders.length >= MAX_HOLDERS) return;
          // Another blob's question may have shown it meanwhile.
          if (!thorough && this.#hasFailed(peer.peer)) continue;
          asked += 1;
          const holder = await this.#ask(peer, digest, signal);
          if (!holder || signal.aborted) continue;
          holders.push(holder.peer);
          found(holder);
        } catch (error) {
          failed[peer.peer] = codeOf(error);
        } finally {
          this.#done();
        }
      }
    };
    await Promise.all(Array.from({ length: MAX_ASKS_PER_BLOB }, askSome));
    this.#options.log.debug(
      { code: 'NEIGHBOURS_ASKED', digest, asked, have: holders.length, holders, failed },
      'with no supernode, known peers were asked for a blob',
    );
  }

  /** Rejects when the peer cannot be asked, which is remembered. */
  async #ask(peer: PeerTarget, digest: Digest, signal: AbortSignal): Promise<PeerTarget | undefined> {
    const late = new AbortController();
    const stop = (): void => late.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    let isLate = false;
    const cancel = this.#options.clock.after(ASK_MS, () => {
      isLate = true;
      late.abort(new Error(`no answer within ${ASK_MS} ms`));
    });
    try {
      const holder = await this.#options.ask(peer, digest, late.signal);
      this.#failedUntil.delete(peer.peer);
      return holder;
    } catch (error) {
      if (isLate || peerFailureOf(error) !== undefined) this.failed(peer.peer);
      throw error;
    } finally {
      cancel();
      signal.removeEventListener('abort', stop);
    }
  }

  async #turn(): Promise<void> {
    if (this.#asking < MAX_ASKS) this.#asking += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Whoever waits takes the place over. */
  #done(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#asking -= 1;
  }
}
