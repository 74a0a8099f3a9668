import type { CodedError } from '../../base/errors.ts';
import type { PeerId } from './events.ts';
import type { PreheatCandidate } from './preheat-choice.ts';

export interface PreheatFailure {
  readonly code: string;
  readonly message: string;
  readonly todo: string;
}

/** `waiting`: it has not been told yet; `left`: it is away, and may come back. */
export type ShareState = 'waiting' | 'running' | 'done' | 'failed' | 'cancelled' | 'left';

/** One peer's part in an order. */
export interface Share {
  readonly peer: PeerId;
  readonly host: string;
  readonly zone: string;
  instance: string;
  state: ShareState;
  /** When it came into this state, on the caller's clock. */
  since: number;
  /** Why it is away. */
  reason: string;
  restarts: number;
  blobs: number;
  blobsHere: number;
  bytes: number;
  bytesHere: number;
  failure: PreheatFailure | undefined;
}

export function shareOf({ peer, instance, host, zone }: PreheatCandidate, since: number): Share {
  const nothing = { blobs: 0, blobsHere: 0, bytes: 0, bytesHere: 0 };
  return {
    peer,
    instance,
    host,
    zone,
    state: 'waiting',
    since,
    reason: '',
    restarts: 0,
    failure: undefined,
    ...nothing,
  };
}

/** `since` is the time of the first such move; the reason for its absence goes with that. */
export function move(share: Share, state: ShareState, now: number): void {
  if (share.state === state) return;
  share.state = state;
  share.since = now;
  if (state !== 'left') share.reason = '';
}

/** Nothing changes it any more. */
export function isOver({ state }: Share): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled';
}

export function failureOf({ code, message, todo }: CodedError): PreheatFailure {
  return { code, message, todo };
}
