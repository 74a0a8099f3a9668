import type { ByteSource } from '../../base/metrics.ts';
import type { Digest } from '../../base/digest.ts';

/**
 * The port to whoever decides from where each piece of a blob comes. A proxy says what it wants and what became of it; the
 * coordinator answers with assignments, which the proxy carries out. `SoloCoordinator` decides for a proxy that is alone.
 */
export interface Coordinator {
  /** Opens a wish for one blob. Assignments come through `listener` until the ticket is closed, never from within a call. */
  want(want: Want, listener: (assignment: Assignment) => void): Ticket;
}

/** `count` consecutive pieces from `first`; Infinity while the blob's size is not known. */
export interface PieceRun {
  readonly first: number;
  readonly count: number;
}

export interface Want {
  readonly digest: Digest;
  /** The blob's pieces; undefined while its size is not known. */
  readonly pieceCount: number | undefined;
  /** Pieces that are here already. */
  readonly held: Iterable<number>;
}

export interface Ticket {
  /** What clients wait for now, the most urgent first; replaces what was said before. Nothing: no more is to be assigned. */
  awaiting(runs: readonly PieceRun[]): void;
  report(report: Report): void;
  close(): void;
}

export type Assignment =
  /** Read the run from the origin, with one request, and report each piece. */
  | { readonly kind: 'lease'; readonly lease: number; readonly run: PieceRun }
  /** The lease now ends with piece `last`; what lies behind it is somebody else's. */
  | { readonly kind: 'cut'; readonly lease: number; readonly last: number }
  /** Nobody can give what is awaited: every source has failed for good, or failed too often. */
  | { readonly kind: 'none' };

export type Report =
  /** The size has become known. */
  | { readonly kind: 'pieces'; readonly pieceCount: number }
  /** The origin gives no ranges: only one read, front to back, makes sense. */
  | { readonly kind: 'no-ranges' }
  /** The first bytes of a lease have come: its source is alive. */
  | { readonly kind: 'progress'; readonly lease: number }
  | { readonly kind: 'piece'; readonly piece: number; readonly crc32: number; readonly source: ByteSource }
  /** A lease is over; with `failure` where it ended before its time. */
  | { readonly kind: 'ended'; readonly lease: number; readonly failure?: LeaseFailure };

export interface LeaseFailure {
  readonly code: string;
  /** Trying again is useless. */
  readonly final: boolean;
  /** The source asked to be left alone for this long. */
  readonly retryAfterMs?: number | undefined;
}
