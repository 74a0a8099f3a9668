import type { Config } from '../config/config.ts';
import type { Logger } from '../base/log.ts';
import type { Reloaded } from './reloads.ts';
import type { Sockets } from './sockets.ts';

export interface ServiceDeps {
  readonly log: Logger;
  /** Sockets that were handed down; undefined: none. */
  readonly sockets?: Sockets | undefined;
}

/** What `startUp` gives: a service that runs. */
export interface Service {
  /** Where it listens, with the ports that the system chose. */
  readonly addresses: readonly ListeningAddress[];
  /** Takes up what of a configuration that was read again can be taken up without a restart. Never rejects. */
  reload(config: Config): Promise<Reloaded>;
  /** Takes no more requests, ends what runs within bounds, and gives everything back. Never rejects. */
  stop(): Promise<void>;
}

export interface ListeningAddress {
  /** `mirror`, `api`, `pieces`, `supernode`. */
  readonly role: string;
  /** As in the configuration; an IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number;
  /** The registry that everything pulled here comes from, where the listener is bound to one. */
  readonly upstream?: string;
  /** It speaks TLS. */
  readonly tls?: boolean;
}
