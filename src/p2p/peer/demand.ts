import { MiB } from '../../base/units.ts';
import type { PieceRun } from '../protocol/coordinator.ts';
import type { IncomingBytes } from './incoming-bytes.ts';
import type { Reader } from './reader.ts';

/** How far a read goes ahead of clients that want a range only. */
export const READ_AHEAD_BYTES = 8 * MiB;

type Readers = Iterable<Pick<Reader, 'position' | 'end' | 'wantsWhole'>>;

/** The pieces that readers wait for; ranges first: they are few pieces, and jump the queue. */
export function awaitedBy(readers: Readers, bytes: IncomingBytes): PieceRun[] {
  const runs: PieceRun[] = [];
  for (const { position, end, wantsWhole } of readers) {
    const { pieces } = bytes;
    if (!pieces) return [{ first: 0, count: Number.POSITIVE_INFINITY }];
    const first = pieces.at(position);
    if (wantsWhole) runs.push({ first, count: pieces.count - first });
    // Nothing is asked for while enough is here: who reads slowly, or not at all, keeps no connection busy.
    else if (!bytes.covers(position, Math.min(end, position + READ_AHEAD_BYTES / 2))) {
      runs.push({ first, count: pieces.at(end - 1) + 1 - first });
    }
  }
  return runs.sort((a, b) => a.count - b.count);
}

/** The byte position up to which a read that is at `position` may go on for readers that want ranges only; 0: not at all. */
export function readAheadTo(readers: Readers, position: number, endOfPieceAt: (position: number) => number): number {
  let to = 0;
  for (const reader of readers) {
    // To the end of the last piece that it needs: a part of a piece is of no use to anybody else.
    const isFor = endOfPieceAt(reader.end - 1) > position && reader.position <= position + READ_AHEAD_BYTES;
    if (isFor) to = Math.max(to, reader.position + READ_AHEAD_BYTES);
  }
  return to;
}
