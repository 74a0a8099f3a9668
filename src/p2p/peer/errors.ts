import { CodedError, codedError } from '../../base/errors.ts';
import { formatSize } from '../../base/units.ts';
import type { PieceFailure } from '../protocol/coordinator.ts';

/** Pieces named in one message. */
const PIECES_SHOWN = 8;

/** `piece 3`, `pieces 3, 4, 5` or so, for messages. */
export function describePieces(pieces: readonly number[]): string {
  const shown = pieces.slice(0, PIECES_SHOWN).join(', ');
  const more = pieces.length - PIECES_SHOWN;
  return `piece${pieces.length === 1 ? '' : 's'} ${shown}${more > 0 ? ` and ${more} more` : ''}`;
}

export const BlobDigestMismatch = codedError('BLOB_DIGEST_MISMATCH', {
  message: (p: { digest: string; actual: string; sources: string }) =>
    `the bytes of ${p.digest} that came from ${p.sources} hash to ${p.actual}`,
  todo: 'nothing of it was kept; if it happens again, check the origin (and any cache in front of it) for a damaged blob',
});

export const BlobPieceWrong = codedError('BLOB_PIECE_WRONG', {
  message: (p: { digest: string; pieces: readonly number[] }) =>
    `the bytes of ${p.digest} that a client has had were wrong in ${describePieces(p.pieces)}, and are right only now`,
  todo: 'the client was cut off and has to ask again; find out whose bytes they were: see READS_WRONG_BYTES in the supernode’s log',
});

/** For its readers it is as if the registry had it not. It is the registry's fault, or somebody's who has made it say so. */
export const BlobNotProved = codedError('BLOB_NOT_PROVED', {
  message: (p: { host: string; repository: string; digest: string; seen: string }) =>
    `${p.host} says that it has ${p.digest} in ${p.repository}, but gave ${p.seen}: what others have brought is not given to its readers`,
  todo: (p) =>
    `find out whether ${p.host} is damaged (its storage, a cache before it) or claims what it has not; if so take it out of upstreams`,
});

export const BlobWrongSize = codedError('BLOB_WRONG_SIZE', {
  message: (p: { digest: string; expected: number; actual: number; source: string }) =>
    `${p.source} gives ${formatSize(p.actual)} (${p.actual} bytes) for ${p.digest}, which has ${p.expected} bytes`,
  todo: 'check the origin: its blob is damaged, or its manifest names a wrong size',
});

export const BlobIncomplete = codedError('BLOB_INCOMPLETE', {
  message: (p: { digest: string; source: string; at: number; end: number }) =>
    `${p.source} ended ${p.digest} at byte ${p.at}, before byte ${p.end}`,
  todo: 'the rest is asked for again by itself; if it goes on, check the origin and what lies between',
});

export const BlobUnavailable = codedError('BLOB_UNAVAILABLE', {
  message: (p: { digest: string; last: string }) => `no source can give ${p.digest}; the last one said: ${p.last}`,
  todo: 'see the last source’s error; the client is sent on to the registry itself',
});

export const DownloadsClosed = codedError('SHUTTING_DOWN', {
  message: () => 'Hawker is shutting down',
  todo: 'ask again when it is back',
});

export const TooManyDownloads = codedError('TOO_MANY_DOWNLOADS', {
  message: (p: { limit: number }) => `${p.limit} blobs are coming in already, all of them for clients`,
  todo: 'ask again; if it stays so, find out which clients ask for so many different blobs at once',
});

export const HashThreadDied = codedError('HASH_THREAD_DIED', {
  message: (p: { seen: string }) => `the thread that hashes large blobs has died: ${p.seen}`,
  todo: 'nothing is lost, they are hashed in the main thread; if it happens again, look at this node’s memory, and report it',
});

export const PeerUnreachable = codedError('PEER_UNREACHABLE', {
  message: (p: { peer: string; address: string; seen: string }) => `peer ${p.peer} at ${p.address}: ${p.seen}`,
  todo: 'check that its piece port is open to this node, and that its peer.advertise names an address that this node can reach',
});

export const PeerCut = codedError('PEER_CUT', {
  message: (p: { peer: string; address: string; seen: string }) =>
    `peer ${p.peer} at ${p.address} broke off: ${p.seen}`,
  todo: 'the piece is asked for elsewhere by itself; if it goes on, look at that peer’s log and what lies between',
});

export const PeerStalled = codedError('PEER_STALLED', {
  message: (p: { peer: string; address: string; ms: number }) =>
    `no byte from peer ${p.peer} at ${p.address} for ${p.ms} ms`,
  todo: 'the piece is asked for elsewhere by itself; if it goes on, look for an overloaded peer or a firewall that drops packets',
});

export const PeerBusy = codedError('PEER_BUSY', {
  message: (p: { peer: string }) => `all upload slots of peer ${p.peer} are taken`,
  todo: 'the piece is asked for elsewhere by itself',
});

export const PeerGone = codedError('PEER_GONE', {
  message: (p: { peer: string; digest: string }) => `peer ${p.peer} does not have that part of ${p.digest} (any more)`,
  todo: 'the piece is asked for elsewhere by itself',
});

export const PeerRefused = codedError('PEER_REFUSED', {
  message: (p: { peer: string; address: string }) => `peer ${p.peer} at ${p.address} refused our token`,
  todo: 'check that both nodes have the same join secret and the right time, and that this address is that peer’s own',
});

export const PeerTls = codedError('PEER_TLS', {
  message: (p: { peer: string; address: string; seen: string }) =>
    `no TLS with peer ${p.peer} at ${p.address}: ${p.seen}`,
  todo: 'set cluster.tls on all nodes of the cluster, with certificates of the same CA that are valid now; `hawker doctor` on both says which is at fault',
});

export const PeerBadResponse = codedError('PEER_BAD_RESPONSE', {
  message: (p: { peer: string; address: string; seen: string }) =>
    `peer ${p.peer} at ${p.address} does not speak Hawker’s piece protocol: ${p.seen}`,
  todo: 'check that this address is that peer’s piece port, and that both run versions that work together',
});

export const TooManyPeerConnections = codedError('PEER_CONNECTIONS_EXHAUSTED', {
  message: (p: { limit: number }) => `${p.limit} connections to other proxies are in use`,
  todo: 'the piece is asked for elsewhere by itself; if it goes on, report it: no node should need so many',
});

/** This process has no file descriptor left for a connection: that says nothing of the peer. */
export const NoDescriptor = codedError('DESCRIPTORS_EXHAUSTED', {
  message: (p: { peer: string; address: string }) =>
    `no file descriptor was left for a connection to peer ${p.peer} at ${p.address}`,
  todo: 'raise the limit of open files (LimitNOFILE of the systemd unit, ulimit -n)',
});

/** Blobs are not kept now; this one is streamed through. */
export const BlobNotKept = codedError('BLOB_NOT_KEPT', {
  message: (p: { digest: string; why: string }) => `${p.digest} is not kept: ${p.why}`,
  todo: 'nothing for this blob; what is short and what to do is in `hawker status`',
});

/** What each error of a read from a peer says of that peer. */
const PEER_FAILURES: ReadonlyMap<string, PieceFailure> = new Map([
  [PeerUnreachable.code, 'reset'],
  [PeerCut.code, 'reset'],
  [PeerRefused.code, 'reset'],
  [PeerTls.code, 'reset'],
  [PeerStalled.code, 'timeout'],
  [PeerBusy.code, 'busy'],
  [PeerGone.code, 'gone'],
  [PeerBadResponse.code, 'bad'],
]);

/** The peer's part in an error of a read; undefined where it has none (the receiver's own errors, an abort). */
export function peerFailureOf(error: unknown): PieceFailure | undefined {
  return error instanceof CodedError ? PEER_FAILURES.get(error.code) : undefined;
}
