import { MiB } from '../../src/base/units.ts';

/** When, in milliseconds since the begin, and how much. */
export interface Sample {
  readonly at: number;
  readonly value: number;
}

export interface Growth {
  readonly name: string;
  readonly unit: 'MiB' | '';
  readonly samples: number;
  /** On the straight line through the samples: at its begin and at its end. */
  readonly first: number;
  readonly last: number;
  readonly most: number;
  /** The line may rise by so much. */
  readonly allowed: number;
  readonly isTooMuch: boolean;
}

/** What is looked at, and by how much it may rise from the fourth part of a soak (minute 5 of 20) to its end: a share, and something for chance. */
export const ALLOWANCES = {
  resident: { share: 0.15, more: 24 * MiB },
  heap: { share: 0.15, more: 3 * MiB },
  buffers: { share: 0.25, more: 16 * MiB },
  descriptors: { share: 0.25, more: 24 },
} as const;
export type Measure = keyof typeof ALLOWANCES;

/** In the first minutes all that a process comes to use is new: a short soak allows so much more. */
export const SHORT_MS = 10 * 60_000;
const WARMING: Readonly<Record<Measure, number>> = {
  resident: 128 * MiB,
  heap: 24 * MiB,
  buffers: 64 * MiB,
  descriptors: 64,
};

/** Whether what was sampled rises, by least squares over the samples from `from` on. */
export function growthOf(name: string, measure: Measure, samples: readonly Sample[], isShort: boolean): Growth {
  const { share, more } = ALLOWANCES[measure];
  const { first, last } = lineThrough(samples);
  const allowed = first * share + more + (isShort ? WARMING[measure] : 0);
  return {
    name,
    unit: measure === 'descriptors' ? '' : 'MiB',
    samples: samples.length,
    first,
    last,
    most: samples.reduce((most, { value }) => Math.max(most, value), 0),
    allowed,
    isTooMuch: last - first > allowed,
  };
}

function lineThrough(samples: readonly Sample[]): { first: number; last: number } {
  if (samples.length === 0) return { first: 0, last: 0 };
  const mean = (of: (one: Sample) => number) => samples.reduce((sum, one) => sum + of(one), 0) / samples.length;
  const at = mean((one) => one.at);
  const value = mean((one) => one.value);
  const spread = mean((one) => (one.at - at) ** 2);
  const slope = spread === 0 ? 0 : mean((one) => (one.at - at) * (one.value - value)) / spread;
  return { first: value + slope * (samples[0]!.at - at), last: value + slope * (samples.at(-1)!.at - at) };
}
