import { networkOf } from '../base/networks.ts';

export interface PlaceLimits {
  /** Connections of one address, or one /64 of IPv6. */
  readonly perAddress: number;
  /** Of all addresses. */
  readonly overall: number;
}

/** Places for connections of one kind, bounded by where they come from and all together, so that nobody takes all of them. */
export class Places {
  readonly #limits: PlaceLimits;
  readonly #perNetwork = new Map<string, number>();
  #taken = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  /** How many the network of an address has. */
  of(address: string): { readonly network: string; readonly count: number } {
    const network = networkOf(address);
    return { network, count: this.#perNetwork.get(network) ?? 0 };
  }

  /** Takes one; gives what makes it free again, once. Undefined: there is none left. */
  take(address: string): (() => void) | undefined {
    const { network, count } = this.of(address);
    if (count >= this.#limits.perAddress || this.#taken >= this.#limits.overall) return undefined;
    this.#perNetwork.set(network, count + 1);
    this.#taken += 1;
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      this.#taken -= 1;
      const left = this.#perNetwork.get(network)! - 1;
      if (left > 0) this.#perNetwork.set(network, left);
      else this.#perNetwork.delete(network);
    };
  }
}
