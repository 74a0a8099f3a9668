import { quantile } from '../simulate/table.ts';

/** What one run of one contender gave: a number for each thing measured, named with its unit. */
export type Sample = Readonly<Record<string, number>>;

/** All runs of a case, by contender. */
export type Runs = Readonly<Record<string, readonly Sample[]>>;

/** One of those that are compared. */
export interface Contender {
  readonly name: string;
  once(): Promise<Sample>;
}

/** The name under which Hawker's own figures stand. */
export const OURS = 'hawker';

/**
 * Runs all contenders in turn, again and again, so that what the machine does beside this falls on all of them. Every round starts
 * with the next one, since one may leave something behind for its follower.
 */
export async function interleaved(
  contenders: readonly Contender[],
  runs: number,
  say: (line: string) => void,
): Promise<Runs> {
  const all: Record<string, Sample[]> = Object.fromEntries(contenders.map(({ name }) => [name, []]));
  for (let run = 0; run < runs; run += 1) {
    for (let turn = 0; turn < contenders.length; turn += 1) {
      const contender = contenders[(run + turn) % contenders.length]!;
      const { name } = contender;
      const sample = await contender.once();
      all[name]!.push(sample);
      say(`  run ${run + 1} of ${runs}, ${name}: ${lineOf(sample)}`);
    }
  }
  return all;
}

/** The median of each thing that was measured, over the runs that have it. */
export function medians(samples: readonly Sample[]): Sample {
  const names = [...new Set(samples.flatMap((sample) => Object.keys(sample)))];
  return Object.fromEntries(
    names.map((name) => {
      const values = samples.map((sample) => sample[name]).filter((value) => value !== undefined);
      return [name, median(values)];
    }),
  );
}

/** NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return sorted.length === 0 ? Number.NaN : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The p-th part of them is not above it. */
export function percentiles(values: readonly number[]): {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
} {
  return { p50: quantile(values, 0.5), p95: quantile(values, 0.95), p99: quantile(values, 0.99) };
}

export function lineOf(sample: Sample): string {
  return Object.entries(sample)
    .map(([name, value]) => `${name} ${short(value)}`)
    .join(', ');
}

/** Three digits or so. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : size >= 0.1 ? 2 : 3);
}
