import { LRUCache } from 'lru-cache';
import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import { codeOf } from '../../base/errors.ts';
import type { Limiter } from '../../base/limiter.ts';
import type { Metrics } from '../../base/metrics.ts';
import type { ByteRange, ByteSink } from '../../http/byte-sink.ts';
import type { ClusterTls } from '../protocol/cluster-tls.ts';
import { ConnectionPool } from './connection-pool.ts';
import { PeerBadResponse, PeerCut, PeerRefused, PeerTls, PeerUnreachable, TooManyPeerConnections } from './errors.ts';
import { authorizationOf, type PeerIdentity, type PieceAuth } from './piece-auth.ts';
import { PieceConnection, type AnswerTaker, type Endpoint } from './piece-connection.ts';
import { PieceTls } from './piece-tls.ts';
import { RangeTaker } from './range-taker.ts';
import { ReadingTaker } from './reading-taker.ts';
import { parseAnswer, questionPath, type Reading, type ReadingKey } from './readings.ts';
import { SizeTaker } from './size-taker.ts';

/** Connections in use at the same time, to all peers. */
export const MAX_CONNECTIONS_IN_USE = 256;
/** Of one peer; the rest of what it advertises is not tried. */
export const MAX_ADDRESSES_PER_PEER = 8;
/** Peers of which the address that works is remembered. */
const MAX_REMEMBERED = 4096;
/** `host:port` that can be put into a URL and a request as it is. */
const ADDRESS = /^(?:[\w.-]+|\[[\da-f:.]+\]):\d{1,5}$/i;

/** A peer, and the `host:port`s at which it says its piece port is. */
export interface PeerAddress extends PeerIdentity {
  readonly addresses: readonly string[];
}

/** What another try at the next address may mend: nobody there, or somebody else. */
const OF_THE_ADDRESS: ReadonlySet<string> = new Set([
  PeerUnreachable.code,
  PeerCut.code,
  PeerRefused.code,
  PeerTls.code,
  PeerBadResponse.code,
]);

/** Fetches ranges of blobs from other proxies' piece servers, over connections that are kept. */
export class PieceClient {
  readonly #auth: Pick<PieceAuth, 'token'>;
  readonly #clock: Clock;
  readonly #limiter: Limiter;
  readonly #metrics: Metrics;
  readonly #tls: PieceTls | undefined;
  readonly #pool: ConnectionPool;
  readonly #inUse = new Set<PieceConnection>();
  readonly #working = new LRUCache<string, string>({ max: MAX_REMEMBERED });
  #asking = 0;

  /** `limiter` holds what is received to a rate. `tls` undefined: pieces cross in clear. */
  constructor(deps: {
    auth: Pick<PieceAuth, 'token'>;
    clock: Clock;
    limiter: Limiter;
    metrics: Metrics;
    tls?: ClusterTls | undefined;
  }) {
    this.#auth = deps.auth;
    this.#clock = deps.clock;
    this.#limiter = deps.limiter;
    this.#metrics = deps.metrics;
    this.#tls = deps.tls && new PieceTls(deps.tls);
    this.#pool = new ConnectionPool(deps.clock);
  }

  /**
   * Reads a range of a blob from a peer into the sink; the blob's size in bytes. What was written before a rejection is what
   * the peer sent. Rejects with PEER_BUSY and PEER_GONE (no faults), PEER_UNREACHABLE, PEER_TLS, PEER_CUT,
   * PEER_STALLED, PEER_REFUSED, PEER_BAD_RESPONSE, PEER_CONNECTIONS_EXHAUSTED, what the sink throws, or the signal's reason.
   */
  async fetch(
    peer: PeerAddress,
    digest: Digest,
    range: ByteRange,
    sink: ByteSink,
    signal: AbortSignal,
  ): Promise<number> {
    let taker: RangeTaker | undefined;
    const { start, end } = range;
    const fields = [`Range: bytes=${start}-${end === undefined ? '' : end - 1}`];
    return this.#atAnyAddress(
      peer,
      async (to) => {
        taker = new RangeTaker(to, digest, range, sink);
        try {
          await this.#ask(to, this.#request('GET', peer, to, `/v1/blobs/${digest}`, fields), taker, signal);
        } finally {
          if (taker.bytes > 0) this.#metrics.peerBytes.inc({ direction: 'in' }, taker.bytes);
        }
        return { refusal: taker.refusal, answer: taker.total! };
      },
      signal,
      () => taker?.total !== undefined,
    );
  }

  /**
   * Asks a peer whether it has the whole of a blob: its size in bytes; undefined: it has not. Rejects with PEER_UNREACHABLE,
   * PEER_TLS, PEER_CUT, PEER_STALLED, PEER_REFUSED, PEER_BAD_RESPONSE, PEER_CONNECTIONS_EXHAUSTED, or the signal's reason.
   */
  has(peer: PeerAddress, digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    return this.#atAnyAddress(
      peer,
      async (to) => {
        const taker = new SizeTaker(to, digest);
        await this.#ask(to, this.#request('HEAD', peer, to, `/v1/blobs/${digest}`), taker, signal);
        return { refusal: taker.refusal, answer: taker.size };
      },
      signal,
    );
  }

  /**
   * Asks a peer whether it has read something from its origin: what it says, not yet proved; undefined: it vouches for
   * nothing. Rejects as `has`.
   */
  reading(
    peer: PeerAddress,
    key: ReadingKey,
    nonce: string,
    signal: AbortSignal,
  ): Promise<{ readonly reading: Reading; readonly proof: string } | undefined> {
    return this.#atAnyAddress(
      peer,
      async (to) => {
        const taker = new ReadingTaker(to);
        await this.#ask(to, this.#request('GET', peer, to, questionPath(key, nonce)), taker, signal);
        const answer = taker.body === undefined ? undefined : parseAnswer(taker.body);
        if (taker.body !== undefined && !answer) throw taker.bad('something else than a reading');
        return { refusal: taker.refusal, answer };
      },
      signal,
    );
  }

  /** Closes the connections that nobody uses just now. */
  closeIdle(): void {
    this.#pool.close();
  }

  /** Closes every connection; reads under way fail with PEER_CUT. */
  close(): void {
    this.#pool.close();
    for (const connection of this.#inUse) connection.close();
  }

  /** Asks at one address after the other, as long as that may mend a failure and no answer `hasBegun`. */
  async #atAnyAddress<T>(
    peer: PeerAddress,
    ask: (to: Endpoint) => Promise<{ readonly refusal: Error | undefined; readonly answer: T }>,
    signal: AbortSignal,
    hasBegun: () => boolean = () => false,
  ): Promise<T> {
    signal.throwIfAborted();
    if (this.#asking >= MAX_CONNECTIONS_IN_USE) throw new TooManyPeerConnections({ limit: MAX_CONNECTIONS_IN_USE });
    this.#asking += 1;
    let failure: unknown;
    try {
      for (const address of this.#inOrder(peer)) {
        try {
          const { refusal, answer } = await ask({ peer: peer.peer, address });
          if (!(refusal instanceof PeerRefused)) this.#working.set(peer.peer, address);
          if (refusal) throw refusal;
          return answer;
        } catch (error) {
          if (hasBegun() || !OF_THE_ADDRESS.has(codeOf(error))) throw error;
          failure ??= error;
          if (this.#working.get(peer.peer) === address) this.#working.delete(peer.peer);
        }
      }
    } finally {
      this.#asking -= 1;
    }
    throw failure ?? new PeerUnreachable({ peer: peer.peer, address: '-', seen: 'it has no address' });
  }

  /** The address that worked last first. */
  #inOrder({ peer, addresses }: PeerAddress): readonly string[] {
    const sound = addresses.filter((address) => ADDRESS.test(address)).slice(0, MAX_ADDRESSES_PER_PEER);
    const known = this.#working.get(peer);
    if (known === undefined || !sound.includes(known)) return sound;
    return [known, ...sound.filter((address) => address !== known)];
  }

  #request(
    method: 'GET' | 'HEAD',
    peer: PeerAddress,
    { address }: Endpoint,
    path: string,
    fields: readonly string[] = [],
  ): string {
    return [
      `${method} ${path} HTTP/1.1`,
      `Host: ${address}`,
      ...fields,
      `Authorization: ${authorizationOf(this.#auth.token(peer))}`,
      '\r\n',
    ].join('\r\n');
  }

  async #ask(to: Endpoint, request: string, taker: AnswerTaker, signal: AbortSignal): Promise<void> {
    const kept = this.#pool.take(to.address);
    if (kept) {
      try {
        await this.#use(kept, to.peer, request, taker, signal);
        return;
      } catch (error) {
        // It may be closed just as it is used again; nothing was lost then, and a fresh one is tried.
        if (kept.answered || codeOf(error) !== PeerCut.code) throw error;
      }
    }
    const fresh = await PieceConnection.open(
      to,
      { clock: this.#clock, limiter: this.#limiter, tls: this.#tls },
      signal,
    );
    await this.#use(fresh, to.peer, request, taker, signal);
  }

  async #use(
    connection: PieceConnection,
    peer: string,
    request: string,
    taker: AnswerTaker,
    signal: AbortSignal,
  ): Promise<void> {
    this.#inUse.add(connection);
    try {
      await connection.ask(request, peer, taker, signal);
    } finally {
      this.#inUse.delete(connection);
      this.#pool.give(connection);
    }
  }
}
