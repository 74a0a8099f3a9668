import { LRUCache } from 'lru-cache';
import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import { codeOf } from '../../base/errors.ts';
import type { Limiter } from '../../base/limiter.ts';
import type { Metrics } from '../../base/metrics.ts';
import type { ByteRange, ByteSink } from '../../http/byte-sink.ts';
import { ConnectionPool } from './connection-pool.ts';
import { PeerBadResponse, PeerCut, PeerRefused, PeerUnreachable, TooManyPeerConnections } from './errors.ts';
import { authorizationOf, type PeerIdentity, type PieceAuth } from './piece-auth.ts';
import { PieceConnection, type Endpoint } from './piece-connection.ts';
import { RangeTaker } from './range-taker.ts';

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
  PeerBadResponse.code,
]);

/** Fetches ranges of blobs from other proxies' piece servers, over connections that are kept. */
export class PieceClient {
  readonly #auth: Pick<PieceAuth, 'token'>;
  readonly #clock: Clock;
  readonly #limiter: Limiter;
  readonly #metrics: Metrics;
  readonly #pool: ConnectionPool;
  readonly #inUse = new Set<PieceConnection>();
  readonly #working = new LRUCache<string, string>({ max: MAX_REMEMBERED });
  #asking = 0;

  /** `limiter` holds what is received to a rate. */
  constructor(deps: { auth: Pick<PieceAuth, 'token'>; clock: Clock; limiter: Limiter; metrics: Metrics }) {
    this.#auth = deps.auth;
    this.#clock = deps.clock;
    this.#limiter = deps.limiter;
    this.#metrics = deps.metrics;
    this.#pool = new ConnectionPool(deps.clock);
  }

  /**
   * Reads a range of a blob from a peer into the sink; the blob's size in bytes. What was written before a rejection is what
   * the peer sent. Rejects with PEER_BUSY and PEER_GONE (no faults), PEER_UNREACHABLE, PEER_CUT, PEER_STALLED,
   * PEER_REFUSED, PEER_BAD_RESPONSE, PEER_CONNECTIONS_EXHAUSTED, what the sink throws, or the signal's reason.
   */
  async fetch(
    peer: PeerAddress,
    digest: Digest,
    range: ByteRange,
    sink: ByteSink,
    signal: AbortSignal,
  ): Promise<number> {
    signal.throwIfAborted();
    if (this.#asking >= MAX_CONNECTIONS_IN_USE) throw new TooManyPeerConnections({ limit: MAX_CONNECTIONS_IN_USE });
    this.#asking += 1;
    try {
      return await this.#fetch(peer, digest, range, sink, signal);
    } finally {
      this.#asking -= 1;
    }
  }

  /** Closes every connection; reads under way fail with PEER_CUT. */
  close(): void {
    this.#pool.close();
    for (const connection of this.#inUse) connection.close();
  }

  async #fetch(
    peer: PeerAddress,
    digest: Digest,
    range: ByteRange,
    sink: ByteSink,
    signal: AbortSignal,
  ): Promise<number> {
    let failure: unknown;
    for (const address of this.#inOrder(peer)) {
      const taker = new RangeTaker({ peer: peer.peer, address }, digest, range, sink);
      try {
        await this.#ask({ peer: peer.peer, address }, this.#request(peer, address, digest, range), taker, signal);
        if (!(taker.refusal instanceof PeerRefused)) this.#working.set(peer.peer, address);
        if (taker.refusal) throw taker.refusal;
        return taker.total!;
      } catch (error) {
        if (taker.total !== undefined || !OF_THE_ADDRESS.has(codeOf(error))) throw error;
        failure ??= error;
        if (this.#working.get(peer.peer) === address) this.#working.delete(peer.peer);
      } finally {
        if (taker.bytes > 0) this.#metrics.peerBytes.inc({ direction: 'in' }, taker.bytes);
      }
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

  #request(peer: PeerAddress, address: string, digest: Digest, { start, end }: ByteRange): string {
    return [
      `GET /v1/blobs/${digest} HTTP/1.1`,
      `Host: ${address}`,
      `Range: bytes=${start}-${end === undefined ? '' : end - 1}`,
      `Authorization: ${authorizationOf(this.#auth.token(peer))}`,
      '\r\n',
    ].join('\r\n');
  }

  async #ask(to: Endpoint, request: string, taker: RangeTaker, signal: AbortSignal): Promise<void> {
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
    const fresh = await PieceConnection.open(to, { clock: this.#clock, limiter: this.#limiter }, signal);
    await this.#use(fresh, to.peer, request, taker, signal);
  }

  async #use(
    connection: PieceConnection,
    peer: string,
    request: string,
    taker: RangeTaker,
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
