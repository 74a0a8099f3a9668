import { quantile } from '../simulate/table.ts';
import { formatSize } from '../../src/base/units.ts';
import { lowerBound, HEADER_FACTOR, SEGMENT_BYTES, type Shape } from './bound.ts';
import type { Sent } from '../netns/network.ts';
import type { Pull } from './pull.ts';

/** What a proxy counted. */
export interface NodeBytes {
  readonly origin: number;
  readonly peers: number;
}

export interface NodeOutcome extends Pull {
  readonly name: string;
  /** Undefined: it has no proxy. */
  readonly bytes: NodeBytes | undefined;
}

/** One pull on all nodes. */
export interface Outcome {
  readonly nodes: readonly NodeOutcome[];
  /** What left by the origin's link meanwhile. */
  readonly originSent: Sent;
  /** Requests for the blob that the origin saw, and body bytes that it wrote for them: some of it may never have left its socket. */
  readonly originRequests: number;
  readonly originWrote: number;
  /** Until all had it. */
  readonly seconds: number;
  /** The part of the machine that was busy meanwhile, others' work too; CPU seconds of each part of the rig. */
  readonly busy: number;
  readonly cpu: Readonly<Record<string, number>>;
}

/** The figures that a run is judged by: times over the lower bound, copies that left the origin. */
export interface Figures {
  readonly boundSeconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** All that left by the origin's link; the same without headers; and what the proxies count (undefined: there are none). */
  readonly copiesSent: number;
  readonly copiesPayload: number;
  readonly copiesCounted: number | undefined;
}

export function figures(shape: Shape, outcome: Outcome): Figures {
  const boundSeconds = lowerBound(shape);
  const { bytes, payload } = outcome.originSent;
  const ratios = outcome.nodes.map(({ seconds }) => seconds / boundSeconds);
  const counted = outcome.nodes.flatMap(({ bytes }) => (bytes ? [bytes.origin] : []));
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return {
    boundSeconds,
    p50: quantile(ratios, 0.5),
    p99: quantile(ratios, 0.99),
    max: quantile(ratios, 1),
    copiesSent: bytes / shape.size,
    copiesPayload: payload / shape.size,
    copiesCounted: counted.length > 0 ? sum(counted) / shape.size : undefined,
  };
}

const megabits = (rate: number) => `${rate / 1e6} Mbit/s`;

/** What is run, in one line. */
export function title(shape: Shape, what: string): string {
  const { nodes, rate, originRate, size } = shape;
  const bound = lowerBound(shape);
  const least = (bound * HEADER_FACTOR).toFixed(2);
  const sides = `${nodes} x ${megabits(rate)}, origin ${megabits(originRate)}, ${formatSize(size)}`;
  return `${what}: ${sides}; lower bound ${bound.toFixed(2)} s (with headers ${least} s)`;
}

/** A run's nodes, a line each, and its figures. */
export function report(shape: Shape, outcome: Outcome): string {
  const megabytes = (bytes: number | undefined) => (bytes === undefined ? '-' : (bytes / 1e6).toFixed(1));
  const cells = [
    ['node', 'seconds', 'first byte s', 'MB of origin', 'MB of peers'],
    ...outcome.nodes.map(({ name, seconds, firstByteSeconds, bytes, failure }) => [
      name,
      seconds.toFixed(2),
      firstByteSeconds.toFixed(3),
      megabytes(bytes?.origin),
      megabytes(bytes?.peers),
      ...(failure === undefined ? [] : [`FAILED: ${failure}`]),
    ]),
  ];
  const rows = cells.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(8) : i < 5 ? cell.padStart(14) : `  ${cell}`)).join(''),
  );
  const { p50, p99, max, copiesSent, copiesPayload, copiesCounted } = figures(shape, outcome);
  const counted = copiesCounted === undefined ? '' : `; ${copiesCounted.toFixed(4)} came to the proxies`;
  const again = (outcome.originSent.segmentsAgain * SEGMENT_BYTES) / shape.size;
  const cpu = Object.entries(outcome.cpu).map(([name, seconds]) => `${name} ${seconds.toFixed(1)}`);
  return [
    ...rows,
    `over the lower bound: p50 ${p50.toFixed(3)}, p99 ${p99.toFixed(3)}, max ${max.toFixed(3)}`,
    `origin bytes / S: ${copiesSent.toFixed(4)} left by its link, ${copiesPayload.toFixed(4)} without headers, of which TCP sent ` +
      `${again.toFixed(4)} again${counted}; ${outcome.originRequests} GETs`,
    `machine ${(outcome.busy * 100).toFixed(0)} % busy; CPU seconds: ${cpu.join(', ')}`,
  ].join('\n');
}
