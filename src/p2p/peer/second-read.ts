import { createHash, type Hash } from 'node:crypto';
import { crc32 } from '../../base/crc32.ts';
import type { Pieces } from '../../base/pieces.ts';
import { MiB } from '../../base/units.ts';
import type { RunTarget } from './run-writer.ts';

/** The bytes that are here, as a second read sees them. */
export interface ReplaceTarget {
  readonly pieces: Pieces;
  hasPiece(piece: number): boolean;
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** What is here of the piece is another: it is to be missing. False: it may not be replaced any more. */
  lose(piece: number): Promise<boolean>;
  /** Writes a part of a missing piece. */
  patch(bytes: Buffer, position: number): Promise<void>;
  /** All parts of a missing piece are written. */
  restore(piece: number, crc32: number): void;
}

/** What was read for a piece; the SHA-256 in base64url. */
export interface Reading {
  readonly piece: number;
  readonly crc32: number;
  readonly sha256: string;
}

interface OpenPiece {
  readonly piece: number;
  readonly hash: Hash;
  crc: number;
  /** What is read goes into the file: it differs from what was there, or nothing was. */
  replaces: boolean;
}

/**
 * A run of whole pieces that is read from the origin though it may be here: each piece is hashed and compared with what is
 * here, which is replaced where it differs. What this proxy has read itself, and last, is what it believes.
 */
export class SecondRead implements Pick<RunTarget, 'store'> {
  readonly #target: ReplaceTarget;
  readonly #told: (reading: Reading) => void;
  #tail = Promise.resolve();
  #open: OpenPiece | undefined;
  readonly #lost = new Set<number>();

  /** `told` is called with each piece that has been read. */
  constructor(target: ReplaceTarget, told: (reading: Reading) => void) {
    this.#target = target;
    this.#told = told;
  }

  /** Pieces that were here and are missing now, as the read has ended within them. */
  get broken(): Iterable<number> {
    return this.#lost;
  }

  /** One after another: writes of one read overlap. */
  store(bytes: Buffer, position: number): Promise<void> {
    this.#tail = this.#tail.then(() => this.#take(bytes, position));
    return this.#tail;
  }

  async #take(bytes: Buffer, position: number): Promise<void> {
    const { pieces } = this.#target;
    for (let at = position, end = position + bytes.length; at < end;) {
      const piece = pieces.at(at);
      const until = Math.min(end, pieces.end(piece));
      await this.#takePart(piece, bytes.subarray(at - position, until - position), at);
      at = until;
    }
  }

  async #takePart(piece: number, part: Buffer, at: number): Promise<void> {
    const target = this.#target;
    if (at === target.pieces.start(piece)) {
      this.#open = { piece, hash: createHash('sha256'), crc: 0, replaces: !target.hasPiece(piece) };
    }
    const open = this.#open!;
    open.hash.update(part);
    open.crc = crc32(part, open.crc);
    if (!open.replaces && !(await this.#isSame(part, at))) {
      open.replaces = await target.lose(piece);
      if (open.replaces) this.#lost.add(piece);
    }
    if (open.replaces) await target.patch(part, at);
    if (at + part.length < target.pieces.end(piece)) return;
    if (open.replaces) target.restore(piece, open.crc);
    this.#lost.delete(piece);
    this.#told({ piece, crc32: open.crc, sha256: open.hash.digest('base64url') });
  }

  async #isSame(part: Buffer, position: number): Promise<boolean> {
    const buffer = Buffer.allocUnsafe(Math.min(part.length, MiB));
    for (let done = 0; done < part.length;) {
      const count = await this.#target.read(buffer.subarray(0, part.length - done), position + done);
      if (count === 0 || !buffer.subarray(0, count).equals(part.subarray(done, done + count))) return false;
      done += count;
    }
    return true;
  }
}
