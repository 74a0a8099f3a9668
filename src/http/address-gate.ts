import { lookup as dnsLookup, type LookupAddress, type LookupAllOptions } from 'node:dns';
import { isIP, type BlockList, type LookupFunction } from 'node:net';
import { AddressRefused } from './address-errors.ts';
import { isSpecialAddress, listHas, listOf } from './address-ranges.ts';

/** Whom connections of one upstream may reach apart from public addresses. */
export interface AddressPolicy {
  /** The host (no port) of an upstream that is configured by name: opens whatever it resolves to. A pattern has none. */
  readonly open: string | undefined;
  /** Hosts, single addresses and CIDRs. */
  readonly allow: readonly string[];
}

type Resolve = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/**
 * The gate against requests that a client steers at this node's own network (SSRF). It works where the connection is
 * made: literals are checked before, names after they are resolved, on the very addresses that are then connected to, so that
 * a name which resolves otherwise the next time (DNS rebinding) gains nothing.
 */
export class AddressGate {
  readonly #names: ReadonlySet<string>;
  readonly #allowed: BlockList;
  readonly #resolve: Resolve;

  /** Throws a RangeError for a CIDR in `allow` that is none. `resolve` is `dns.lookup` but in tests. */
  constructor(policy: AddressPolicy, resolve: Resolve = dnsLookup) {
    const isAddress = (entry: string) => entry.includes('/') || isIP(entry) !== 0;
    const allow = policy.allow.map(normalHost);
    const open = policy.open === undefined ? [] : [normalHost(policy.open)];
    this.#names = new Set([...open, ...allow.filter((entry) => !isAddress(entry))]);
    this.#allowed = listOf(allow.filter(isAddress));
    this.#resolve = resolve;
  }

  /** Whether the configuration names this host, or its address if it is one. */
  opensHost(host: string): boolean {
    const name = normalHost(host);
    return this.#names.has(name) || (isIP(name) !== 0 && listHas(this.#allowed, name));
  }

  /** Throws ADDRESS_REFUSED for a literal address, or a name of this machine, that is not open. Other names pass. */
  checkHost(host: string): void {
    const name = normalHost(host);
    if (this.opensHost(name)) return;
    const refused = isIP(name) === 0 ? isLocalName(name) : isSpecialAddress(name);
    if (refused) throw new AddressRefused({ host: name, address: name });
  }

  /** For `net.connect`, `tls.connect`: resolves a name to those of its addresses that are open. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    this.#resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const open = addresses.filter(({ address }) => this.#isOpen(hostname, address));
      const [first] = open;
      if (!first) {
        const address = addresses[0]?.address ?? 'nothing';
        return callback(new AddressRefused({ host: normalHost(hostname), address }), []);
      }
      if (options.all === true) callback(null, open);
      else callback(null, first.address, first.family);
    });
  };

  #isOpen(hostname: string, address: string): boolean {
    return this.opensHost(hostname) || this.opensHost(address) || !isSpecialAddress(address);
  }
}

function normalHost(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
}

/** RFC 6761, section 6.3: these never leave the machine, whatever a resolver says. */
function isLocalName(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost');
}
