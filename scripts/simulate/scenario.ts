import type { SwarmRules } from '../../src/p2p/supernode/limits.ts';

/** One run of the simulation. Rates are in bytes a millisecond, times in milliseconds, sizes in bytes. */
export interface Scenario {
  readonly name: string;
  readonly nodes: number;
  /** Of each node's link, each way. */
  readonly nodeRate: number;
  readonly originRate: number;
  /** Most that one connection to the origin carries. */
  readonly connectionRate: number;
  /** The blobs of the image; all are wanted at once. */
  readonly sizes: readonly number[];
  readonly controlRtt: number;
  readonly peerRtt: number;
  readonly originRtt: number;
  /** Nodes begin spread evenly over so long. */
  readonly spread: number;
  /** The part of the nodes that has everything already. */
  readonly warm: number;
  /** Nodes begin in so many batches, each when the one before has ended. */
  readonly batches: number;
  /** The part of the nodes that dies at half of the lower bound; how long others take to see it; 0: connections are reset. */
  readonly deaths: number;
  readonly detect: number;
  /** The part of the nodes whose links are ten times slower. */
  readonly slow: number;
  /** After so many lower bounds the origin falls silent to one node that reads from it; 0: it does not. */
  readonly stallAt: number;
  /** Size of a blob that each node wants besides, when it has been downloading for half of the lower bound; 0: none. */
  readonly later: number;
  /** The origin gives ranges; and that is known, from an earlier blob. */
  readonly ranges: boolean;
  readonly rangesKnown: boolean;
  readonly seed: number;
  readonly rules: Partial<SwarmRules>;
}

export const PLAIN: Scenario = {
  name: 'cold',
  nodes: 10,
  nodeRate: 300e3,
  originRate: 300e3,
  connectionRate: Number.POSITIVE_INFINITY,
  sizes: [1.5e9],
  controlRtt: 1,
  peerRtt: 1,
  originRtt: 20,
  spread: 0,
  warm: 0,
  batches: 1,
  deaths: 0,
  detect: 1000,
  slow: 0,
  stallAt: 0,
  later: 0,
  ranges: true,
  rangesKnown: true,
  seed: 1,
  rules: {},
};

export function totalSize(scenario: Scenario): number {
  return scenario.sizes.reduce((sum, size) => sum + size, 0);
}

/** No way of sharing can be faster: `max(S/O, S/R, N·S/(O+N·R))`; without the origin where nodes are warm. Milliseconds. */
export function lowerBound(scenario: Scenario): number {
  const { nodes, nodeRate: r, originRate: o, warm } = scenario;
  const size = totalSize(scenario);
  if (warm > 0) return size / r;
  return Math.max(size / o, size / r, (nodes * size) / (o + nodes * r));
}
