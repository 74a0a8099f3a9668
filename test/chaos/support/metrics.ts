import type { Hawker } from '../../e2e/support/hawker.ts';

/** What a node's `/metrics` said at one moment. */
export type Metrics = string;

export async function metricsOf(node: Hawker): Promise<Metrics> {
  return (await fetch(`http://${node.api}/metrics`)).text();
}

/** The sum of the samples of a metric that have these labels. */
export function sumOf(metrics: Metrics, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const parts = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const samples = metrics
    .split('\n')
    .filter((line) => /^[{ ]/.test(line.slice(name.length)) && line.startsWith(name))
    .filter((line) => parts.every((part) => line.includes(part)));
  return samples.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}
