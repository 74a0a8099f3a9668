import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import { isFileId } from '../base/digest.ts';
import { describeError } from '../base/errors.ts';
import { Pieces } from '../base/pieces.ts';
import { MiB } from '../base/units.ts';
import type { CrcFiles } from './crc-files.ts';
import type { OpenFile, ReadableFile } from './files.ts';
import { crcOf } from './open-incoming.ts';
import { PacedHasher } from './paced-hasher.ts';
import type { BlobEntry } from './quota.ts';
import type { Verified } from './verified.ts';

/**
 * A blob that was verified so lately is given away as it is, in milliseconds. CRC-32 takes 0.2 to 0.3 processor seconds a GiB and the
 * bytes are read twice, about as much again as all that sending takes: once a day nobody notices it, each time everybody would.
 */
const FRESH_MS = 24 * 3_600_000;
/** Checks that read at the same time, over all blobs: each has a buffer. */
const MAX_CHECKS = 4;
const BUFFER_BYTES = MiB;
/** Blobs of which it is remembered which pieces are right, until all are: a byte a piece. */
const MAX_UNDER_CHECK = 1000;

interface Running {
  readonly changedMs: number;
  /** Undefined: the whole was checked, and is right. */
  readonly checks: Promise<PieceChecks | undefined>;
}

/** What was found wrong. `rotten`: the bytes could be read, and are others. */
export class BlobDamage extends Error {
  readonly isRotten: boolean;

  constructor(message: string, isRotten: boolean) {
    super(message);
    this.isRotten = isRotten;
  }
}

/**
 * Checks blobs as they are read, those that were not verified for a day, or whose files something has touched: each piece
 * before its first byte is given away, by its CRC-32 that was kept when the blob came in; without these the whole by its digest,
 * which a file has not.
 */
export class ReadChecks {
  readonly #crcs: CrcFiles;
  readonly #verified: Verified;
  readonly #hasher: PacedHasher;
  readonly #turns = new Turns();
  /** One a blob, however many read it, and whether at once or one after the other. */
  readonly #running = new LRUCache<BlobEntry, Running>({ max: MAX_UNDER_CHECK });

  constructor(deps: { crcs: CrcFiles; verified: Verified; clock: Clock }) {
    this.#crcs = deps.crcs;
    this.#verified = deps.verified;
    this.#hasher = new PacedHasher(deps.clock, Infinity);
  }

  /** A file whose bytes may be given away; its `read` rejects where they turn out wrong. Rejects with `BlobDamage` where that is known at once. */
  async guard(entry: BlobEntry, file: OpenFile): Promise<ReadableFile> {
    if (!this.#verified.isDue(entry, FRESH_MS)) return file;
    let running = this.#running.get(entry);
    // What was right before the file was touched says nothing.
    if (running?.changedMs !== entry.changedMs) {
      const checks = this.#begin(entry, file);
      running = { changedMs: entry.changedMs, checks };
      this.#running.set(entry, running);
      checks.then(
        (checks) => checks ?? this.#running.delete(entry),
        () => this.#running.delete(entry),
      );
    }
    const checks = await running.checks;
    return checks ? new CheckedFile(file, checks) : file;
  }

  async #begin(entry: BlobEntry, file: OpenFile): Promise<PieceChecks | undefined> {
    const crcs = await this.#crcs.of(entry.digest, entry.size);
    if (crcs) {
      const onWhole = (): void => {
        this.#verified.mark(entry);
        this.#running.delete(entry);
      };
      return new PieceChecks(new Pieces(entry.size), crcs, this.#turns, onWhole);
    }
    const { digest, size } = entry;
    // Its id says nothing of its bytes: without their check sums nobody can tell whether they are right.
    if (isFileId(digest)) throw new BlobDamage('the check sums of its pieces are gone', false);
    const hash = this.#turns.take(() => this.#hasher.digestOf(digest, file, size));
    const actual = await hash.catch((error: unknown) => {
      throw new BlobDamage(describeError(error), false);
    });
    if (actual !== digest) throw new BlobDamage(`its bytes have the digest ${actual}`, true);
    this.#verified.mark(entry);
    return undefined;
  }
}

/** Which pieces of a blob were found right. */
class PieceChecks {
  readonly #pieces: Pieces;
  readonly #crcs: Uint32Array;
  readonly #turns: Turns;
  readonly #onWhole: () => void;
  readonly #right: Uint8Array;
  #left: number;
  readonly #checking = new Map<number, Promise<void>>();

  constructor(pieces: Pieces, crcs: Uint32Array, turns: Turns, onWhole: () => void) {
    this.#pieces = pieces;
    this.#crcs = crcs;
    this.#turns = turns;
    this.#onWhole = onWhole;
    this.#right = new Uint8Array(pieces.count);
    this.#left = pieces.count;
  }

  /** Resolves once all pieces with bytes from `start` to `end` (exclusive) are known to be right. Rejects with `BlobDamage`. */
  async check(file: OpenFile, start: number, end: number): Promise<void> {
    const last = this.#pieces.at(Math.min(end, this.#pieces.blobSize) - 1);
    for (let piece = this.#pieces.at(start); piece <= last; piece += 1) {
      if (this.#right[piece] === 1) continue;
      let checking = this.#checking.get(piece);
      if (!checking) {
        checking = this.#check(file, piece).finally(() => this.#checking.delete(piece));
        this.#checking.set(piece, checking);
      }
      await checking;
    }
  }

  /** Whether all pieces with bytes from `start` to `end` (exclusive) are known to be right. */
  isRight(start: number, end: number): boolean {
    for (let piece = this.#pieces.at(start); this.#pieces.start(piece) < end; piece += 1) {
      if (this.#right[piece] !== 1) return false;
    }
    return true;
  }

  async #check(file: OpenFile, piece: number): Promise<void> {
    const [start, end] = [this.#pieces.start(piece), this.#pieces.end(piece)];
    const crc = await this.#turns.take((buffer) => crcOf(file, start, end, buffer));
    if (crc === undefined) throw new BlobDamage(`bytes ${start} to ${end - 1} cannot be read`, false);
    if (crc !== this.#crcs[piece])
      throw new BlobDamage(`bytes ${start} to ${end - 1} are not those that were stored`, true);
    this.#right[piece] = 1;
    this.#left -= 1;
    if (this.#left === 0) this.#onWhole();
  }
}

class CheckedFile implements ReadableFile {
  readonly #file: OpenFile;
  readonly #checks: PieceChecks;

  constructor(file: OpenFile, checks: PieceChecks) {
    this.#file = file;
    this.#checks = checks;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    await this.#checks.check(this.#file, position, position + buffer.byteLength);
    return this.#file.read(buffer, position);
  }

  /** 0, which sends the caller to `read`, where the bytes are not known to be right. */
  readNow(buffer: Uint8Array, position: number): number {
    return this.#checks.isRight(position, position + buffer.byteLength) ? this.#file.readNow(buffer, position) : 0;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  closeNow(): Promise<void> {
    return this.#file.closeNow();
  }
}

/** At most `MAX_CHECKS` pieces of work at once, each with a buffer of its own. */
class Turns {
  readonly #idle: Buffer[] = [];
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  async take<T>(work: (buffer: Buffer) => Promise<T>): Promise<T> {
    if (this.#taken === MAX_CHECKS) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#taken += 1;
    const buffer = this.#idle.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
    try {
      return await work(buffer);
    } finally {
      this.#idle.push(buffer);
      // Who waits takes the place over.
      const next = this.#waiting.shift();
      if (next) next();
      else {
        this.#taken -= 1;
        if (this.#taken === 0) this.#idle.length = 0;
      }
    }
  }
}
