import { crc32 } from '../base/crc32.ts';
import { isOutOfDescriptors } from '../base/descriptors.ts';
import type { Digest } from '../base/digest.ts';
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { Pieces } from '../base/pieces.ts';
import { MiB } from '../base/units.ts';
import type { BlobShape } from './blob-store.ts';
import { LOOK_AT_DISK } from './errors.ts';
import { readWhole, unlinkIfThere } from './file-helpers.ts';
import type { FilePort, OpenFile } from './files.ts';
import {
  encodeHeader,
  HEADER_BYTES,
  headerCheckOf,
  JournalWriter,
  MAX_JOURNAL_BYTES,
  parseJournal,
  RECORD_BYTES,
  type JournalHeader,
} from './journal.ts';
import type { Layout } from './layout.ts';

const CHECK_BUFFER_BYTES = MiB;

/** The files of an incoming blob, and what of an earlier try is good. */
export interface OpenedIncoming {
  readonly file: OpenFile;
  /** Undefined for a blob of unknown size: it cannot be resumed. */
  readonly journal: JournalWriter | undefined;
  readonly kept: ReadonlyMap<number, number>;
  /** What the data file takes on the disk. */
  readonly allocatedBytes: number;
}

/**
 * Opens the files of an incoming blob. Where an earlier try is there (`isResumed`: it is looked for) with a journal for the same size
 * and piece size, its recorded pieces are read back, and those with the right CRC-32 are kept; else it starts over.
 */
export async function openIncoming(
  files: FilePort,
  layout: Layout,
  digest: Digest,
  shape: BlobShape & { readonly isResumed: boolean },
  log: Logger,
): Promise<OpenedIncoming> {
  const data = layout.incomingData(digest);
  const journal = layout.incomingJournal(digest);
  if (shape.size === undefined) {
    await unlinkIfThere(files, journal);
    return { file: await files.open(data, 'create'), journal: undefined, kept: new Map(), allocatedBytes: 0 };
  }
  const header: JournalHeader = { digest, size: shape.size, pieceSize: shape.pieceSize };
  const onError = (error: unknown): void =>
    log.warn(
      { code: 'STORE_JOURNAL_FAILED', digest, error: describeError(error), todo: LOOK_AT_DISK },
      'the journal of an incoming blob cannot be written; if the process ends, its further pieces are fetched anew',
    );
  const resumed = shape.isResumed ? await resume(files, data, journal, header, onError) : undefined;
  return resumed ?? startOver(files, data, journal, header, onError);
}

type OnJournalError = (error: unknown) => void;

async function startOver(
  files: FilePort,
  data: string,
  journal: string,
  header: JournalHeader,
  onError: OnJournalError,
): Promise<OpenedIncoming> {
  // Both at once: a client may be waiting for the first byte.
  const [opening, openingJournal] = [files.open(data, 'create'), files.open(journal, 'create')];
  openingJournal.catch(ignore);
  const file = await opening.catch(async (error: unknown) => {
    await openingJournal.then((opened) => opened.close(), ignore);
    throw error;
  });
  return closeOnError(file, async () => {
    const journalFile = await openingJournal;
    return closeOnError(journalFile, async () => {
      const bytes = encodeHeader(header);
      await journalFile.write(bytes, 0);
      const writer = new JournalWriter(journalFile, { headerCheck: headerCheckOf(bytes), end: bytes.length, onError });
      return { file, journal: writer, kept: new Map<number, number>(), allocatedBytes: 0 };
    });
  });
}

async function resume(
  files: FilePort,
  data: string,
  journal: string,
  header: JournalHeader,
  onError: OnJournalError,
): Promise<OpenedIncoming | undefined> {
  const bytes = await readWhole(files, journal, MAX_JOURNAL_BYTES).catch(unlessOutOfDescriptors);
  const earlier = bytes && parseJournal(bytes);
  if (!bytes || !earlier || !sameHeader(earlier.header, header)) return undefined;
  const file = await files.open(data, 'update').catch(unlessOutOfDescriptors);
  if (!file) return undefined;
  return closeOnError(file, async () => {
    if ((await file.stat()).size > header.size) await file.truncate(header.size);
    const kept = await goodPieces(file, header, earlier.pieces);
    const { allocatedBytes } = await file.stat();
    const journalFile = await files.open(journal, 'update');
    return closeOnError(journalFile, async () => {
      // After a torn last record the next ones would be out of step.
      const end = bytes.length - ((bytes.length - HEADER_BYTES) % RECORD_BYTES);
      await journalFile.truncate(end);
      const writer = new JournalWriter(journalFile, { headerCheck: headerCheckOf(bytes), end, onError });
      return { file, journal: writer, kept, allocatedBytes };
    });
  });
}

/** What cannot be read is no use, and it starts over; but without descriptors nothing can be read, and it would lose all. */
function unlessOutOfDescriptors(error: unknown): undefined {
  if (isOutOfDescriptors(error)) throw error;
}

function sameHeader(a: JournalHeader, b: JournalHeader): boolean {
  return a.digest === b.digest && a.size === b.size && a.pieceSize === b.pieceSize;
}

async function goodPieces(
  file: OpenFile,
  { size, pieceSize }: JournalHeader,
  recorded: ReadonlyMap<number, number>,
): Promise<Map<number, number>> {
  const pieces = new Pieces(size, pieceSize);
  const buffer = Buffer.allocUnsafe(Math.min(pieceSize, CHECK_BUFFER_BYTES));
  const good = new Map<number, number>();
  for (const [piece, crc] of recorded) {
    const actual = await crcOf(file, pieces.start(piece), pieces.end(piece), buffer);
    if (actual === crc) good.set(piece, crc);
  }
  return good;
}

/** The CRC-32 of a stretch of a file; undefined where the file ends before, or cannot be read there. */
export async function crcOf(file: OpenFile, start: number, end: number, buffer: Buffer): Promise<number | undefined> {
  let crc = 0;
  for (let at = start; at < end;) {
    const count = await file.read(buffer.subarray(0, Math.min(buffer.length, end - at)), at).catch(() => 0);
    if (count === 0) return undefined;
    crc = crc32(buffer.subarray(0, count), crc);
    at += count;
  }
  return crc;
}

function ignore(): void {}

async function closeOnError<T>(file: OpenFile, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await file.close();
    throw error;
  }
}
