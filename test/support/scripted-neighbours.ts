import type { Neighbours, Search } from '../../src/p2p/peer/neighbours.ts';
import type { PeerTarget } from '../../src/p2p/protocol/coordinator.ts';

export function targetOf(peer: string): PeerTarget {
  return { peer, instance: `${peer}-1`, addresses: [`${peer}:1`] };
}

/** Neighbours of which the test says who has it, and when they answer. */
export class ScriptedNeighbours implements Neighbours {
  readonly searches: Search[] = [];
  readonly failures: string[] = [];
  /** Whether anybody is known. */
  areKnown = true;
  #asked: { found: (peer: PeerTarget) => void; end: () => void }[] = [];

  find(search: Search, found: (peer: PeerTarget) => void, signal: AbortSignal): Promise<void> | undefined {
    this.searches.push(search);
    if (!this.areKnown) return undefined;
    return new Promise((resolve) => {
      this.#asked.push({ found, end: resolve });
      signal.addEventListener('abort', () => resolve());
    });
  }

  failed(peer: string): void {
    this.failures.push(peer);
  }

  /** Searches that are not over. */
  get open(): number {
    return this.#asked.length;
  }

  /** In the oldest search that is open, these say yes. */
  found(...peers: string[]): void {
    for (const peer of peers) this.#asked[0]!.found(targetOf(peer));
  }

  /** The oldest search that is open is over. */
  end(): void {
    this.#asked.shift()!.end();
  }
}
