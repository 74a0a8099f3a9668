import { stateOf, type Order, type OrderState } from './preheat-order.ts';
import type { PreheatFailure, ShareState } from './preheat-share.ts';

/** An order as the API gives it. Times are ISO 8601; what is not known (yet) is null. */
export interface PreheatView {
  readonly id: string;
  readonly image: string;
  /** What its tag stands for: all peers fetch this. */
  readonly digest: string | null;
  /** None: each peer's own. */
  readonly platforms: readonly string[];
  readonly zone: string | null;
  /** `failed` where not all of them have it, once all are done with it. */
  readonly state: OrderState;
  readonly at: string;
  readonly finishedAt: string | null;
  /** Who is not done by then has failed. */
  readonly deadline: string;
  /** Peers by their state. */
  readonly counts: Readonly<Record<ShareState, number>>;
  readonly peers: readonly PreheatPeerView[];
}

/** Without what each peer has to say. */
export type PreheatSummary = Omit<PreheatView, 'peers'>;

export interface PreheatPeerView {
  readonly id: string;
  readonly host: string;
  readonly zone: string;
  readonly state: ShareState;
  readonly since: string;
  /** Why it is away; '' where it is not. */
  readonly reason: string;
  /** How often its process was started anew meanwhile: it was ordered again each time. */
  readonly restarts: number;
  /** Manifests and blobs of the image, and those of them that it has; the same in bytes. */
  readonly blobs: number;
  readonly blobsHere: number;
  readonly bytes: number;
  readonly bytesHere: number;
  readonly failure: PreheatFailure | null;
}

/** `wallOffset`: what has to be added to the order's times for milliseconds since 1970. */
export function preheatView(order: Order, wallOffset: number): PreheatView {
  const wall = (time: number) => new Date(Math.round(time + wallOffset)).toISOString();
  const { id, request, digest = null, at, finishedAt, deadline, shares } = order;
  const counts = { waiting: 0, running: 0, done: 0, failed: 0, cancelled: 0, left: 0 };
  const peers = Array.from(shares.values(), ({ peer, instance: _, since, failure = null, ...share }) => {
    counts[share.state] += 1;
    return { id: peer, ...share, since: wall(since), failure };
  });
  const { image, platforms, zone = null } = request;
  const times = {
    at: wall(at),
    finishedAt: finishedAt === undefined ? null : wall(finishedAt),
    deadline: wall(deadline),
  };
  return { id, image, digest, platforms, zone, state: stateOf(order), ...times, counts, peers };
}
