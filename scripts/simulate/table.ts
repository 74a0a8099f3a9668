import { MiB } from '../../src/base/units.ts';
import { lowerBound, totalSize, type Scenario } from './scenario.ts';
import type { Outcome } from './simulation.ts';

/** Heads and widths of the columns. */
const COLUMNS: readonly (readonly [head: string, width: number])[] = [
  ['run', 20],
  ['N', 6],
  ['R', 5],
  ['O', 5],
  ['S', 5],
  ['p50', 6],
  ['p99', 6],
  ['max', 6],
  ['first', 6],
  ['p99', 6],
  ['stall', 6],
  ['later', 6],
  ['origin', 7],
  ['reads', 6],
  ['in/s', 8],
  ['out/s', 8],
  ['peak', 9],
  ['us', 5],
  ['msg/cpu', 8],
];

/** What the columns mean. */
export const LEGEND = `N nodes with links of R, an origin of O (MB/s), an image of S (MB).
p50, p99, max: time of each node (without the slow and the dead) over the lower bound max(S/O, S/R, N*S/(O+N*R)).
first, p99: until the first piece (ms; p50 and p99). stall: longest wait of a client that reads in order (ms, p99).
later: the time of a small blob that comes in the middle of the download (ms, p99).
origin: bytes from it over S, in "reads" requests. in/s, out/s, peak: messages at the supernode (peak: both ways).
us: CPU time that the swarm took for one message to it; msg/cpu: such messages that the whole simulation got through in a
second of CPU time (both on this machine).`;

export function header(): string {
  return row(COLUMNS.map(([head]) => head));
}

export function line(scenario: Scenario, outcome: Outcome): string {
  const { times, timesToFirstPiece, longestStalls, timesOfLater, messagesIn, messagesOut, duration } = outcome;
  const bound = lowerBound(scenario);
  const megabytes = (bytes: number) => String(Math.round(bytes / 1e6));
  const aSecond = (messages: number) => ((messages / duration) * 1000).toFixed(0);
  // The lower bound knows no round trips: for small blobs it says nothing.
  const hasBound = times.length > 0 && totalSize(scenario) >= MiB;
  const ratio = (part: number) => (hasBound ? (quantile(times, part) / bound).toFixed(2) : '-');
  const isWhole = Number.isInteger(scenario.nodeRate / 1e3);
  return row([
    outcome.unfinished > 0 ? `${scenario.name}: ${outcome.unfinished} HANG` : scenario.name,
    String(scenario.nodes),
    (scenario.nodeRate / 1e3).toFixed(isWhole ? 0 : 1),
    (scenario.originRate / 1e3).toFixed(isWhole ? 0 : 1),
    totalSize(scenario) < MiB ? '<1' : megabytes(totalSize(scenario)),
    ratio(0.5),
    ratio(0.99),
    ratio(1),
    quantile(timesToFirstPiece, 0.5).toFixed(0),
    quantile(timesToFirstPiece, 0.99).toFixed(0),
    quantile(longestStalls, 0.99).toFixed(0),
    timesOfLater.length > 0 ? quantile(timesOfLater, 0.99).toFixed(0) : '-',
    (outcome.originBytes / (totalSize(scenario) + scenario.later)).toFixed(3),
    String(outcome.leases),
    aSecond(messagesIn),
    aSecond(messagesOut),
    outcome.peakMessages.toFixed(0),
    ((outcome.swarmMs * 1000) / Math.max(1, messagesIn)).toFixed(1),
    ((messagesIn / outcome.cpuMs) * 1000).toFixed(0),
  ]);
}

/** The least value that so large a part of the values does not exceed (nearest rank); 0 of none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0;
}

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(COLUMNS[i]![1]) : cell.padStart(COLUMNS[i]![1]))).join('');
}
