/*
 * What the supernode's stream of events says, for both sides. A `snapshot` has all of it; each `change` what is different since.
 * Rows are keyed, so that a thousand peers of which one has changed cost one row.
 */

export interface PeerRow {
  readonly id: string;
  readonly instance: string;
  readonly host: string;
  readonly addresses: readonly string[];
  readonly zone: string;
  readonly version: string;
  readonly state: 'ready' | 'unreachable' | 'stale' | 'left';
  /** Why it is not ready; '' where it is. */
  readonly reason: string;
  /** ISO 8601. */
  readonly since: string;
  /** Whole blobs. */
  readonly blobs: number;
}

export interface BlobRow {
  readonly digest: string;
  /** In bytes; null while nobody has said it. */
  readonly size: number | null;
  readonly pieces: number | null;
  /** How many have all of it. */
  readonly holders: number;
  /** How many are downloading it, and some of them with the pieces that they have. */
  readonly downloaders: number;
  readonly downloading: readonly (readonly [peer: string, pieces: number])[];
}

export interface RejectedRow {
  readonly address: string;
  readonly host: string;
  readonly peer: string;
  readonly code: string;
  readonly message: string;
  /** What the operator can do about it. */
  readonly todo: string;
  readonly at: string;
  readonly count: number;
}

export interface PreheatRow {
  readonly id: string;
  readonly image: string;
  readonly state: 'running' | 'done' | 'failed' | 'cancelled';
  readonly at: string;
  readonly counts: Readonly<Record<string, number>>;
}

export interface Snapshot {
  readonly version: string;
  readonly protocol: string;
  readonly epoch: string;
  readonly since: string;
  /** Of all peers; `rejected`: kinds of refused registrations. */
  readonly counts: Readonly<Record<PeerRow['state'] | 'rejected', number>>;
  readonly swarm: { readonly blobs: number; readonly transfers: number; readonly leases: number };
  /** Bytes to clients by their source, read from origins, and those that no origin sent. */
  readonly bytes: {
    readonly store: number;
    readonly peers: number;
    readonly origin: number;
    readonly read: number;
    readonly saved: number;
  };
  /** The oldest first: milliseconds since 1970, then the bytes since the one before: from store, peers, origin; read. */
  readonly history: readonly (readonly [at: number, store: number, peers: number, origin: number, read: number])[];
  readonly peers: readonly PeerRow[];
  /** That are being downloaded. */
  readonly blobs: readonly BlobRow[];
  readonly rejected: readonly RejectedRow[];
  readonly preheats: readonly PreheatRow[];
}

/** The lists whose rows have a key, and its name. */
export const KEYED = { peers: 'id', blobs: 'digest' } as const;

/** Rows that are new or different, and the keys of those that are gone. */
export interface RowChange {
  readonly set: readonly Readonly<Record<string, unknown>>[];
  readonly gone: readonly string[];
}

/** By the names of a snapshot: a `RowChange` of a keyed list, and the new value of anything else. */
export type Change = Readonly<Record<string, unknown>>;

/** The snapshot after a change. New rows come at the end. */
export function applyChange(snapshot: Snapshot, change: Change): Snapshot {
  const next: Record<string, unknown> = { ...snapshot, ...change };
  for (const [name, key] of Object.entries(KEYED)) {
    const before = snapshot[name as keyof typeof KEYED] as readonly unknown[];
    next[name] = name in change ? applyRows(before, change[name] as RowChange, key) : before;
  }
  return next as unknown as Snapshot;
}

function applyRows(before: readonly unknown[], { set, gone }: RowChange, key: string): unknown[] {
  const rows = new Map(before.map((row) => [(row as Record<string, unknown>)[key], row]));
  for (const name of gone) rows.delete(name);
  for (const row of set) rows.set(row[key], row);
  return [...rows.values()];
}
