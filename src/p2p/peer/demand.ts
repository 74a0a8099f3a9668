import type { Clock } from '../../base/clock.ts';
import { MiB } from '../../base/units.ts';
import type { PieceRun } from '../protocol/coordinator.ts';
import type { Fetcher } from './fetcher.ts';
import type { IncomingBytes } from './incoming-bytes.ts';
import type { Reader } from './reader.ts';
import { Signal } from './signal.ts';

/** How far a read goes ahead of clients that want a range only. */
export const READ_AHEAD_BYTES = 8 * MiB;

/** A read held back by a slow client for so long gives its connection to the origin back. */
const HELD_BACK_READ_MS = 5000;

type Readers = Iterable<Pick<Reader, 'position' | 'end' | 'wantsWhole'>>;
type DemandedFetcher = Pick<Fetcher, 'awaiting' | 'stopUnneeded'>;

/** What the readers of one blob need: what is to be asked for, and how far reads may go ahead of them. */
export class Demand {
  readonly #readers: ReadonlySet<Reader>;
  readonly #bytes: IncomingBytes;
  readonly #clock: Clock;
  readonly #flow = new Signal();
  #wantsWhole = false;
  #cancelHeldBack: (() => void) | undefined;

  constructor(readers: ReadonlySet<Reader>, bytes: IncomingBytes, clock: Clock) {
    this.#readers = readers;
    this.#bytes = bytes;
    this.#clock = clock;
  }

  /** Says what the readers wait for, and lets reads that none of them needs end. */
  tell(fetcher: DemandedFetcher | undefined): void {
    const readers = [...this.#readers];
    this.#wantsWhole = readers.some((reader) => reader.wantsWhole);
    this.flow();
    if (!fetcher) return;
    fetcher.awaiting(awaitedBy(readers, this.#bytes));
    if (!this.#wantsWhole && readers.length > 0) {
      fetcher.stopUnneeded((position, end) => readers.some((reader) => reader.end > position && reader.position < end));
    }
  }

  /** Nobody needs anything. */
  end(fetcher: DemandedFetcher | undefined): void {
    this.#wantsWhole = false;
    fetcher?.awaiting([]);
    fetcher?.stopUnneeded(() => false);
    this.flow();
  }

  /** A reader waits for a byte from `start` to `end` (exclusive). */
  isAwaited(start: number, end: number): boolean {
    for (const { waitsAt } of this.#readers) {
      if (waitsAt !== undefined && waitsAt >= start && waitsAt < end) return true;
    }
    return false;
  }

  /** The byte position up to which a read that is at `position` may go on now. */
  mayReadTo(position: number, fetcher: DemandedFetcher): number {
    if (this.#wantsWhole || this.#bytes.size === undefined) return Number.POSITIVE_INFINITY;
    const to = this.#readAheadTo(position);
    if (to <= position) this.#cancelHeldBack ??= this.#clock.after(HELD_BACK_READ_MS, () => this.#endHeldBack(fetcher));
    return to;
  }

  /** Resolves when `mayReadTo` may have changed. */
  flowChanged(): Promise<void> {
    return this.#flow.wait();
  }

  flow(): void {
    this.#flow.fire();
  }

  close(): void {
    this.#cancelHeldBack?.();
    this.flow();
  }

  #readAheadTo(position: number): number {
    return readAheadTo(this.#readers, position, (at) => this.#bytes.pieceEndAt(at));
  }

  #endHeldBack(fetcher: DemandedFetcher): void {
    this.#cancelHeldBack = undefined;
    this.tell(fetcher);
    fetcher.stopUnneeded((position) => this.#wantsWhole || this.#readAheadTo(position) > position);
    this.flow();
  }
}

/** The pieces that readers wait for; ranges first: they are few pieces, and jump the queue. */
function awaitedBy(readers: Readers, bytes: IncomingBytes): PieceRun[] {
  const runs: PieceRun[] = [];
  const before: PieceRun[] = [];
  for (const { position, end, wantsWhole } of readers) {
    const { pieces } = bytes;
    if (!pieces) return [{ first: 0, count: Number.POSITIVE_INFINITY }];
    const first = pieces.at(position);
    if (wantsWhole) {
      runs.push({ first, count: pieces.count - first });
      // It has had these, of a stored blob that was damaged further on: the hash that its end waits for needs them here.
      if (!bytes.covers(0, pieces.start(first))) before.push({ first: 0, count: first });
    }
    // Nothing is asked for while enough is here: who reads slowly, or not at all, keeps no connection busy.
    else if (!bytes.covers(position, Math.min(end, position + READ_AHEAD_BYTES / 2))) {
      runs.push({ first, count: pieces.at(end - 1) + 1 - first });
    }
  }
  return [...runs.sort((a, b) => a.count - b.count), ...before];
}

/** The byte position up to which a read that is at `position` may go on for readers that want ranges only; 0: not at all. */
function readAheadTo(readers: Readers, position: number, endOfPieceAt: (position: number) => number): number {
  let to = 0;
  for (const reader of readers) {
    // To the end of the last piece that it needs: a part of a piece is of no use to anybody else.
    const isFor = endOfPieceAt(reader.end - 1) > position && reader.position <= position + READ_AHEAD_BYTES;
    if (isFor) to = Math.max(to, reader.position + READ_AHEAD_BYTES);
  }
  return to;
}
