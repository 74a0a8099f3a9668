import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import type { Logger } from '../../base/log.ts';
import type { Metrics } from '../../base/metrics.ts';
import type { SecondReading } from '../protocol/coordinator.ts';
import { Dispute } from './dispute.ts';
import { describePieces } from './errors.ts';
import type { Fetcher } from './fetcher.ts';
import type { IncomingBytes } from './incoming-bytes.ts';
import { Losses } from './losses.ts';
import type { Readers } from './readers.ts';
import type { ReplaceTarget } from './second-read.ts';

const FIND_READER =
  'it is put right by itself; find out whose bytes they were: see READS_WRONG_BYTES in the supernode’s log';

/** The download that may have to be put right. */
export interface CorrectionsHost {
  readonly digest: Digest;
  /** What its bytes are to hash to; undefined: whatever comes is right. */
  readonly content: Digest | undefined;
  readonly bytes: IncomingBytes;
  readonly readers: Readers;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** It is over, or its bytes are right: nothing of it is to be replaced any more. */
  isSettled(): boolean;
  /** Bytes have come. */
  advanced(): void;
}

/** What is done where bytes of one blob may be wrong: second reads, the dispute, and what follows when all is right again. */
export class Corrections {
  readonly #host: CorrectionsHost;
  readonly #losses: Losses;
  #dispute: Dispute | undefined;
  /** As of the moment: another than the digest that is wanted. */
  #isRight = false;

  constructor(host: CorrectionsHost) {
    this.#host = host;
    this.#losses = new Losses(host.bytes);
  }

  /** All bytes are here, and do not have their digest. */
  get isDisputed(): boolean {
    return this.#dispute !== undefined && !this.#isRight;
  }

  // --- what the fetcher asks ---

  /** What second reads compare with; undefined while the size is not known. */
  replaceTarget(): ReplaceTarget | undefined {
    const { bytes, readers } = this.#host;
    const { pieces } = bytes;
    if (!pieces) return undefined;
    return {
      pieces,
      hasPiece: (piece) => this.#host.isSettled() || bytes.hasPiece(piece),
      read: (buffer, position) => bytes.read(buffer, position),
      lose: async (piece) => {
        const sha256 = await bytes.sha256Of(piece);
        if (this.#host.isSettled()) return false;
        this.#losses.lose(piece, sha256, readers);
        return true;
      },
      patch: (part, position) => bytes.patch(part, position),
      restore: (piece, crc32) => {
        bytes.restore(piece, crc32);
        this.#host.advanced();
      },
    };
  }

  /** What another proxy has read for a piece of the disputed blob. */
  secondReading(reading: SecondReading): void {
    this.#dispute?.compare(reading);
  }

  /** The dispute goes on, or (`isOver`) all second readings have been told. */
  disputed(isOver: boolean): void {
    this.#dispute?.told(isOver);
  }

  // --- what the download asks ---

  /** Tries to put the bytes right, which hash to `actual`. Rejects when the store fails. False: they stay wrong. */
  async settle(fetcher: Fetcher, actual: Digest): Promise<boolean> {
    const { digest, content, bytes, readers, clock, log } = this.#host;
    log.warn(
      { code: 'BLOB_DISPUTED', digest, actual, todo: FIND_READER },
      'a blob has not its digest: a piece of it is wrong',
    );
    readers.hold('everything');
    this.#dispute = new Dispute({
      digest,
      content: content ?? digest,
      bytes,
      clock,
      log,
      openDispute: () => fetcher.dispute(),
      report: (report) => fetcher.report(report),
      demandChanged: () => this.say(fetcher),
      lose: (piece, sha256) => this.#losses.lose(piece, sha256, readers),
      readAgain: (run, told) => fetcher.readAgain(run, told),
      quiet: () => fetcher.idle(),
    });
    this.#isRight = await this.#dispute.settle();
    return this.#isRight;
  }

  /** While it is disputed: says what is needed to put it right. */
  say(fetcher: Fetcher): void {
    const { bytes, readers } = this.#host;
    if (this.#dispute?.awaitsAll) fetcher.awaiting([{ first: 0, count: bytes.pieces!.count }]);
    else readers.demand.end(fetcher);
  }

  /** A piece has come. */
  heard(): void {
    this.#dispute?.heard();
  }

  /** Nobody can give what is missing; true: that is for the dispute to know. */
  gaveUp(): boolean {
    if (!this.isDisputed) return false;
    this.#dispute!.gaveUp();
    return true;
  }

  /** The bytes have their digest: who has had wrong ones is cut off, and others learn which those were. */
  async judge(fetcher: Fetcher | undefined): Promise<void> {
    if (!this.#losses.any) return;
    const { digest, readers, log, metrics } = this.#host;
    const lost = await this.#losses.judge(digest, readers);
    for (const { piece, crc32 } of lost) fetcher?.report({ kind: 'settled', piece, crc32 });
    const wrong = lost.filter(({ wasWrong }) => wasWrong).map(({ piece }) => piece);
    if (wrong.length === 0) return;
    metrics.badPieces.inc({ reason: 'dispute' }, wrong.length);
    log.warn(
      { code: 'DISPUTE_SETTLED', digest, pieces: wrong.length, todo: FIND_READER },
      `a blob has its digest now that it was read once more: ${describePieces(wrong)} had come wrong`,
    );
  }

  close(): void {
    this.#dispute?.close();
  }
}
