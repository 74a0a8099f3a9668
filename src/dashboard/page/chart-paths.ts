import { roundUp } from './format.ts';
import type { Snapshot } from './model.ts';

/** As the supernode keeps them (its `SAMPLE_MS` and `MAX_SAMPLES`). */
const SAMPLE_MS = 5000;
export const SAMPLES = 180;
export const HEIGHT = 100;
const SOURCES = 3;

export interface ChartPaths {
  /** Bytes a second, where the axis ends: a round figure. */
  readonly top: number;
  /** Bytes a second: the most, and the last. */
  readonly most: number;
  readonly last: number;
  /** One a source, the lowest first, in a box of SAMPLES by HEIGHT; '': nothing. */
  readonly paths: readonly string[];
}

/** Bars a source, stacked, by the time that they are of; the last one stands at the right. */
export function chartPaths(history: Snapshot['history']): ChartPaths {
  const rates = history.map(([at, ...bytes], index) => {
    const before = history[index - 1]?.[0] ?? at - SAMPLE_MS;
    const of = bytes.slice(0, SOURCES).map((count) => (1000 * count) / Math.max(1, at - before));
    return { at, of, sum: of.reduce((sum, rate) => sum + rate, 0) };
  });
  const most = Math.max(0, ...rates.map(({ sum }) => sum));
  const top = roundUp(most);
  const end = rates.at(-1)?.at ?? 0;
  const parts: string[][] = Array.from({ length: SOURCES }, () => []);
  for (const { at, of } of rates) {
    const x = SAMPLES - 1 - Math.round((end - at) / SAMPLE_MS);
    if (x < 0) continue;
    let y = HEIGHT;
    for (const [source, rate] of of.entries()) {
      if (rate <= 0) continue;
      const height = (HEIGHT * rate) / top;
      y -= height;
      parts[source]!.push(`M${x} ${round(y)}h1v${round(height)}h-1z`);
    }
  }
  return { top, most, last: rates.at(-1)?.sum ?? 0, paths: parts.map((one) => one.join('')) };
}

function round(length: number): number {
  return Math.round(1000 * length) / 1000;
}
