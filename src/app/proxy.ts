import { join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import type { Logger } from '../base/log.ts';
import type { Config } from '../config/config.ts';
import { FileApi } from '../files/file-api.ts';
import { FileServers } from '../files/file-servers.ts';
import { Files } from '../files/files.ts';
import { Downloads } from '../p2p/peer/downloads.ts';
import { HashThread } from '../p2p/peer/hash-thread.ts';
import { SoloCoordinator } from '../p2p/peer/solo-coordinator.ts';
import { createMirror } from '../proxy/mirror.ts';
import { StoreKeeper } from '../proxy/store-keeper.ts';
import { BufferPool } from '../http/buffer-pool.ts';
import { Upstreams } from '../registry/upstreams.ts';
import { PrivateBlobs } from '../store/private-blobs.ts';
import { ShownBlobs } from '../store/shown-blobs.ts';
import { ContainerdShelf } from '../store/containerd-shelf.ts';
import { DiskStore } from '../store/disk-store.ts';
import { openStore } from '../store/late-store.ts';
import { Refs } from '../store/refs.ts';
import type { ProcessAudit } from './audit.ts';
import type { Lifecycle } from './lifecycle.ts';
import { readMirrorClients, reloadMirrorClients } from './mirror-clients.ts';
import type { ListeningAddress } from './service.ts';
import { proxyMetrics } from './metrics.ts';
import type { Peer, PeerDeps } from './peer.ts';
import { startProxyApi } from './proxy-api.ts';
import type { Reloads } from './reloads.ts';
import { descriptorsWanted, Resources } from './resources.ts';
import { hostOf, Sockets } from './sockets.ts';
import { programVersion } from './version.ts';

/** How long responses that are under way may go on when Hawker is told to stop; longer than that they are cut off. */
const DRAIN_MS = 30_000;
/** Beyond draining, for the parts to notice. */
const DRAIN_MARGIN_MS = 2000;

export interface ProxyDeps {
  readonly log: Logger;
  readonly lifecycle: Lifecycle;
  readonly reloads: Reloads;
  readonly audit: ProcessAudit;
  /** Sockets that were handed down. */
  readonly sockets?: Sockets | undefined;
  /** The node's part in a cluster; undefined: it is alone. */
  readonly cluster?: (parts: Pick<PeerDeps, 'pool' | 'clock' | 'metrics' | 'resources'>) => Promise<Peer>;
}

/** Composes one node's proxy: what it keeps, what it reads from, its part in a cluster, what it shows. */
export async function startProxy(
  config: Config,
  { log, lifecycle, reloads, audit, sockets = new Sockets(), cluster }: ProxyDeps,
): Promise<ListeningAddress[]> {
  const clock = systemClock;
  const metrics = proxyMetrics();
  audit.countOn(metrics);
  const { dir, quotaBytes, containerd } = config.store;

  const resources = await lifecycle.start({
    name: 'resources',
    start: async () => new Resources({ clock, log, metrics }),
    stop: async (resources) => resources.close(),
  });

  let privateBlobs: PrivateBlobs | undefined;
  let shownBlobs: ShownBlobs | undefined;
  const store = await lifecycle.start({
    name: 'store',
    start: () =>
      // The process before this one may have noted some more.
      openStore({
        dir,
        quotaBytes,
        log,
        metrics,
        clock,
        onOpened: () => {
          privateBlobs?.reread();
          shownBlobs?.reread();
        },
      }),
    release: (store) => store.stopping(),
    stop: (store) => store.close(),
  });
  reloads.add({ keys: ['store.quota'], take: async (next) => store.setQuota(next.store.quotaBytes) });
  const refs = await lifecycle.start({
    name: 'refs',
    start: () => Refs.open({ dir, log, clock }),
    release: (refs) => refs.flush(),
    stop: (refs) => refs.close(),
  });
  const shelves: ContainerdShelf[] = [];
  if (containerd !== undefined) {
    const stateFile = join(dir, 'v1', 'containerd-shelf.json');
    shelves.push(
      await lifecycle.start({
        name: 'containerd shelf',
        start: () => ContainerdShelf.open({ root: containerd, stateFile, log, clock }),
        stop: (shelf) => shelf.close(),
      }),
    );
  }
  const upstreams = await lifecycle.start({
    name: 'upstreams',
    start: async () => new Upstreams(config.upstreams, { log, metrics, clock }),
    stop: (upstreams) => upstreams.close(),
  });
  reloads.add({ keys: ['upstreams'], take: async (next) => upstreams.change(next.upstreams) });
  const fileServers = await lifecycle.start({
    name: 'file servers',
    start: async () => new FileServers(config.files, { metrics, clock }),
    stop: (servers) => servers.close(),
  });
  reloads.add({ keys: ['files.allow', 'files.ca'], take: async (next) => fileServers.change(next.files) });
  resources.watchDisk(() => store.disk());
  const pool = new BufferPool();
  resources.hold(pool);
  const solo = new SoloCoordinator({ clock, log });
  // A store that is not open yet says of every blob that it is not here.
  const isHere = (digest: Digest) => !(store instanceof DiskStore) || store.sizeOf(digest) !== undefined;
  privateBlobs = PrivateBlobs.open(dir, isHere);
  shownBlobs = ShownBlobs.open(dir);
  const peer = await cluster?.({ pool, clock, metrics, resources });
  audit.node.peer = peer?.identity.peer;
  const hashThread = await lifecycle.start({
    name: 'hash thread',
    start: async () => HashThread.where(log),
    stop: async (thread) => thread?.close(),
  });
  const downloads = await lifecycle.start({
    name: 'downloads',
    start: async () => {
      const swarm = peer && { coordinator: peer.coordinator, peers: peer.sources };
      const { pressure } = resources;
      // Without secret and certificates any process on this machine is a member.
      const sharesPrivate = config.cluster.secretFile !== undefined || config.cluster.tls !== undefined;
      const node = { store, shelves, privateBlobs, shownBlobs, sharesPrivate, pool, clock, log, metrics, pressure };
      const alone = { ...node, coordinator: solo, solo };
      return new Downloads({ ...alone, ...swarm, hashThread });
    },
    stop: async (downloads) => {
      await downloads.close();
      await shownBlobs?.settled();
    },
  });
  resources.expectDescriptors(descriptorsWanted({ peers: peer !== undefined }));
  const pieces = await peer?.start({ downloads, store, refs, more: shelves });

  const settings = config.proxy;
  const mirrorAddresses = await lifecycle.start({
    name: 'mirror',
    start: async () => {
      const { descriptors } = resources;
      const vouchers = peer?.vouchers;
      const clients = await readMirrorClients(config, clock);
      const shared = {
        ...clients,
        upstreams,
        downloads,
        refs,
        room: store,
        vouchers,
        pool,
        log,
        metrics,
        clock,
        descriptors,
        audit,
      };
      const mirror = createMirror({ settings, ...shared });
      const addresses = await mirror.listen((app, address) => {
        const key = address === settings.listen ? 'proxy.listen' : 'proxy.listeners';
        const listen = (where: object) => app.listen({ ...where });
        return sockets.listen('mirror', { address, key }, listen, () => hostOf(app.server));
      });
      reloadMirrorClients(reloads, clients, mirror);
      return { mirror, addresses };
    },
    release: ({ mirror }) => mirror.release(),
    stop: ({ mirror }) => mirror.close(DRAIN_MS),
    stopBoundMs: DRAIN_MS + DRAIN_MARGIN_MS,
  });

  peer?.preheatBy((work, progress, signal) => mirrorAddresses.mirror.preheating.fetch(work, progress, signal));
  resources.onShortage(() => {
    mirrorAddresses.mirror.closeIdle();
    upstreams.closeIdle();
    fileServers.closeIdle();
  });

  const status = () => ({
    version: programVersion(),
    ...peer?.status(),
    store: store.usage(),
    downloads: downloads.list(),
    pressure: resources.status(),
  });
  const keeper = new StoreKeeper({ store: () => store.opened(), refs, clock });
  const files = new FileApi({ files: new Files({ servers: fileServers, downloads }), pool, metrics, audit });
  const api = await lifecycle.start({
    name: 'api',
    start: () => startProxyApi(config.api.listen, { metrics, status, peer, audit, sockets, keeper, files }),
    release: ({ app }) => void app.server.close(),
    stop: async ({ app }) => {
      files.close();
      await app.close();
    },
  });

  return [
    ...mirrorAddresses.addresses.map((address, index) => {
      const more = settings.listeners[index - 1];
      const { upstream, tls } = more ?? { upstream: undefined, tls: settings.tls.cert !== undefined };
      return { role: 'mirror', ...address, ...(upstream !== undefined && { upstream }), ...(tls && { tls }) };
    }),
    ...(pieces ? [pieces] : []),
    { role: 'api', host: config.api.listen.host, port: api.port },
  ];
}
