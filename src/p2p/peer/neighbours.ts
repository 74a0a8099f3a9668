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
  /** Peers that are asked where not everybody is; MAX_ASKED where nothing is said. */
  readonly most?: number;
}

/** What the peers are asked. */
export interface Inquiry<T> {
  /** What a peer answers; undefined: no. Rejects when it cannot be asked. */
  readonly ask: (peer: PeerTarget, signal: AbortSignal) => Promise<T | undefined>;
  /** Called with each answer, as it comes. */
  readonly answered: (answer: T) => void;
  /** So many answers are enough. */
  readonly enough: number;
  /** What was asked, for the log. */
  readonly about: string;
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
    const ask = (peer: PeerTarget, late: AbortSignal) => this.#options.ask(peer, search.digest, late);
    return this.inquire(search, { ask, answered: found, enough: MAX_HOLDERS, about: 'who has it' }, signal);
  }

  /** As `find`, with a question of one's own. */
  inquire<T>(search: Search, inquiry: Inquiry<T>, signal: AbortSignal): Promise<void> | undefined {
    const queue = this.#inOrder(search);
    return queue.length === 0 ? undefined : this.#askAll(search, inquiry, queue, signal);
  }

  failed(peer: string): void {
    this.#failedUntil.set(peer, this.#options.clock.monotonic() + FAILED_MS);
  }

  #inOrder({ first, except, thorough, most = MAX_ASKED }: Search): PeerTarget[] {
    const { known, zone, random = Math.random } = this.#options;
    const ranked = known().map((peer) => ({ peer, rank: (peer.zone === zone ? 0 : 1) + random() }));
    ranked.sort((a, b) => a.rank - b.rank);
    const targets = ranked.map(({ peer: { id, instance, addresses } }) => ({ peer: id, instance, addresses }));
    const byId = new Map<string, PeerTarget>();
    for (const target of [...first, ...targets]) if (!byId.has(target.peer)) byId.set(target.peer, target);
    const asked = [...byId.values()].filter(({ peer }) => !except.has(peer) && (thorough || !this.#hasFailed(peer)));
    return thorough ? asked : asked.slice(0, most);
  }

  #hasFailed(peer: string): boolean {
    return (this.#failedUntil.get(peer) ?? Number.NEGATIVE_INFINITY) > this.#options.clock.monotonic();
  }

  async #askAll<T>(
    { digest, thorough }: Search,
    inquiry: Inquiry<T>,
    queue: PeerTarget[],
    signal: AbortSignal,
  ): Promise<void> {
    const holders: string[] = [];
    const failed: Record<string, string> = {};
    let asked = 0;
    const askSome = async (): Promise<void> => {
      for (let peer = queue.shift(); peer; peer = queue.shift()) {
        await this.#turn();
        try {
          if (signal.aborted || holders.length >= inquiry.enough) return;
          // Another blob's question may have shown it meanwhile.
          if (!thorough && this.#hasFailed(peer.peer)) continue;
          asked += 1;
          const answer = await this.#ask(peer, inquiry, signal);
          if (answer === undefined || signal.aborted) continue;
          holders.push(peer.peer);
          inquiry.answered(answer);
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
      `known peers were asked about a blob: ${inquiry.about}`,
    );
  }

  /** Rejects when the peer cannot be asked, which is remembered. */
  async #ask<T>(peer: PeerTarget, inquiry: Inquiry<T>, signal: AbortSignal): Promise<T | undefined> {
    const late = new AbortController();
    const stop = (): void => late.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    let isLate = false;
    const cancel = this.#options.clock.after(ASK_MS, () => {
      isLate = true;
      late.abort(new Error(`no answer within ${ASK_MS} ms`));
    });
    try {
      const answer = await inquiry.ask(peer, late.signal);
      this.#failedUntil.delete(peer.peer);
      return answer;
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
