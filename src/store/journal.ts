import { crc32 } from '../base/crc32.ts';
import { digestHex, digestKind, parseBlobId, type Digest, type DigestKind } from '../base/digest.ts';
import { MiB } from '../base/units.ts';
import type { OpenFile } from './files.ts';

/**
 * The journal of an incoming blob: which pieces are there, with their CRC-32. A header, then records, all of fixed length and
 * big-endian:
 *
 *     header  magic and version (8) | kind of digest (1) | digest (64, zero-padded) | size (8) | piece size (4) | CRC-32 of these (4)
 *     record  piece (4) | CRC-32 of the piece's bytes (4) | CRC-32 of the header's check and these eight bytes (4)
 *
 * It is only appended to and never synced: what it says is checked against the data before it is believed. A record that
 * does not check out (torn, garbled, of another journal) is passed over; of several for one piece the last counts.
 */
const MAGIC = Buffer.from('hwkjrnl1', 'latin1');
const KIND_CODES: Record<DigestKind, number> = { sha256: 1, sha512: 2, file: 3 };
const DIGEST_OFFSET = 9;
const DIGEST_BYTES = 64;
const SIZE_OFFSET = DIGEST_OFFSET + DIGEST_BYTES;
const PIECE_SIZE_OFFSET = SIZE_OFFSET + 8;
const CHECK_OFFSET = PIECE_SIZE_OFFSET + 4;
export const HEADER_BYTES = CHECK_OFFSET + 4;
export const RECORD_BYTES = 12;
/** A journal beyond this (over five million records) is not read; its blob starts over. */
export const MAX_JOURNAL_BYTES = 64 * MiB;

/** What a journal is about. Sizes in bytes. */
export interface JournalHeader {
  readonly digest: Digest;
  readonly size: number;
  readonly pieceSize: number;
}

export function encodeHeader({ digest, size, pieceSize }: JournalHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt8(KIND_CODES[digestKind(digest)], MAGIC.length);
  bytes.write(digestHex(digest), DIGEST_OFFSET, 'hex');
  bytes.writeBigUInt64BE(BigInt(size), SIZE_OFFSET);
  bytes.writeUInt32BE(pieceSize, PIECE_SIZE_OFFSET);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, CHECK_OFFSET)), CHECK_OFFSET);
  return bytes;
}

export function encodeRecord(headerCheck: number, piece: number, pieceCrc32: number): Buffer {
  const bytes = Buffer.allocUnsafe(RECORD_BYTES);
  bytes.writeUInt32BE(piece, 0);
  bytes.writeUInt32BE(pieceCrc32, 4);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 8), headerCheck), 8);
  return bytes;
}

/** The check of an encoded header: what ties records to it. */
export function headerCheckOf(header: Buffer): number {
  return header.readUInt32BE(CHECK_OFFSET);
}

/** What can be believed of a journal's bytes; undefined where the header is not one. Never throws. */
export function parseJournal(bytes: Buffer): { header: JournalHeader; pieces: Map<number, number> } | undefined {
  const header = parseHeader(bytes);
  if (!header) return undefined;
  const check = headerCheckOf(bytes);
  const count = Math.ceil(header.size / header.pieceSize);
  const pieces = new Map<number, number>();
  for (let at = HEADER_BYTES; at + RECORD_BYTES <= bytes.length; at += RECORD_BYTES) {
    const piece = bytes.readUInt32BE(at);
    if (piece >= count || bytes.readUInt32BE(at + 8) !== crc32(bytes.subarray(at, at + 8), check)) continue;
    pieces.set(piece, bytes.readUInt32BE(at + 4));
  }
  return { header, pieces };
}

function parseHeader(bytes: Buffer): JournalHeader | undefined {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  if (headerCheckOf(bytes) !== crc32(bytes.subarray(0, CHECK_OFFSET))) return undefined;
  const code = bytes.readUInt8(MAGIC.length);
  const kind = (Object.keys(KIND_CODES) as DigestKind[]).find((one) => KIND_CODES[one] === code);
  const hexLength = kind === 'sha512' ? 2 * DIGEST_BYTES : DIGEST_BYTES;
  const hex = bytes.toString('hex', DIGEST_OFFSET, DIGEST_OFFSET + DIGEST_BYTES);
  const digest = parseBlobId(`${kind}:${hex.slice(0, hexLength)}`);
  const size = Number(bytes.readBigUInt64BE(SIZE_OFFSET));
  const pieceSize = bytes.readUInt32BE(PIECE_SIZE_OFFSET);
  if (!digest || !Number.isSafeInteger(size) || pieceSize === 0) return undefined;
  return { digest, size, pieceSize };
}

/**
 * Appends to a journal in the background: what is recorded while a write is under way goes out together in the next. The first
 * error ends the journal (the blob then cannot be resumed as far as it could, no more) and goes to `onError`.
 */
export class JournalWriter {
  readonly #file: OpenFile;
  readonly #headerCheck: number;
  readonly #onError: (error: unknown) => void;
  #end: number;
  #waiting: Buffer[] = [];
  #writing: Promise<void> | undefined;
  #failed = false;

  /** `end`: where the next record goes, in bytes. */
  constructor(file: OpenFile, options: { headerCheck: number; end: number; onError: (error: unknown) => void }) {
    this.#file = file;
    this.#headerCheck = options.headerCheck;
    this.#end = options.end;
    this.#onError = options.onError;
  }

  append(piece: number, pieceCrc32: number): void {
    if (this.#failed) return;
    this.#waiting.push(encodeRecord(this.#headerCheck, piece, pieceCrc32));
    this.#writing ??= this.#write();
  }

  /** Waits for what was appended, and closes the file. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const bytes = Buffer.concat(this.#waiting);
        this.#waiting = [];
        await this.#file.write(bytes, this.#end);
        this.#end += bytes.length;
      }
    } catch (error) {
      this.#failed = true;
      this.#waiting = [];
      this.#onError(error);
    }
    this.#writing = undefined;
  }
}
