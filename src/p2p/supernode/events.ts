import type { Digest } from '../../base/digest.ts';
import type { LeaseFailure, PieceFailure, PieceRun } from '../protocol/coordinator.ts';

/** A proxy, by the id that it keeps on disk. */
export type PeerId = string;

/** What the swarm is told. Times are the caller's: `apply(event, now)`, in milliseconds on a clock that never jumps. */
export type SwarmEvent =
  | PeerEvent
  | { readonly kind: 'gone'; readonly peer: PeerId }
  | HaveEvent
  | { readonly kind: 'lost'; readonly peer: PeerId; readonly digest: Digest }
  | WantEvent
  | (OfWish & { readonly kind: 'awaiting'; readonly awaited: readonly PieceRun[] })
  /** The blob's size has become known, in bytes. */
  | (OfWish & { readonly kind: 'size'; readonly size: number })
  | (OfWish & { readonly kind: 'no-ranges' })
  /** A lease that the proxy has from an earlier supernode and still reads; after its `want`. */
  | (OfWish & { readonly kind: 'reading'; readonly lease: number; readonly run: PieceRun })
  /**
   * Bytes of a lease come: said at its first byte, and then once a second while no piece gets whole. On a lease that starts
   * behind the blob's first byte it proves that the origin gives ranges.
   */
  | (OfWish & { readonly kind: 'progress'; readonly lease: number })
  | PieceEvent
  | FailedEvent
  | (OfWish & { readonly kind: 'ended'; readonly lease: number; readonly failure?: LeaseFailure | undefined })
  /** All pieces are here, but the whole does not have its digest. */
  | (OfWish & { readonly kind: 'mismatch' })
  | SecondReadingEvent
  /** What was here of a piece differs from another reading, and is thrown away. */
  | (OfWish & { readonly kind: 'lost-piece'; readonly piece: number })
  /** The whole has its digest after the piece was replaced, and this is the piece's CRC-32. */
  | (OfWish & { readonly kind: 'settled'; readonly piece: number; readonly crc32: number })
  | (OfWish & { readonly kind: 'leave' });

interface OfWish {
  readonly peer: PeerId;
  readonly digest: Digest;
}

/** A peer has registered, or something about it has changed. */
export interface PeerEvent {
  readonly kind: 'peer';
  readonly peer: PeerId;
  /** One that others cannot reach may ask, but is no source. */
  readonly reachable: boolean;
  readonly zone?: string | undefined;
  /** Pieces that it sends at the same time at most; U where it says nothing. */
  readonly uploadSlots?: number | undefined;
}

/** The peer holds the blob: all of it, or the pieces named. */
export interface HaveEvent {
  readonly kind: 'have';
  readonly peer: PeerId;
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly pieces?: Iterable<number> | undefined;
  /** What it knows of the pieces' CRC-32s. */
  readonly crcs?: Iterable<readonly [piece: number, crc32: number]> | undefined;
}

/** A proxy wishes for a blob; said again it replaces what was said before. */
export interface WantEvent extends OfWish {
  readonly kind: 'want';
  /** In bytes, where a manifest or the origin has said it. */
  readonly size?: number | undefined;
  readonly held: Iterable<number>;
  /** The most urgent first. */
  readonly awaited: readonly PieceRun[];
  /** The upstream that this proxy's own client may read the blob from, while that is known; undefined: it cannot. */
  readonly origin?: string | undefined;
  /** The image manifest that names the blob: its blobs share the origin reads. */
  readonly image?: string | undefined;
}

/** A piece has come and its check sum is right. */
export interface PieceEvent extends OfWish {
  readonly kind: 'piece';
  readonly piece: number;
  /** The peer that sent it; undefined: the origin. */
  readonly from?: PeerId | undefined;
  /** From the request (behind another piece of the same read: from that piece's end) to the last byte. */
  readonly ms: number;
  readonly crc32: number;
}

/** A piece of a disputed blob was read again from the origin, and is here as it was read. */
export interface SecondReadingEvent extends OfWish {
  readonly kind: 'second-reading';
  readonly lease: number;
  readonly piece: number;
  readonly crc32: number;
  /** In base64url. */
  readonly sha256: string;
}

/** A piece from a peer has not come. */
export interface FailedEvent extends OfWish {
  readonly kind: 'failed';
  readonly piece: number;
  readonly from: PeerId;
  readonly reason: PieceFailure;
}

/** What the swarm says: to the proxy `peer`, about the blob `digest`. */
export type Decision =
  /** Read the run from the origin with one request, beside whatever else is under way. `count` is Infinity where the size is not known. */
  | (OfWish & { readonly kind: 'lease'; readonly lease: number; readonly run: PieceRun })
  /** The lease now ends with piece `last`. */
  | (OfWish & { readonly kind: 'cut'; readonly lease: number; readonly last: number })
  /** Fetch the piece from that peer. Without a CRC it is taken on trust. */
  | (OfWish & {
      readonly kind: 'fetch';
      readonly piece: number;
      readonly from: PeerId;
      readonly crc32: number | undefined;
    })
  /** Nothing just now; said again every second while that is so. */
  | (OfWish & { readonly kind: 'wait' })
  /** Read the run from the origin, and tell what each piece is: the blob is disputed. */
  | (OfWish & { readonly kind: 'read-again'; readonly lease: number; readonly run: PieceRun })
  /** What `by` has read for a piece that this proxy disputes. */
  | (OfWish & { readonly kind: 'second-reading'; readonly piece: number; readonly by: PeerId; readonly sha256: string })
  /** How the dispute stands: pieces are still being read again, or all readings have been told. */
  | (OfWish & { readonly kind: 'dispute'; readonly isOver: boolean })
  | BlamedDecision
  | NoneDecision
  | TroubleDecision
  | RejectDecision;

/**
 * `unavailable`: nobody can give what is awaited; `code` is what the last reader of the origin ran into. `alone`: this swarm
 * does not coordinate the blob (a limit is reached, sizes contradict each other), the proxy decides for itself.
 */
export interface NoneDecision extends OfWish {
  readonly kind: 'none';
  readonly reason: 'unavailable' | 'alone';
  readonly code: string | undefined;
}

/** The peer has read other bytes from the origin than they are: it is suspended. */
export interface BlamedDecision extends OfWish {
  readonly kind: 'blamed';
  readonly piece: number;
  /** Whose reading of the piece was right. */
  readonly right: PeerId;
}

/** Several receivers have trouble with this peer: it should be tested whether it can be reached. */
export interface TroubleDecision {
  readonly kind: 'trouble';
  readonly peer: PeerId;
}

/** The event cannot be true, or breaks a limit; nothing was changed. */
export interface RejectDecision {
  readonly kind: 'reject';
  readonly peer: PeerId;
  readonly code: RejectCode;
}

/**
 * Of disputes: `NOT_WHOLE` by one that does not hold the blob; `NOT_ASKED` a reading, `NOT_HELD` a loss, `NO_DISPUTE` a result
 * that nobody waited for.
 */
export type RejectCode =
  | 'UNKNOWN_PEER'
  | 'UNKNOWN_WISH'
  | 'NO_SUCH_PIECE'
  | 'SIZE_CONFLICT'
  | 'LIMIT_REACHED'
  | 'NOT_WHOLE'
  | 'NOT_ASKED'
  | 'NOT_HELD'
  | 'NO_DISPUTE';
