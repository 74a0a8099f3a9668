import type { SwarmEvent } from '../../src/p2p/supernode/events.ts';
import type { Link } from './flow.ts';
import type { Network } from './network.ts';
import type { Scenario } from './scenario.ts';
import type { VirtualNode } from './virtual-node.ts';

/** What a node needs of the world around it. */
export interface World {
  readonly scenario: Scenario;
  readonly network: Network;
  readonly origin: Link;
  now(): number;
  after(ms: number, task: () => void): void;
  send(event: SwarmEvent): void;
  node(id: string): VirtualNode;
  readFromOrigin(bytes: number): void;
  finished(node: VirtualNode): void;
  gaveUp(node: VirtualNode): void;
}
