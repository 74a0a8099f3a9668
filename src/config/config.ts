import type { LogLevel } from '../base/log.ts';
import type { Address } from './formats.ts';
import type { LOG_FORMATS, Settings } from './schema.ts';

/** The whole configuration: checked, complete and frozen. Each part is handed its own slice. */
export interface Config {
  readonly proxy: {
    readonly listen: Address;
    readonly listeners: readonly ListenerConfig[];
    readonly defaultUpstream: string;
    readonly staleTagsMs: number;
    /** Names for which clients on this machine may ask the mirror, besides those of loopback. */
    readonly names: readonly string[];
    /** Absolute paths; `cert` undefined: plain HTTP. */
    readonly tls: {
      readonly cert: string | undefined;
      readonly key: string | undefined;
      readonly clientCa: string | undefined;
    };
    /** Absolute; undefined: nobody can log in. */
    readonly usersFile: string | undefined;
    /** Clients of `listen` are asked to log in. */
    readonly login: boolean;
    readonly rules: readonly { readonly users: readonly string[]; readonly repositories: readonly string[] }[];
  };
  readonly peer: {
    /** The piece port. */
    readonly listen: Address;
    /** `host:port`s at which others reach it; none: where it listens. */
    readonly advertise: readonly string[];
    readonly zone: string | undefined;
    /** Undefined: no limit. */
    readonly uploadBytesPerSecond: number | undefined;
    readonly downloadBytesPerSecond: number | undefined;
    readonly uploadSlots: number;
  };
  readonly api: { readonly listen: Address };
  readonly supernode: { readonly listen: Address; readonly heartbeatMs: number };
  /** URLs; the first that is up is used. */
  readonly supernodes: readonly string[];
  readonly cluster: {
    /** Absolute; undefined: no join secret. */
    readonly secretFile: string | undefined;
    /** Absolute; undefined: beyond loopback nobody may command a supernode, and only members may ask it. */
    readonly operatorTokenFile: string | undefined;
    /** Absolute paths of PEM files; undefined: no TLS within the cluster. */
    readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string } | undefined;
  };
  readonly store: {
    /** Absolute. */
    readonly dir: string;
    readonly quotaBytes: number;
    /** Absolute root of containerd (`/var/lib/containerd`); undefined: not shared. */
    readonly containerd: string | undefined;
  };
  /** By registry host or pattern: the allow-list. */
  readonly upstreams: Readonly<Record<string, UpstreamConfig>>;
  /** Absolute; undefined: none. */
  readonly audit: { readonly file: string | undefined };
  /** What `hawker get` may fetch. */
  readonly files: {
    /** Patterns of URLs: the allow-list. */
    readonly allow: readonly string[];
    /** Absolute; undefined: the public authorities only. */
    readonly ca: string | undefined;
  };
  readonly log: { readonly level: LogLevel; readonly format: (typeof LOG_FORMATS)[number] };
}

/** A further address of the mirror. */
export interface ListenerConfig {
  readonly listen: Address;
  /** Undefined: every registry. */
  readonly upstream: string | undefined;
  readonly login: boolean;
  /** False: plain HTTP, whatever the certificate. */
  readonly tls: boolean;
}

/** Paths are absolute. */
export type UpstreamConfig = Readonly<Omit<Settings['upstreams'][string], 'insecure' | 'allow'>> & {
  readonly insecure: boolean;
  readonly allow: readonly string[];
};
