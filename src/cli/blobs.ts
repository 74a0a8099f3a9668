import { formatSize } from '../base/units.ts';
import type { BlobsAnswer } from '../app/answers.ts';
import { byName, shortDigest, shortIds } from './names.ts';
import { counted, filledColumns, table } from './table.ts';

const COLUMNS = [
  { title: 'DIGEST' },
  { title: 'SIZE', align: 'right' },
  { title: 'HOLDERS' },
  { title: 'DOWNLOADING' },
] as const;

/** So many are named, more are counted. */
const MOST_NAMED = 3;

type Blob = BlobsAnswer['blobs'][number];

export interface BlobsLook {
  /** What to call peers, by id; those that are not in it by the beginnings of their ids. */
  readonly names: ReadonlyMap<string, string>;
  /** Digests in full are wider than most terminals. */
  readonly fullDigests: boolean;
}

/** What `hawker blobs` prints: who holds each blob, and who fetches it and how far; those that are being fetched first. */
export function blobsText(url: string, { blobs }: BlobsAnswer, { names, fullDigests }: BlobsLook): string {
  if (blobs.length === 0) {
    return `No blobs at ${url}: no peer that is connected now holds or fetches one. \`hawker peers\` shows who is connected.\n`;
  }
  const shortOf = shortIds(blobs.flatMap(({ holders, downloading }) => [...holders, ...downloading]));
  const nameOf = (id: string) => names.get(id) ?? shortOf.get(id)!;
  const sorted = blobs.toSorted((a, b) => Number(b.downloading.length > 0) - Number(a.downloading.length > 0));
  const rows = sorted.map((blob) => [
    fullDigests ? blob.digest : shortDigest(blob.digest),
    blob.size === null ? '?' : formatSize(blob.size),
    named(blob.holders, nameOf),
    downloadingText(blob, nameOf),
  ]);
  const filled = filledColumns(COLUMNS, rows);
  return `${counted(blobs.length, 'blob')} at ${url}.\n\n${table(filled.columns, filled.rows, { colour: false })}`;
}

function named(peers: readonly string[], nameOf: (id: string) => string): string {
  if (peers.length === 0) return '-';
  return peers.length > MOST_NAMED ? counted(peers.length, 'peer') : peers.map(nameOf).toSorted(byName).join(', ');
}

/** `node-a 40%, node-b 2%`, or `12 peers, 40% of it on average`. */
function downloadingText({ downloading, downloaded, pieces }: Blob, nameOf: (id: string) => string): string {
  if (downloading.length === 0) return '-';
  const percents = downloading.map((_, i) => percentOf(downloaded?.[i], pieces ?? 0));
  if (downloading.length <= MOST_NAMED) return downloading.map((id, i) => `${nameOf(id)}${percents[i]}`).join(', ');
  const sum = downloaded?.reduce((total, count) => total + count, 0);
  const average = percentOf(sum === undefined ? sum : sum / downloading.length, pieces ?? 0);
  return `${counted(downloading.length, 'peer')}${average === '' ? '' : `,${average} on average`}`;
}

function percentOf(count: number | undefined, pieces: number): string {
  return count === undefined || pieces === 0 ? '' : ` ${Math.floor((count / pieces) * 100)}%`;
}
