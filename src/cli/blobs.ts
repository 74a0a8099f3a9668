import { formatSize } from '../base/units.ts';
import type { BlobsAnswer } from './answers.ts';
import { counted, table } from './table.ts';

const COLUMNS = [
  { title: 'DIGEST' },
  { title: 'SIZE', align: 'right' },
  { title: 'HOLDERS', align: 'right' },
  { title: 'DOWNLOADING', align: 'right' },
] as const;

/** What `hawker blobs` prints: how many peers hold and fetch each blob. Who they are is in its JSON. */
export function blobsText(url: string, { blobs }: BlobsAnswer): string {
  if (blobs.length === 0) {
    return `No blobs at ${url}: no peer that is connected now holds or fetches one. \`hawker peers\` shows who is connected.\n`;
  }
  const rows = blobs.map(({ digest, size, holders, downloading }) => {
    return [digest, size === null ? '?' : formatSize(size), String(holders.length), String(downloading.length)];
  });
  return `${counted(blobs.length, 'blob')} at ${url}.\n\n${table(COLUMNS, rows, { colour: false })}`;
}
