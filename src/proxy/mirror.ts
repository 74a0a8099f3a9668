import { Server as TlsServer } from 'node:https';
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
import type { AccessRules } from './access-rules.ts';
import { Askers } from './askers.ts';
import { Blobs } from './blobs.ts';
import { ImageNames } from './image-names.ts';
import type { Logins } from './logins.ts';
import { Manifests } from './manifests.ts';
import type { MirrorTls } from './mirror-tls.ts';
import { OriginAsking } from './origin-asking.ts';
import { PassThrough } from './passthrough.ts';
import { Proofs } from './proofs.ts';
import { Preheating, type StoreRoom } from './preheating.ts';
import { createMirrorServer } from './server.ts';
import { Tags } from './tags.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

/** How to listen on an address: by opening it, or on a socket that listens already (`fd`). */
export type Listen = (app: FastifyInstance, address: Address) => Promise<unknown>;

/** A further address. */
interface MirrorListener {
  readonly listen: Address;
  /** The registry that it is for; undefined: for all, as the first one. */
  readonly upstream: string | undefined;
  readonly login: boolean;
  /** False: plain HTTP, also where the mirror has a certificate. */
  readonly tls: boolean;
}

export interface MirrorOptions {
  readonly settings: {
    readonly listen: Address;
    /** It asks its clients at `/v2/` to log in at the mirror. */
    readonly login: boolean;
    readonly listeners: readonly MirrorListener[];
    /** The registry that requests mean which name none. */
    readonly defaultUpstream: string;
    /** Names for which clients on this machine may ask, besides those of loopback. */
    readonly names?: readonly string[];
    /** How long what was read anonymously is served while its origin cannot be asked. */
    readonly staleTagsMs: number;
  };
  /** Who may use the configured credentials. */
  readonly rules: AccessRules;
  /** The mirror's own users; undefined: it has none, and Basic is for the registry. */
  readonly logins?: Logins | undefined;
  /** Undefined: plain HTTP. */
  readonly tls?: MirrorTls | undefined;
  readonly upstreams: Pick<Upstreams, 'find'>;
  readonly downloads: Pick<Downloads, 'open' | 'sizeOf' | 'sizeFor' | 'settled' | 'abandon'>;
  readonly refs: Refs;
  /** What room the store has, for images that are to be fetched whole. */
  readonly room: StoreRoom;
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
  /** New connections get this certificate, and are asked for one of these authorities; those that are open have shown none. */
  secure(tls: MirrorTls): void;
  readonly preheating: Preheating;
  /** Resolves with the addresses in the order of the settings; rejects, listening nowhere, when one cannot be had. */
  listen(by?: Listen): Promise<Address[]>;
  /** Closes the connections on which no request runs. */
  closeIdle(): void;
  /** Takes no more connections; what runs goes on. */
  release(): void;
  /** Takes no more connections, lets responses end for up to `drainMs`, then cuts them off. */
  close(drainMs: number): Promise<void>;
}

/** Composes the mirror's HTTP face. */
export function createMirror(options: MirrorOptions): Mirror {
  const { settings, rules, logins, tls, upstreams, downloads, refs, room, vouchers, pool, log, metrics, clock } =
    options;
  const { descriptors } = options;
  const asking = new OriginAsking(clock);
  const access = new Access({ refs, asking, vouchers, clock, log, staleMs: settings.staleTagsMs, rules });
  const askers = new Askers({ logins, log });
  const tags = new Tags({ refs, access, asking });
  const passThrough = new PassThrough({ access });
  const images = new ImageNames();
  const manifests = new Manifests({ access, tags, asking, refs, downloads, clock, images, passThrough });
  const proofs = new Proofs({ asking, clock, log });
  const blobs = new Blobs({ access, proofs, downloads, images, pool });
  const { listen, login, defaultUpstream, names } = settings;
  const deps = {
    upstreams,
    names,
    access,
    askers,
    manifests,
    blobs,
    passThrough,
    log,
    metrics,
    clock,
    descriptors,
    audit: options.audit,
  };
  const listeners = [{ listen, upstream: undefined, login, tls: true }, ...settings.listeners].map((each) => {
    const scope = { upstream: each.upstream ?? defaultUpstream, bound: each.upstream !== undefined, login: each.login };
    return { address: each.listen, app: createMirrorServer(scope, deps, each.tls ? tls : undefined) };
  });

  return {
    preheating: new Preheating({ upstreams, manifests, blobs, downloads, room }),
    async listen(by = (app, address) => app.listen({ ...address })) {
      try {
        for (const { address, app } of listeners) await by(app, address);
      } catch (error) {
        await Promise.all(listeners.map(({ app }) => app.close()));
        throw error;
      }
      return listeners.map(({ app }) => addressOf(app));
    },
    secure(next) {
      askers.forgetCertificates();
      for (const { app } of listeners) {
        const { server } = app as { server: object };
        if (!(server instanceof TlsServer)) continue;
        server.setSecureContext(next);
        server.closeIdleConnections();
      }
    },
    closeIdle() {
      for (const { app } of listeners) app.server.closeIdleConnections();
    },
    release() {
      for (const { app } of listeners) app.server.close();
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
