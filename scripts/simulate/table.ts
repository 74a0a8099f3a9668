import { MiB } from '../../src/base/units.ts';
import { lowerBound, totalSize, type Scenario } from './scenario.ts';
import type { Outcome } from './simulation.ts';

const COLUMNS = [
  'run',
  'N',
  'R',
  'O',
  'S',
  'p50',
  'p99',
  'max',
  'origin',
  'reads',
  'first',
  'stall',
  'msg/s',
  'peak',
  'us/event',
];
const WIDTHS = [24, 6, 6, 6, 7, 6, 6, 6, 7, 6, 6, 6, 8, 8, 9];

/** What the columns mean. */
export const LEGEND = `N nodes with links of R, an origin of O (MB/s), an image of S (MB).
p50, p99, max: time of each node (without the slow and the dead) over the lower bound max(S/O, S/R, N*S/(O+N*R)). origin: bytes from it over S, in "reads" requests.
first: until the first piece (ms, p50). stall: longest wait of a client that reads in order (ms, p99).
msg/s, peak: messages at the supernode, in and out. us/event: CPU time that the swarm took for one, on this machine.`;

export function header(): string {
  return row(COLUMNS);
}

export function line(scenario: Scenario, outcome: Outcome): string {
  const bound = lowerBound(scenario);
  const megabytes = (bytes: number) => String(Math.round(bytes / 1e6));
  // The lower bound knows no round trips: for small blobs it says nothing.
  const hasBound = outcome.times.length > 0 && totalSize(scenario) >= MiB;
  const ratio = (part: number) => (hasBound ? (quantile(outcome.times, part) / bound).toFixed(2) : '-');
  return row([
    outcome.unfinished > 0 ? `${scenario.name}: ${outcome.unfinished} HANG` : scenario.name,
    String(scenario.nodes),
    String(scenario.nodeRate / 1e3),
    String(scenario.originRate / 1e3),
    totalSize(scenario) < MiB ? '<1' : megabytes(totalSize(scenario)),
    ratio(0.5),
    ratio(0.99),
    ratio(1),
    (outcome.originBytes / totalSize(scenario)).toFixed(3),
    String(outcome.leases),
    quantile(outcome.timesToFirstPiece, 0.5).toFixed(0),
    quantile(outcome.longestStalls, 0.99).toFixed(0),
    ((outcome.messages / outcome.duration) * 1000).toFixed(0),
    outcome.peakMessages.toFixed(0),
    ((outcome.cpuMs * 1000) / Math.max(1, outcome.events)).toFixed(1),
  ]);
}

/** The value below which that part of the values lies; 0 of none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
}

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(WIDTHS[i]!) : cell.padStart(WIDTHS[i]!))).join('');
}
