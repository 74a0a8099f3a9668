import type { PeerRow, Snapshot } from './model.ts';

/** Rows that are shown at a time. */
export const PAGE_ROWS = 100;

export type PeerColumn = 'host' | 'state' | 'zone' | 'version' | 'since' | 'blobs';

export interface PeerQuery {
  readonly text: string;
  /** '': all. */
  readonly state: string;
  readonly column: PeerColumn;
  readonly descending: boolean;
  readonly page: number;
}

/** Those that need somebody come first. */
const STATES = ['unreachable', 'stale', 'left', 'ready'];

export interface PeerPageRows {
  readonly rows: readonly PeerRow[];
  /** That match, on all pages. */
  readonly found: number;
  readonly page: number;
  readonly pages: number;
}

/** The rows of one page of those that match. */
export function peerRows(peers: readonly PeerRow[], query: PeerQuery): PeerPageRows {
  const words = query.text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = peers
    .filter((peer) => query.state === '' || peer.state === query.state)
    .filter((peer) => words.length === 0 || matches(peer, words))
    .sort((a, b) => (query.descending ? -1 : 1) * compare(a, b, query.column) || compareText(a.host, b.host));
  const pages = Math.max(1, Math.ceil(found.length / PAGE_ROWS));
  const page = Math.min(query.page, pages - 1);
  return { rows: found.slice(page * PAGE_ROWS, (page + 1) * PAGE_ROWS), found: found.length, page, pages };
}

function matches(peer: PeerRow, words: readonly string[]): boolean {
  const { id, host, zone, version, reason, addresses, state } = peer;
  const text = [id, host, zone, version, reason, state, ...addresses].join('\n').toLowerCase();
  return words.every((word) => text.includes(word));
}

function compare(a: PeerRow, b: PeerRow, column: PeerColumn): number {
  if (column === 'blobs') return a.blobs - b.blobs;
  if (column === 'state') return STATES.indexOf(a.state) - STATES.indexOf(b.state);
  return compareText(a[column], b[column]);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** One line on how things stand, which screen readers tell when it changes. */
export function summaryText({ counts }: Snapshot): string {
  const others = (['unreachable', 'stale', 'left', 'rejected'] as const)
    .filter((state) => counts[state] > 0)
    .map((state) => `${counts[state]} ${state}`);
  return [`${counts.ready} ready`, ...others].join(', ');
}
