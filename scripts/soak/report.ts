import { MiB } from '../../src/base/units.ts';
import { quantile } from '../simulate/table.ts';
import type { SoakResult } from './soak.ts';

/** What a soak has come to, for people. */
export function reportOf(result: SoakResult): string {
  const { tally, growths, most, failures } = result;
  const times = tally.times.toSorted((a, b) => a - b);
  const excused = sum(tally.excused);
  const lines = [
    `${Math.round(result.seconds)} s, ${result.images} images, ${tally.requests} requests, ${mib(tally.bytes)} MiB to clients, ` +
      `${mib(result.originBytes)} MiB from the origin`,
    `requests that went well: ${times.length} (p50 ${ms(quantile(times, 0.5))}, p99 ${ms(quantile(times, 0.99))}, ` +
      `most ${ms(times.at(-1) ?? 0)}); left by the client: ${tally.hungUp}; excused: ${excused}; failed: ${tally.failures.length}`,
    `from: ${listed(tally.sources)}`,
    `excused: ${listed(tally.excused)}`,
    `broken: ${listed(result.deeds)}`,
    `faults of the origin: ${listed(result.originFaults)}`,
    `warnings: ${listed(result.warnings)}`,
    '',
    'process      most: resident  descriptors  store on disk',
    ...Array.from(most, ([name, { resident, descriptors, disk }]) => {
      const onDisk = disk === 0 ? '' : `${mib(disk)} MiB`;
      return `${name.padEnd(18)} ${`${mib(resident)} MiB`.padStart(9)} ${String(descriptors).padStart(12)} ${onDisk.padStart(14)}`;
    }),
    '',
    'from a quarter on to the end (straight line)    first    last    most   may rise by  samples',
    ...growths.map(({ name, unit, samples, first, last, most, allowed, isTooMuch }) => {
      const show = (value: number) => (unit === 'MiB' ? (value / MiB).toFixed(1) : value.toFixed(0)).padStart(8);
      const figures = `${show(first)}${show(last)}${show(most)}${show(allowed).padStart(14)}${String(samples).padStart(9)}`;
      return `${`${name} ${unit}`.padEnd(45)}${figures}${isTooMuch ? '  TOO MUCH' : ''}`;
    }),
    '',
    ...failures.map((failure) => `failed: ${failure}`),
    failures.length === 0 ? 'all was as it must be' : `${failures.length} failures`,
  ];
  return lines.join('\n');
}

function listed(counts: ReadonlyMap<string, number>): string {
  const entries = [...counts].toSorted(([, a], [, b]) => b - a);
  return entries.length === 0 ? 'nothing' : entries.map(([key, value]) => `${key} ${value}`).join(', ');
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((total, value) => total + value, 0);
}

const mib = (bytes: number) => Math.round(bytes / MiB);
const ms = (value: number) => `${Math.round(value)} ms`;
