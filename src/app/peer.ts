import { hostname } from 'node:os';
import type { Audit } from '../base/audit.ts';
import type { Clock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import { Limiter } from '../base/limiter.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Config } from '../config/config.ts';
import { formatAddress, isLoopback, isUnspecified, type Address } from '../config/formats.ts';
import type { BufferPool } from '../http/buffer-pool.ts';
import { askNeighbour } from '../p2p/peer/ask-neighbour.ts';
import type { DialBack } from '../p2p/peer/dial-back.ts';
import type { Downloads, Shelf } from '../p2p/peer/downloads.ts';
import type { PeerSources } from '../p2p/peer/fetcher.ts';
import { loadIdentity } from '../p2p/peer/identity.ts';
import { Inventory } from '../p2p/peer/inventory.ts';
import { NeighbourCoordinator } from '../p2p/peer/neighbour-coordinator.ts';
import { KnownNeighbours } from '../p2p/peer/neighbours.ts';
import { peerSource } from '../p2p/peer/peer-source.ts';
import type { PeerIdentity } from '../p2p/peer/piece-auth.ts';
import { PreheatOrders, type FetchImage } from '../p2p/peer/preheat-orders.ts';
import { PieceClient } from '../p2p/peer/piece-client.ts';
import { PieceServer } from '../p2p/peer/piece-server.ts';
import { RemoteCoordinator } from '../p2p/peer/remote-coordinator.ts';
import { PeerSession } from '../p2p/peer/session.ts';
import type { FindCandidates } from '../p2p/peer/supernode-dial.ts';
import { readingOf, saidIn } from '../p2p/peer/readings.ts';
import { UploadSlots } from '../p2p/peer/upload-slots.ts';
import { PeerVouchers, type Vouchers } from '../p2p/peer/vouchers.ts';
import type { ClusterTls } from '../p2p/protocol/cluster-tls.ts';
import type { Membership } from '../p2p/protocol/membership.ts';
import { prepareToHear } from '../p2p/protocol/messages.ts';
import { whoamiBy, type AskWhoami } from '../p2p/protocol/whoami.ts';
import { endOf } from '../p2p/protocol/tls-files.ts';
import type { BlobStore } from '../store/blob-store.ts';
import type { Refs } from '../store/refs.ts';
import type { Lifecycle } from './lifecycle.ts';
import { OwnAddress } from './own-address.ts';
import type { Reloads } from './reloads.ts';
import type { Resources } from './resources.ts';
import type { ListeningAddress } from './service.ts';
import { Sockets } from './sockets.ts';
import { programVersion } from './version.ts';

/** A shelf of which it can be said what is on it. */
type ListedShelf = Shelf & Pick<BlobStore, 'list'>;

export interface PeerDeps {
  readonly membership: Membership;
  /** Undefined: pieces cross in clear. */
  readonly tls?: ClusterTls | undefined;
  /** How supernodes are reached. */
  readonly candidates: FindCandidates;
  readonly supernodes: readonly string[];
  readonly pool: BufferPool;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly lifecycle: Lifecycle;
  readonly reloads: Reloads;
  readonly audit: Audit;
  /** Sockets that were handed down. */
  readonly sockets?: Sockets | undefined;
  /** What this process may run out of. */
  readonly resources: Resources;
}

/** What a node has that others may ask for. */
interface PeerParts {
  readonly downloads: Downloads;
  readonly store: BlobStore;
  readonly refs: Refs;
  /** Further shelves. */
  readonly more: readonly ListedShelf[];
}

/** This node's part in the swarm: what it fetches from others, what it gives to them, its session with a supernode. */
export class Peer {
  readonly identity: PeerIdentity;
  readonly coordinator: RemoteCoordinator;
  readonly vouchers: Vouchers;
  readonly #config: Config;
  readonly #deps: PeerDeps;
  readonly #client: PieceClient;
  readonly #download: Limiter;
  readonly #upload: Limiter;
  readonly #whoami: AskWhoami;
  readonly #preheats: PreheatOrders;
  #inventory: Inventory | undefined;
  #session: PeerSession | undefined;
  #ownAddress: OwnAddress | undefined;

  private constructor(config: Config, deps: PeerDeps, identity: PeerIdentity) {
    const { clock, log, metrics, membership, tls, reloads } = deps;
    if (tls) metrics.showCertificateEnd(() => endOf(tls.material).at);
    const { uploadBytesPerSecond, downloadBytesPerSecond } = config.peer;
    this.#upload = new Limiter({ bytesPerSecond: uploadBytesPerSecond, clock });
    this.#download = new Limiter({ bytesPerSecond: downloadBytesPerSecond, clock });
    reloads.add({
      keys: ['peer.uploadLimit', 'peer.downloadLimit'],
      take: async ({ peer }) => {
        this.#upload.setRate(peer.uploadBytesPerSecond);
        this.#download.setRate(peer.downloadBytesPerSecond);
      },
    });
    this.#config = config;
    this.#deps = deps;
    this.identity = identity;
    this.#preheats = new PreheatOrders({ clock, log });
    this.#client = new PieceClient({
      auth: {
        token: ({ peer, instance }) =>
          membership.pieceToken({ sender: peer, receiver: identity.peer, instance }, this.#supernodeTime()),
      },
      clock,
      limiter: this.#download,
      metrics,
      tls,
    });
    const client = this.#client;
    const whoami = whoamiBy(tls);
    this.#whoami = whoami;
    const neighbours = new KnownNeighbours({
      known: () => this.#session?.knownPeers() ?? [],
      zone: config.peer.zone ?? '',
      ask: (peer, digest, signal) => askNeighbour(peer, digest, signal, { client, membership, whoami }),
      clock,
      log,
    });
    this.coordinator = new RemoteCoordinator({
      solo: new NeighbourCoordinator({ neighbours, clock, log }),
      clock,
      onClosed: (digest) => this.#inventory?.ended(digest),
    });
    this.vouchers = new PeerVouchers({
      neighbours,
      knownCount: () => this.#session?.knownPeers().length ?? 0,
      giversOf: (digest) => this.coordinator.giversOf(digest),
      client,
      membership,
      whoami,
    });
  }

  static async create(config: Config, deps: PeerDeps): Promise<Peer> {
    return new Peer(config, deps, await loadIdentity(config.store.dir, deps.log));
  }

  readonly sources: PeerSources = (from, digest) => {
    const { clock, metrics } = this.#deps;
    return peerSource(from, digest, { client: this.#client, clock, metrics });
  };

  /** Opens the piece port and looks for a supernode. */
  async start({ downloads, store, refs, more }: PeerParts): Promise<ListeningAddress> {
    const shelves = [store, ...more];
    const { lifecycle, resources } = this.#deps;
    const { listen } = this.#config.peer;
    const { server, port } = await lifecycle.start({
      name: 'pieces',
      start: () => this.#listen(downloads, refs, shelves),
      release: ({ server }) => server.release(),
      stop: async ({ server }) => {
        this.#client.close();
        await server.close();
      },
    });
    resources.onShortage(() => {
      this.#client.closeIdle();
      server.closeIdle();
    });
    const address = { role: 'pieces', host: listen.host, port };
    this.#inventory = new Inventory({
      shelves,
      parts: () => downloads.parts(),
      isShared: (digest) => downloads.isShared(digest),
      crcsOf: (digest) => store.crcsOf(digest),
    });
    await lifecycle.start({
      name: 'session',
      // A socket that was handed down may be more exact.
      start: async () => this.#openSession({ host: isUnspecified(listen.host) ? server.host : listen.host, port }),
      // The process that takes over registers under the same id.
      release: (session) => session.close(),
      stop: async (session) => {
        session.close();
        this.#preheats.close();
      },
    });
    return address;
  }

  /** Who fetches the images that the supernode orders. */
  preheatBy(fetch: FetchImage): void {
    this.#preheats.fetchBy(fetch);
  }

  /** As `/api/v1/status` shows it. */
  status(): object {
    const { fault } = this.#ownAddress ?? {};
    const advertised = {
      addresses: this.#session?.link?.addresses ?? [],
      code: fault?.code ?? '',
      message: fault?.message ?? '',
      todo: fault?.todo ?? '',
    };
    return { peer: this.identity.peer, advertised, supernodes: this.#session?.status() ?? [] };
  }

  /** Has the supernode try the piece port. Rejects as `PeerSession.dialBack`. */
  async dialBack(): Promise<{ supernode: string; result: DialBack }> {
    const session = this.#session!;
    const answer = await session.dialBack();
    const { fault } = this.#ownAddress ?? {};
    const result = answer.error !== undefined && fault ? { error: fault.message } : answer;
    return { supernode: session.status().find(({ state }) => state === 'connected')?.url ?? '', result };
  }

  async #listen(
    downloads: Downloads,
    refs: Refs,
    shelves: readonly ListedShelf[],
  ): Promise<{ server: PieceServer; port: number }> {
    const { membership, tls, pool, clock, log, metrics, audit, resources } = this.#deps;
    const { listen, uploadSlots } = this.#config.peer;
    const { peer, instance } = this.identity;
    const isShared = (digest: Digest) => downloads.isShared(digest);
    const staleMs = this.#config.proxy.staleTagsMs;
    const server = new PieceServer({
      shelves: shelves.map((shelf) => sharedOf(shelf, downloads)),
      incoming: downloads,
      auth: {
        check: (token) =>
          membership.checkPieceToken(token, { sender: peer, instance }, this.#supernodeTime())?.receiver,
      },
      identity: this.identity,
      prove: (nonce) => membership.whoamiProof({ nonce, peer, instance }),
      vouch: async (key, nonce) => {
        const reading = await readingOf(key, { refs, isShared, clock, staleMs });
        if (!reading) return undefined;
        return { reading, proof: membership.readingProof({ nonce, peer, instance, ...key, said: saidIn(reading) }) };
      },
      slots: new UploadSlots(uploadSlots, resources.pressure),
      descriptors: resources.descriptors,
      limiter: this.#upload,
      pool,
      metrics,
      clock,
      log,
      audit,
      tls,
    });
    membership.onChange(() => server.recheck());
    if (!tls && !isLoopback(listen.host)) sayInClear(log, formatAddress(listen));
    const where = { address: listen, key: 'peer.listen' };
    const by = ({ fd, ...address }: { host: string; port: number; fd?: number }) =>
      server.listen(fd === undefined ? address : { fd });
    const port = await (this.#deps.sockets ?? new Sockets()).listen('pieces', where, by, () => server.host);
    return { server, port };
  }

  #openSession(listen: Address): PeerSession {
    const { membership, candidates, supernodes, clock, log, metrics } = this.#deps;
    const { advertise, zone, uploadSlots } = this.#config.peer;
    const ownAddress = new OwnAddress({ listen, advertise, log });
    this.#ownAddress = ownAddress;
    const about = {
      ...this.identity,
      version: programVersion(),
      host: hostname(),
      zone: zone ?? '',
      uploadSlots,
      bytes: () => metrics.byteTotals(),
    };
    const session = new PeerSession({
      urls: supernodes,
      candidates,
      self: (localAddress) => ({ ...about, addresses: ownAddress.of(localAddress) }),
      membership,
      inventory: this.#inventory!,
      preheats: this.#preheats,
      clock,
      log,
      metrics,
      ask: this.#whoami,
    });
    this.#session = session;
    session.start(this.coordinator);
    void prepareToHear('supernode');
    return session;
  }

  #supernodeTime(): number {
    return this.#session?.supernodeTime() ?? this.#deps.clock.now();
  }
}

function sayInClear(log: Logger, address: string): void {
  const todo = 'nothing, on a network of your own; else set cluster.tls (docs/tls.md)';
  log.info(
    { code: 'PIECES_IN_CLEAR', address, todo },
    'pieces, and what is said to the supernode, cross the network in clear: members are told from strangers, but who listens on the way can read along',
  );
}

/** A shelf as other proxies see it: without what stays on this node. */
function sharedOf(shelf: Shelf, downloads: Pick<Downloads, 'isShared'>): Shelf {
  return {
    sizeOf: (digest) => (downloads.isShared(digest) ? shelf.sizeOf(digest) : undefined),
    open: async (digest) => (downloads.isShared(digest) ? shelf.open(digest) : undefined),
  };
}
