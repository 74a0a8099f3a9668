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
  /** CRC-32s of such pieces, where they were kept. */
  readonly crcs?: ReadonlyMap<number, number> | undefined;
  /** In bytes, where known: coordination among several proxies needs it as soon as `pieceCount` is known. */
  readonly size?: number | undefined;
  /** While its size is not known: it is a small thing, a manifest, for which nobody is to wait long. */
  readonly isSmall?: boolean | undefined;
  /** The upstream (its key in the configuration) that this proxy's own client may read the blob from; undefined: none. */
  readonly origin?: string | undefined;
  /** The manifest that names the blob: the blobs of an image share the origin reads. */
  readonly image?: Digest | undefined;
  /** Peers from which pieces of it came lately: whom to ask first. */
  readonly holders?: readonly PeerTarget[] | undefined;
}

/** A peer to fetch pieces from. */
export interface PeerTarget {
  readonly peer: string;
  /** Of its present life: a piece token is made out to it. */
  readonly instance: string;
  /** `host:port`, the one that was proved to work first. */
  readonly addresses: readonly string[];
}

export interface Ticket {
  /** What clients wait for now, the most urgent first; replaces what was said before. Nothing: no more is to be assigned. */
  awaiting(runs: readonly PieceRun[]): void;
  report(report: Report): void;
  /**
   * All pieces are here, but the whole does not have its digest: others are to read each piece once more from the origin.
   * What they read comes as `second-reading`, until `dispute` says that this was all. False: nobody is there to do so.
   */
  dispute(): boolean;
  close(): void;
}

export type Assignment =
  /** Read the run from the origin, with one request, and report each piece. */
  | { readonly kind: 'lease'; readonly lease: number; readonly run: PieceRun }
  /** The lease now ends with piece `last`; what lies behind it is somebody else's. */
  | { readonly kind: 'cut'; readonly lease: number; readonly last: number }
  /** Fetch the piece from that peer, and report it or its failure. Without a CRC-32 it is taken on trust. */
  | {
      readonly kind: 'fetch';
      readonly piece: number;
      readonly from: PeerTarget;
      readonly crc32: number | undefined;
    }
  /**
   * Read the run from the origin, with one request, though it may be here, and report each piece as a `reading`: the blob is
   * disputed. What is here and differs is replaced by what is read.
   */
  | { readonly kind: 'read-again'; readonly lease: number; readonly run: PieceRun }
  | SecondReading
  /** Others still read pieces of the disputed blob again; or (`isOver`) all second readings have been told. */
  | { readonly kind: 'dispute'; readonly isOver: boolean }
  /** Nobody can give what is awaited: every source has failed for good, or failed too often. */
  | { readonly kind: 'none' };

/** What another proxy has read from the origin for a piece of a disputed blob. */
export interface SecondReading {
  readonly kind: 'second-reading';
  readonly piece: number;
  /** Of the piece, in base64url. */
  readonly sha256: string;
  /** The peer that has read it, where it is still known. */
  readonly by: string | undefined;
}

export type Report =
  /** The size has become known. */
  | { readonly kind: 'pieces'; readonly pieceCount: number; readonly size?: number | undefined }
  /** The origin gives no ranges: only one read, front to back, makes sense. */
  | { readonly kind: 'no-ranges' }
  /** Bytes of a lease come: said at its first byte, and then once a second while no piece gets whole. */
  | { readonly kind: 'progress'; readonly lease: number }
  | PieceReport
  /** A piece that was to be fetched from a peer has not come. */
  | { readonly kind: 'failed'; readonly piece: number; readonly from: string; readonly reason: PieceFailure }
  /** A lease is over; with `failure` where it ended before its time. */
  | { readonly kind: 'ended'; readonly lease: number; readonly failure?: LeaseFailure }
  /** What a lease to read again has brought, which is now what is here of that piece. */
  | {
      readonly kind: 'reading';
      readonly lease: number;
      readonly piece: number;
      readonly crc32: number;
      readonly sha256: string;
    }
  /** The piece that was here differs from another reading of it: it is thrown away, and missing. */
  | { readonly kind: 'lost'; readonly piece: number }
  /** The whole has its digest now; of a piece that was replaced on the way there this is the right CRC-32. */
  | { readonly kind: 'settled'; readonly piece: number; readonly crc32: number };

export interface LeaseFailure {
  readonly code: string;
  /** Trying again is useless. */
  readonly final: boolean;
  /** The source asked to be left alone for this long. */
  readonly retryAfterMs?: number | undefined;
}

/** A piece has come and its check sum is right. */
export interface PieceReport {
  readonly kind: 'piece';
  readonly piece: number;
  readonly crc32: number;
  readonly source: ByteSource;
  /** The peer that sent it, where one did. */
  readonly from?: string | undefined;
  /** From the request (behind another piece of the same read: from that piece's end) to its last byte. */
  readonly ms?: number | undefined;
}

/**
 * `reset` (or refused) and `timeout` (1 s without a byte): a retry; `busy` and `gone` (evicted): nobody's fault; `bad`: the
 * bytes are not what their CRC-32 says.
 */
export type PieceFailure = 'reset' | 'timeout' | 'busy' | 'gone' | 'bad';
