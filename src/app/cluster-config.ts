import type { Config } from '../config/config.ts';
import type { Address } from '../config/formats.ts';

/** What a member of a cluster needs beside the configuration of a node that is alone. */
export interface ClusterConfig extends Config {
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
  readonly supernode: { readonly listen: Address; readonly heartbeatMs: number };
  /** URLs; the first that is up is used. */
  readonly supernodes: readonly string[];
  readonly cluster: { readonly secretFile: string | undefined };
}
