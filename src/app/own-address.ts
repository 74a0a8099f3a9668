import { isIP, isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { codeAndTodo } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { plainAddress } from '../base/networks.ts';
import { formatAddress, isLoopback, isUnspecified, type Address } from '../config/formats.ts';
import { OwnAddressUnknown } from './errors.ts';

export type Interfaces = ReturnType<typeof networkInterfaces>;

/** So many addresses are named to the operator. */
const MAX_NAMED = 8;

interface Piece {
  /** Where the piece port listens. */
  readonly listen: Address;
  /** `peer.advertise`: where it is not empty, it alone counts. */
  readonly advertise: readonly string[];
  /** Is told when there is none. */
  readonly log?: Logger;
  readonly interfaces?: () => Interfaces;
}

/**
 * At which addresses the others reach this node's piece port: those of `peer.advertise`; else the one that it listens on; and
 * where it listens on all of this machine's addresses, the one by which this node is connected with its supernode, so that all nodes
 * may have the same settings.
 */
export class OwnAddress {
  readonly #piece: Piece;
  #fault: InstanceType<typeof OwnAddressUnknown> | undefined;

  constructor(piece: Piece) {
    this.#piece = piece;
  }

  /** Why `of` has found none, when it was last asked. */
  get fault(): InstanceType<typeof OwnAddressUnknown> | undefined {
    return this.#fault;
  }

  /** As `host:port`. `localAddress`: of the connection with the supernode; undefined: it is within this process. */
  of(localAddress: string | undefined): readonly string[] {
    const { listen, advertise, log, interfaces = networkInterfaces } = this.#piece;
    const wasKnown = this.#fault === undefined;
    this.#fault = undefined;
    if (advertise.length > 0) return advertise;
    if (!isUnspecified(listen.host)) return [formatAddress(listen)];
    const found = ownHosts(listen.host, { localAddress, interfaces: interfaces() });
    if ('hosts' in found) return found.hosts.map((host) => formatAddress({ host, port: listen.port }));
    this.#fault = new OwnAddressUnknown({ listen: formatAddress(listen), why: found.why });
    if (wasKnown) log?.warn(codeAndTodo(this.#fault), this.#fault.message);
    return [];
  }
}

/**
 * The choice for a port that listens on `0.0.0.0`, or on `::`, which takes IPv4 too. A connection that leaves the machine shows the
 * address; one that does not (the supernode is on this machine, and would reach any address of it, those of a container bridge too)
 * leaves what cannot be mistaken: the machine's only address of each family.
 */
export function ownHosts(
  listening: string,
  around: { localAddress: string | undefined; interfaces: Interfaces },
): { hosts: readonly string[] } | { why: string } {
  const families = isIPv4(listening) ? [4] : [4, 6];
  const local = plainAddress(around.localAddress ?? '');
  if (families.includes(isIP(local)) && isForOthers(local)) return { hosts: [local] };
  const named = new Map<string, string>();
  for (const [name, all] of Object.entries(around.interfaces)) {
    for (const { address: shown, internal } of all ?? []) {
      const address = plainAddress(shown);
      if (!internal && isForOthers(address) && !isLinkLocal(address)) named.set(address, name);
    }
  }
  const hosts = [...named.keys()];
  const of = (family: number) => hosts.filter((host) => isIP(host) === family);
  const own = families.flatMap((family) => of(family));
  if (own.length > 0 && families.every((family) => of(family).length <= 1)) return { hosts: own };
  const kind = families.length === 1 ? 'IPv4 address' : 'address';
  if (own.length === 0) return { why: `it has no ${kind} but those of loopback and of single links` };
  const shown = own.slice(0, MAX_NAMED).map((host) => `${host} (${named.get(host)})`);
  return { why: `it has more than one ${kind}: ${shown.join(', ')}${own.length > MAX_NAMED ? ' and more' : ''}` };
}

/** Another machine can connect to it. An address with a scope means something on this machine alone. */
function isForOthers(address: string): boolean {
  if (isLoopback(address) || isUnspecified(address) || address.includes('%')) return false;
  return isIPv4(address) || !isLinkLocal(address);
}

/** 169.254.0.0/16 (RFC 3927), fe80::/10 (RFC 4291, 2.5.6). */
function isLinkLocal(address: string): boolean {
  return address.startsWith('169.254.') || /^fe[89ab]/i.test(address);
}
