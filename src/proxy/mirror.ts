import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Audit } from '../base/audit.ts';
import type { Clock } from '../base/clock.ts';
import type { Descriptors } from '../base/descriptors.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { BufferPool } from '../http/buffer-pool.ts';
import type { Downloads } from '../p2p/peer/downloads.ts';
import type { Vouchers } from '../p2p/peer/vouchers.ts';
import type { Upstreams } from '../registry/upstreams.ts';
import type { Refs } from '../store/refs.ts';
import { Access } from './access.ts';
import { Blobs } from './blobs.ts';
import { ImageNames } from './image-names.ts';
import { Manifests } from './manifests.ts';
import { OriginAsking } from './origin-asking.ts';
import { PassThrough } from './passthrough.ts';
import { createMirrorServer } from './server.ts';
import { Tags } from './tags.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface MirrorOptions {
  readonly settings: {
    readonly listen: Address;
    /** Further listeners, each for one registry. */
    readonly listeners: readonly { readonly listen: Address; readonly upstream: string }[];
    /** The registry that requests mean which name none. */
    readonly defaultUpstream: string;
    /** Names for which clients on this machine may ask, besides those of loopback. */
    readonly names?: readonly string[];
    /** How long what was read anonymously is served while its origin cannot be asked. */
    readonly staleTagsMs: number;
  };
  readonly upstreams: Pick<Upstreams, 'find'>;
  readonly downloads: Pick<Downloads, 'open' | 'sizeOf'>;
  readonly refs: Refs;
  /** The other proxies' word, where the origin cannot be asked; undefined: there are none. */
  readonly vouchers?: Vouchers | undefined;
  /** Shared by all that holds bodies in memory. */
  readonly pool: BufferPool;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** Shares out file descriptors; undefined: there are enough. */
  readonly descriptors?: Descriptors | undefined;
  /** Is told who reads what that is not for everybody, and who may not. */
  readonly audit?: Audit | undefined;
}

export interface Mirror {
  /** Resolves with the addresses in the order of the settings; rejects, listening nowhere, when one cannot be had. */
  listen(): Promise<Address[]>;
  /** Closes the connections on which no request runs. */
  closeIdle(): void;
  /** Takes no more connections, lets responses end for up to `drainMs`, then cuts them off. */
  close(drainMs: number): Promise<void>;
}

/** Composes the mirror's HTTP face. */
export function createMirror(options: MirrorOptions): Mirror {
  const { settings, upstreams, downloads, refs, vouchers, pool, log, metrics, clock, descriptors } = options;
  const asking = new OriginAsking(clock);
  const access = new Access({ refs, asking, vouchers, clock, log, staleMs: settings.staleTagsMs });
  const tags = new Tags({ refs, access, asking });
  const passThrough = new PassThrough({ access });
  const images = new ImageNames();
  const manifests = new Manifests({ access, tags, refs, downloads, clock, images, passThrough });
  const blobs = new Blobs({ access, downloads, images, pool });
  const { names } = settings;
  const deps = {
    upstreams,
    names,
    access,
    manifests,
    blobs,
    passThrough,
    log,
    metrics,
    clock,
    descriptors,
    audit: options.audit,
  };
  const listeners = [
    { address: settings.listen, scope: { upstream: settings.defaultUpstream, bound: false } },
    ...settings.listeners.map(({ listen, upstream }) => ({ address: listen, scope: { upstream, bound: true } })),
  ].map(({ address, scope }) => ({ address, app: createMirrorServer(scope, deps) }));

  return {
    async listen() {
      try {
        for (const { address, app } of listeners) await app.listen({ ...address });
      } catch (error) {
        await Promise.all(listeners.map(({ app }) => app.close()));
        throw error;
      }
      return listeners.map(({ app }) => addressOf(app));
    },
    closeIdle() {
      for (const { app } of listeners) app.server.closeIdleConnections();
    },
    async close(drainMs) {
      const cancel = clock.after(drainMs, () => {
        for (const { app } of listeners) app.server.closeAllConnections();
      });
      await Promise.all(listeners.map(({ app }) => app.close()));
      cancel();
    },
  };
}

function addressOf(app: FastifyInstance): Address {
  const { address, port } = app.server.address() as AddressInfo;
  return { host: address, port };
}
