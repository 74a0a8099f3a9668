import type { Snapshot } from './model.ts';
import type { Route } from './route.ts';
import type { PeerQuery } from './rows.ts';

/** What `/api/v1/peers/<id>` gives, as far as it is shown. */
export interface PeerDetail {
  readonly id: string;
  readonly instance: string;
  readonly host: string;
  readonly addresses: readonly string[];
  readonly zone: string;
  readonly version: string;
  readonly protocol: string;
  readonly state: string;
  readonly reason: string;
  readonly since: string;
  readonly lastHeartbeat: string;
  readonly from: string;
  readonly clockSkewMs: number;
  readonly blobs: number;
  readonly bytes: {
    readonly store: number;
    readonly peers: number;
    readonly origin: number;
    readonly read: number;
  } | null;
  readonly parts: readonly {
    readonly digest: string;
    readonly size: number | null;
    readonly pieces: number | null;
    readonly held: number;
    readonly downloading: boolean;
  }[];
}

/** What `/api/v1/blobs/<digest>` gives. */
export interface BlobDetail {
  readonly digest: string;
  readonly size: number | null;
  readonly pieces: number | null;
  readonly holders: readonly string[];
  readonly downloading: readonly string[];
  readonly downloaded: readonly number[];
}

/** Of the page of one peer or blob: what was asked for last, and what came back. */
export interface Detail {
  readonly peer?: PeerDetail;
  readonly blob?: BlobDetail;
  /** Why there is nothing. */
  readonly missing?: string;
}

export interface ViewState {
  readonly connection: 'connecting' | 'live' | 'lost';
  /** When something was heard of the supernode last: milliseconds since 1970. */
  readonly heardAt: number;
  /** What screen readers are told. */
  readonly said: string;
  readonly snapshot: Snapshot | undefined;
  readonly route: Route;
  readonly detail: Detail;
  readonly query: PeerQuery;
  /** Milliseconds since 1970. */
  readonly now: number;
}

type Change = Partial<ViewState>;
export type Update = (change: Change | ((last: ViewState) => Change)) => void;
