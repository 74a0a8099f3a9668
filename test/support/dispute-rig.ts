import { randomBytes } from 'node:crypto';
import { digestOf, type Digest } from '../../src/base/digest.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { MiB } from '../../src/base/units.ts';
import { BufferPool } from '../../src/http/buffer-pool.ts';
import type { ByteRange, ByteSink } from '../../src/http/byte-sink.ts';
import { Downloads, type OpenBlob } from '../../src/p2p/peer/downloads.ts';
import { PeerGone } from '../../src/p2p/peer/errors.ts';
import type { PeerSources } from '../../src/p2p/peer/fetcher.ts';
import type { PieceSource } from '../../src/p2p/peer/piece-source.ts';
import { RemoteCoordinator } from '../../src/p2p/peer/remote-coordinator.ts';
import { SoloCoordinator } from '../../src/p2p/peer/solo-coordinator.ts';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import type { Decision } from '../../src/p2p/supernode/events.ts';
import type { Supernode } from '../../src/p2p/supernode/supernode.ts';
import { Swarm } from '../../src/p2p/supernode/swarm.ts';
import { ManualClock } from './manual-clock.ts';
import { MemoryStore } from './memory-store.ts';
import { ScriptedSource } from './scripted-source.ts';
import { askFrom, makeSession, makeSupernode, pairedCandidates, SECRET, until, type Phonebook } from './swarm-rig.ts';

const never = new AbortController().signal;

/** A blob of whole MiB pieces, and versions of it that are wrong in some. */
export class TestBlob {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly pieces: number;

  constructor(pieces: number) {
    this.pieces = pieces;
    this.bytes = randomBytes(pieces * MiB);
    this.digest = digestOf(this.bytes);
  }

  /** Its bytes, with one wrong in each of the pieces. */
  wrongIn(pieces: Iterable<number>): Buffer {
    const bytes = Buffer.from(this.bytes);
    for (const piece of pieces) bytes[piece * MiB + 1000]! ^= 1;
    return bytes;
  }
}

/** What became of a client's response. */
export interface Outcome {
  readonly bytes: Buffer;
  /** Undefined: it ended normally. */
  readonly error: { code?: string } | undefined;
}

/** A proxy of the real parts, but for the network: an origin in memory, peers by call. */
export class TestProxy {
  readonly peer: string;
  readonly store = new MemoryStore();
  readonly metrics = new Metrics();
  readonly downloads: Downloads;
  readonly coordinator: RemoteCoordinator;
  readonly origin: ScriptedSource;
  /** Pieces that have been fetched from others. */
  fetched = 0;
  /** Bytes of each piece that have come from the origin; chunks do not go over the end of a piece. */
  readonly #given = new Map<number, number>();

  constructor(peer: string, origin: Buffer, clock: ManualClock, others: ReadonlyMap<string, TestProxy>) {
    this.peer = peer;
    const solo = new SoloCoordinator({ clock, random: () => 0.5 });
    this.coordinator = new RemoteCoordinator({ solo, clock });
    this.origin = new ScriptedSource(origin);
    const peers: PeerSources = (from, digest) => ({
      kind: 'peer',
      name: from.peer,
      read: (range, sink) => {
        this.fetched += 1;
        return others.get(from.peer)!.give(digest, range, sink);
      },
    });
    const pool = new BufferPool();
    const { store, metrics, coordinator } = this;
    this.downloads = new Downloads({
      store,
      coordinator,
      solo,
      peers,
      pool,
      clock,
      log: silentLogger,
      metrics,
    });
  }

  /** As its piece server does. */
  async give(digest: Digest, { start, end = Infinity }: ByteRange, sink: ByteSink): Promise<void> {
    const stored = await this.store.open(digest);
    const part = stored ?? (await this.downloads.openPart(digest, start, end));
    if (!part) throw new PeerGone({ peer: this.peer, digest });
    sink.head({ total: part.size, ranges: true });
    const buffer = Buffer.alloc(100_000);
    for (let at = start; at < Math.min(end, part.size);) {
      const count = await part.read(buffer.subarray(0, Math.min(buffer.length, end - at)), at);
      sink.write(buffer.subarray(0, count));
      at += count;
    }
    if (stored) await stored.close();
  }

  open(blob: TestBlob, range?: { start: number }): Promise<OpenBlob> {
    const request = { digest: blob.digest, origin: this.#counted(), size: blob.bytes.length };
    return this.downloads.open(request, range, never);
  }

  /** Reads the blob as a client does, to its end or to its being cut off; `pause` is waited for before byte `pauseAt`. */
  async pull(blob: TestBlob, pauseAt = Infinity, pause: () => Promise<void> = async () => undefined): Promise<Outcome> {
    const parts: Buffer[] = [];
    let body: OpenBlob | undefined;
    try {
      body = await this.open(blob);
      const buffer = Buffer.alloc(100_000);
      for (let at = 0, paused = false; at < body.size;) {
        if (at >= pauseAt && !paused) {
          paused = true;
          await pause();
        }
        const limit = paused ? body.size : Math.min(body.size, pauseAt);
        const end = Math.min(await body.ready(at), limit);
        const count = await body.read(buffer.subarray(0, Math.min(buffer.length, end - at)), at);
        parts.push(Buffer.from(buffer.subarray(0, count)));
        at += count;
      }
      return { bytes: Buffer.concat(parts), error: undefined };
    } catch (error) {
      return { bytes: Buffer.concat(parts), error: error as { code?: string } };
    } finally {
      body?.close();
    }
  }

  hasStored(blob: TestBlob): boolean {
    return this.store.sizeOf(blob.digest) !== undefined;
  }

  /** How often each piece of a blob has come whole from its origin. */
  reads(pieces: number): number[] {
    return Array.from({ length: pieces }, (_, piece) => Math.floor((this.#given.get(piece) ?? 0) / MiB));
  }

  /** The origin, with a count of what comes. */
  #counted(): PieceSource {
    const { origin } = this;
    return {
      kind: 'origin',
      name: origin.name,
      read: (range, sink, signal) => {
        let at = range.start;
        const write = (chunk: Uint8Array): boolean => {
          const piece = Math.floor(at / MiB);
          this.#given.set(piece, (this.#given.get(piece) ?? 0) + chunk.length);
          at += chunk.length;
          return sink.write(chunk);
        };
        return origin.read(range, { head: (head) => sink.head(head), write, drained: () => sink.drained() }, signal);
      },
    };
  }
}

/** A supernode and proxies in one process, and no network. Time passes as long as it runs. */
export class DisputeRig {
  readonly clock = new ManualClock();
  readonly proxies = new Map<string, TestProxy>();
  readonly decisions: Decision[] = [];
  /** What passes while about a millisecond passes. */
  tickMs = 1;
  readonly #book: Phonebook = new Map();
  readonly #supernode: Supernode;
  readonly #ends: (() => void | Promise<void>)[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor() {
    const { decisions } = this;
    const heard = (said: Decision[]) => {
      decisions.push(...said);
      return said;
    };
    this.#supernode = makeSupernode(this.clock, {
      ask: askFrom(this.#book, new Membership(SECRET)),
      makeSwarm: (options) => {
        const swarm = new Swarm(options);
        return {
          apply: (event, now) => heard(swarm.apply(event, now)),
          tick: (now) => heard(swarm.tick(now)),
          paused: (now) => swarm.paused(now),
          get nextTick() {
            return swarm.nextTick;
          },
          blobs: () => swarm.blobs(),
          activeBlobs: (limit) => swarm.activeBlobs(limit),
          blob: (digest) => swarm.blob(digest),
          partsOf: (peer, limit) => swarm.partsOf(peer, limit),
          wholesOf: (peer) => swarm.wholesOf(peer),
          stats: () => swarm.stats(),
        };
      },
    });
    this.#timer = setInterval(() => void this.clock.advance(this.tickMs), 1);
  }

  /** A proxy whose origin gives these bytes, with a session. */
  async join(origin: Buffer): Promise<TestProxy> {
    const peer = `peer-${this.proxies.size}-000`;
    const address = `${peer}:1`;
    this.#book.set(address, { peer, instance: 'instance-1' });
    const proxy = new TestProxy(peer, origin, this.clock, this.proxies);
    this.proxies.set(peer, proxy);
    const session = makeSession({
      clock: this.clock,
      urls: ['http://here'],
      candidates: pairedCandidates(() => this.#supernode),
      peer,
      addresses: [address],
    });
    session.start(proxy.coordinator);
    this.#ends.push(() => session.close());
    await until('its session is open', () => session.link !== undefined);
    await until('it is ready', () =>
      this.#supernode.peers().peers.some(({ id, state }) => id === peer && state === 'ready'),
    );
    return proxy;
  }

  /** The origin has shown that it gives ranges; nothing of that counts. */
  async proveRanges(): Promise<void> {
    const other = new TestBlob(2);
    const proxy = await this.join(other.bytes);
    const body = await proxy.open(other, { start: MiB });
    body.close();
    await proxy.downloads.close();
  }

  /** Peers that were blamed. */
  get blamed(): string[] {
    return this.decisions.flatMap((one) => (one.kind === 'blamed' ? [one.peer] : []));
  }

  stopSupernode(): void {
    this.#supernode.close();
  }

  async end(): Promise<void> {
    for (const proxy of this.proxies.values()) await proxy.downloads.close();
    for (const end of this.#ends) await end();
    this.#supernode.close();
    clearInterval(this.#timer);
  }
}
