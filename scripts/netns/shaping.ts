import { KiB } from '../../src/base/units.ts';

/** A token bucket holds what the link carries in so long, ... */
const BURST_MS = 10;
/** ... and at least this: two of the 64 KiB that the kernel hands down at once (TSO). */
const MIN_BURST_BYTES = 128 * KiB;
/** What waits longer than this for its tokens is dropped. */
const LATENCY_MS = 30;

/** In bytes, for a rate in bits a second. */
export function burstBytes(rate: number): number {
  return Math.max(MIN_BURST_BYTES, Math.ceil((rate / 8 / 1000) * BURST_MS));
}

/** `tc` arguments that hold what leaves by a device to a rate, in bits a second (tc-tbf(8)). */
export function shapingArgs(device: string, rate: number): string[] {
  const limits = ['rate', `${Math.round(rate)}bit`, 'burst', String(burstBytes(rate)), 'latency', `${LATENCY_MS}ms`];
  return ['qdisc', 'add', 'dev', device, 'root', 'tbf', ...limits];
}
