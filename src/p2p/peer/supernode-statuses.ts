import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { formatTime } from '../../base/units.ts';
import type { Step } from './session-errors.ts';
import { faultOf } from './supernode-fault.ts';
import { Flapping } from './flapping.ts';

/** While there is no supernode, this is said anew after so long. */
export const SUMMARY_MS = 5 * 60_000;

/** As `/api/v1/status` shows it. */
export interface SupernodeStatus {
  readonly url: string;
  readonly state: 'connected' | 'connecting' | 'failed' | 'standby';
  /** Of what keeps it from being connected; '' where nothing does. */
  readonly code: string;
  readonly message: string;
  /** How far it got, and what the operator can do about it; '' where nothing is wrong. */
  readonly step: Step | '';
  readonly todo: string;
  /** `host:port` that is connected, or has failed. Several, separated by a comma, where each has its fault; '' before it is known. */
  readonly address: string;
  /** When state or reason last changed, ISO 8601. */
  readonly since: string;
  /** Tries since there was last a session, or since the start; when the last one began, ISO 8601, '' before. */
  readonly attempts: number;
  readonly lastAttempt: string;
  /** ISO 8601; '' while there is no session. */
  readonly connectedSince: string;
  /** This node's clock less the supernode's, in milliseconds; absent where there is no session. */
  readonly clockSkewMs?: number;
}

const WELL = { code: '', message: '', step: '', todo: '' } as const;

/**
 * How this proxy stands with each supernode of the list, and what of it gets into the log: one line at each change of state or
 * reason, a summary while there is no session, and one line for many where a supernode comes and goes.
 */
export class SupernodeStatuses {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #statuses: SupernodeStatus[];
  readonly #flapping: readonly Flapping[];
  /** When the reasons began, on the clock that never jumps. */
  readonly #failingSince = new Map<number, number>();
  #aloneSince: number;
  #cancelSummary = (): void => undefined;
  #closed = false;

  constructor(urls: readonly string[], { clock, log }: { clock: Clock; log: Logger }) {
    this.#clock = clock;
    this.#log = log;
    this.#aloneSince = clock.monotonic();
    const since = this.#time();
    this.#statuses = urls.map((url) => ({
      url,
      state: 'connecting',
      ...WELL,
      address: '',
      since,
      attempts: 0,
      lastAttempt: '',
      connectedSince: '',
    }));
    this.#flapping = urls.map(
      (url, index) => new Flapping({ url, clock, log, settled: () => this.#tell(this.#statuses[index]!) }),
    );
  }

  all(): readonly SupernodeStatus[] {
    return this.#statuses;
  }

  /** There is no session: it is said now and then, with what is wrong with each. */
  alone(): void {
    if (this.#closed) return;
    this.#aloneSince = this.#clock.monotonic();
    this.#cancelSummary();
    this.#cancelSummary = this.#clock.after(SUMMARY_MS, () => this.#summarize());
  }

  tried(index: number): void {
    const before = this.#statuses[index]!;
    this.#statuses[index] = { ...before, attempts: before.attempts + 1, lastAttempt: this.#time() };
  }

  connected(index: number, address: string): void {
    this.#cancelSummary();
    this.#failingSince.delete(index);
    const before = this.#statuses[index]!;
    const since = this.#time();
    const { url, lastAttempt } = before;
    const now: SupernodeStatus = {
      url,
      state: 'connected',
      ...WELL,
      address,
      since,
      attempts: 0,
      lastAttempt,
      connectedSince: since,
    };
    if (before.state !== 'connected' || before.address !== address) this.#changed(index, now);
  }

  skewed(index: number, clockSkewMs: number): void {
    this.#statuses[index] = { ...this.#statuses[index]!, clockSkewMs };
  }

  /** It is not looked for, as there is a session with another one. */
  standby(index: number): void {
    const { url, state, lastAttempt } = this.#statuses[index]!;
    if (state === 'standby') return;
    this.#failingSince.delete(index);
    const since = this.#time();
    this.#statuses[index] = {
      url,
      state: 'standby',
      ...WELL,
      address: '',
      since,
      attempts: 0,
      lastAttempt,
      connectedSince: '',
    };
  }

  failed(index: number, error: unknown): void {
    const before = this.#statuses[index]!;
    const fault = faultOf(error);
    if (before.state === 'failed' && before.code === fault.code && before.message === fault.message) return;
    if (before.state !== 'failed') this.#failingSince.set(index, this.#clock.monotonic());
    const { url, attempts, lastAttempt } = before;
    const since = this.#time();
    this.#changed(index, { url, state: 'failed', ...fault, since, attempts, lastAttempt, connectedSince: '' });
  }

  close(): void {
    this.#closed = true;
    this.#cancelSummary();
    for (const flapping of this.#flapping) flapping.close();
  }

  #changed(index: number, status: SupernodeStatus): void {
    this.#statuses[index] = status;
    if (this.#flapping[index]!.mayTell(status)) this.#tell(status);
  }

  #tell({ url, state, code, address, step, todo, message }: SupernodeStatus): void {
    if (state === 'connected') {
      this.#log.info({ code: 'SUPERNODE_CONNECTED', url, address }, 'registered with the supernode');
    } else if (state === 'failed') {
      const what = `no session with the supernode: ${message}; it is tried again and again`;
      this.#log.warn({ code, url, address, step, todo }, what);
    }
  }

  #summarize(): void {
    this.#cancelSummary = this.#clock.after(SUMMARY_MS, () => this.#summarize());
    const now = this.#clock.monotonic();
    const supernodes = this.#statuses.map(({ url, code, step, message, todo, address, attempts }, index) => ({
      url,
      code,
      address,
      step,
      message,
      todo,
      attempts,
      forMs: Math.round(now - (this.#failingSince.get(index) ?? now)),
    }));
    const reasons = supernodes.map(
      ({ url, code, message, forMs }) =>
        `${url} for ${formatTime(forMs)}: ${code === '' ? 'no answer yet' : `${code}, ${message}`}`,
    );
    this.#log.warn(
      { code: 'NO_SUPERNODE', aloneMs: Math.round(now - this.#aloneSince), supernodes },
      `still no supernode after ${formatTime(now - this.#aloneSince)}: this proxy works alone; ${reasons.join('; ') || 'none is configured'}`,
    );
  }

  #time(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}
