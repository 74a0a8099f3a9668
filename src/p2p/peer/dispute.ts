/*
 * A blob whose bytes are all here, and do not have its digest: some piece is wrong, and nothing but the digest can say whose
 * fault that is. It takes two turns to put that right:
 *
 * 1. With the others. The supernode has every piece read once more from the origin, by somebody else than its first reader,
 *    and tells all who dispute what the second readers have read. What differs from what is here is thrown away and comes
 *    anew; but a piece that this proxy has read itself is not thrown away on another's word: it is read once more.
 * 2. Alone, where that is not possible or did not help: all pieces but those that this proxy has read itself, undisputed, are
 *    read again from its own origin. Then either the bytes are right or the origin gives wrong ones.
 *
 * Nothing is believed for good in the first turn, so that nobody who lies in it can do more than bring about the second.
 */
import { backoffMs, type Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { LeaseFailure, PieceRun, Report, SecondReading } from '../protocol/coordinator.ts';
import type { IncomingBytes } from './incoming-bytes.ts';
import type { Reading } from './second-read.ts';
import { Signal } from './signal.ts';

/** The first turn is given up when so long nothing has been heard of the dispute and no piece has come. */
export const PATIENCE_MS = 10_000;
/** Reads of the second turn that may fail in a row. */
const MAX_TRIES = 4;
const RETRY: Backoff = { firstMs: 200, capMs: 4000 };

/** The download whose bytes are disputed. */
export interface DisputeHost {
  readonly digest: Digest;
  /** What the bytes are to hash to: the digest, or what was said of a file. */
  readonly content: Digest;
  readonly bytes: IncomingBytes;
  readonly clock: Clock;
  readonly log: Logger;
  /** Has the supernode open the dispute; false: nobody else can help. */
  openDispute(): boolean;
  report(report: Report): void;
  /** What is awaited of the coordinator has changed; see `Dispute.awaitsAll`. */
  demandChanged(): void;
  /** The piece, of which `sha256` is here, is thrown away. */
  lose(piece: number, sha256: string): void;
  /** Reads pieces from this proxy's own origin; see `Fetcher.readAgain`. */
  readAgain(run: PieceRun, told: (reading: Reading) => void): Promise<LeaseFailure | undefined>;
  /** Resolves when no read is under way any more. */
  quiet(): Promise<void>;
}

export class Dispute {
  readonly #host: DisputeHost;
  readonly #bytes: IncomingBytes;
  readonly #changed = new Signal();
  /** Comparisons, one after another. */
  #compared = Promise.resolve();
  /** Pieces of which a second reading has told something else than what was here. */
  readonly #doubted = new Set<number>();
  #isTold = false;
  #gaveUp = false;
  #closed = false;
  #turn: 'with the others' | 'alone' = 'with the others';
  #heardAt: number;
  #cancel: (() => void) | undefined;

  constructor(host: DisputeHost) {
    this.#host = host;
    this.#bytes = host.bytes;
    this.#heardAt = host.clock.monotonic();
  }

  /** Whether missing pieces are to come through the coordinator: all of them; else nothing is. */
  get awaitsAll(): boolean {
    return this.#turn === 'with the others';
  }

  /** What another proxy has read for a piece. */
  compare(reading: SecondReading): void {
    this.heard();
    this.#compared = this.#compared.then(() => this.#compare(reading)).catch((error: unknown) => this.#failed(error));
  }

  told(isOver: boolean): void {
    this.#isTold ||= isOver;
    this.heard();
  }

  /** Something has been heard of it, or a piece has come. */
  heard(): void {
    this.#heardAt = this.#host.clock.monotonic();
    this.#changed.fire();
  }

  /** Nobody can give what is missing. */
  gaveUp(): void {
    this.#gaveUp = true;
    this.#changed.fire();
  }

  /** The download is over. */
  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#changed.fire();
  }

  /** Whether the bytes have their digest in the end. Rejects when the store fails. */
  async settle(): Promise<boolean> {
    if (await this.#withOthers()) return true;
    return !this.#closed && this.#alone();
  }

  // --- with the others ---

  async #withOthers(): Promise<boolean> {
    const { losses } = this.#bytes;
    if (!this.#host.openDispute()) return false;
    this.#host.demandChanged();
    // Pieces that differ are fetched while others are still compared.
    await this.#until(() => this.#isTold);
    await this.#compared;
    while (!this.#closed && (await this.#until(() => this.#bytes.isWhole))) {
      if (this.#bytes.losses === losses) return false;
      const actual = await this.#bytes.hashAgain();
      // A piece may have been lost meanwhile: a second read by this proxy has brought something else.
      if (actual !== undefined) return actual === this.#host.content;
    }
    return false;
  }

  /** False: it is no use to wait any longer. */
  async #until(condition: () => boolean): Promise<boolean> {
    const { clock } = this.#host;
    while (!condition()) {
      const left = this.#heardAt + PATIENCE_MS - clock.monotonic();
      if (this.#closed || this.#gaveUp || left <= 0) return false;
      this.#cancel = clock.after(left, () => this.#changed.fire());
      await this.#changed.wait();
      this.#cancel();
    }
    return !this.#closed;
  }

  async #compare({ piece, sha256 }: SecondReading): Promise<void> {
    const bytes = this.#bytes;
    let losses: number;
    let ours: string;
    // A piece that is lost while it is read back may be this one.
    do {
      if (this.#closed || !this.awaitsAll || !bytes.hasPiece(piece)) return;
      losses = bytes.losses;
      ours = await bytes.sha256Of(piece);
    } while (bytes.losses !== losses);
    if (ours === sha256 || !this.awaitsAll) return;
    this.#doubted.add(piece);
    if (bytes.isOwn(piece)) await this.#readOwn(piece);
    else {
      this.#host.lose(piece, ours);
      this.#host.report({ kind: 'lost', piece });
    }
  }

  /** What this proxy has read itself it does not give up for another's word. */
  async #readOwn(piece: number): Promise<void> {
    const { losses } = this.#bytes;
    await this.#host.readAgain({ first: piece, count: 1 }, ({ crc32 }) => {
      if (this.#bytes.losses === losses) return;
      this.#host.report({ kind: 'lost', piece });
      this.#host.report({ kind: 'piece', piece, crc32, source: 'origin' });
    });
    this.heard();
  }

  #failed(error: unknown): void {
    const { log, digest } = this.#host;
    log.warn(
      {
        code: 'DISPUTE_FAILED',
        digest,
        todo: 'look at the disk of store.dir (kernel log); the blob is given up, and fetched anew when it is asked for again',
      },
      `a piece could not be compared: ${describeError(error)}`,
    );
    this.gaveUp();
  }

  // --- alone ---

  async #alone(): Promise<boolean> {
    this.#turn = 'alone';
    this.#host.demandChanged();
    await this.#host.quiet();
    const runs = this.#runsInDoubt();
    for (const run of runs) if (!(await this.#readRun(run))) return false;
    return runs.length > 0 && !this.#closed && (await this.#bytes.hashAgain()) === this.#host.content;
  }

  /** The rest of a run is read on, each time it breaks off. */
  async #readRun({ first, count }: PieceRun): Promise<boolean> {
    let next = first;
    let { losses } = this.#bytes;
    for (let tries = 0; tries < MAX_TRIES && !this.#closed; tries += 1) {
      const failure = await this.#host.readAgain({ first: next, count: first + count - next }, ({ piece }) => {
        next = piece + 1;
        tries = 0;
        if (this.#bytes.losses === losses) return;
        // The supernode knows another check sum for it: others must not be sent here for it before the whole is right.
        losses = this.#bytes.losses;
        this.#host.report({ kind: 'lost', piece });
      });
      if (next === first + count) return true;
      if (failure?.final) return false;
      await this.#host.clock.sleep(
        Math.max(backoffMs(RETRY, tries), Math.min(failure?.retryAfterMs ?? 0, PATIENCE_MS)),
      );
    }
    return false;
  }

  /** All pieces but those that this proxy has read itself, and nobody doubts. */
  #runsInDoubt(): PieceRun[] {
    const runs: { first: number; count: number }[] = [];
    const count = this.#bytes.pieces?.count ?? 0;
    for (let piece = 0; piece < count; piece += 1) {
      if (this.#bytes.isOwn(piece) && !this.#doubted.has(piece)) continue;
      const last = runs.at(-1);
      if (last && last.first + last.count === piece) last.count += 1;
      else runs.push({ first: piece, count: 1 });
    }
    return runs;
  }
}
