import fc from 'fast-check';
import t from 'tap';
import { digestOf, fileIdOf } from '../../src/base/digest.ts';
import {
  encodeHeader,
  encodeRecord,
  HEADER_BYTES,
  headerCheckOf,
  JournalWriter,
  parseJournal,
  RECORD_BYTES,
  type JournalHeader,
} from '../../src/store/journal.ts';
import type { OpenFile } from '../../src/store/files.ts';

const header = fc
  .record({
    seed: fc.string(),
    kind: fc.constantFrom('sha256' as const, 'sha512' as const, 'file' as const),
    pieceSize: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    size: fc.maxSafeNat(),
  })
  .map(({ seed, kind, pieceSize, size }): JournalHeader => ({
    digest: kind === 'file' ? fileIdOf(seed) : digestOf(seed, kind),
    pieceSize,
    size,
  }));
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });

/** A journal with its records, whose pieces all exist. */
const journal = fc
  .tuple(header, fc.array(fc.tuple(fc.nat({ max: 500 }), uint32), { maxLength: 20 }))
  .map(([header, records]) => {
    const count = Math.ceil(header.size / header.pieceSize);
    const inside = records.filter(([piece]) => piece < count);
    const head = encodeHeader(header);
    const bytes = Buffer.concat([head, ...inside.map(([piece, crc]) => encodeRecord(headerCheckOf(head), piece, crc))]);
    return { header, records: inside, bytes };
  });

t.test('what was written is read back: header and records, the last of each piece', async (t) => {
  fc.assert(
    fc.property(journal, ({ header, records, bytes }) => {
      t.equal(bytes.length, HEADER_BYTES + records.length * RECORD_BYTES);
      const parsed = parseJournal(bytes);
      t.strictSame(parsed?.header, header);
      t.strictSame(parsed?.pieces, new Map(records));
    }),
  );
});

t.test('a torn journal gives the records before the tear', async (t) => {
  fc.assert(
    fc.property(journal, fc.nat(), ({ records, bytes }, cut) => {
      const length = cut % (bytes.length + 1);
      const parsed = parseJournal(bytes.subarray(0, length));
      if (length < HEADER_BYTES) t.equal(parsed, undefined);
      else t.strictSame(parsed?.pieces, new Map(records.slice(0, Math.floor((length - HEADER_BYTES) / RECORD_BYTES))));
    }),
  );
});

t.test('a garbled journal never gives what was not recorded', async (t) => {
  fc.assert(
    fc.property(
      journal,
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 3 }),
      ({ header, records, bytes }, flips) => {
        const garbled = Buffer.from(bytes);
        for (const [at, mask] of flips) garbled[at % garbled.length]! ^= mask;
        const parsed = parseJournal(garbled);
        if (!parsed) return;
        t.strictSame(parsed.header, header);
        for (const [piece, crc] of parsed.pieces) {
          t.ok(records.some((record) => record[0] === piece && record[1] === crc));
        }
      },
    ),
  );
});

t.test('any bytes are a journal or not, never an error', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      t.equal(parseJournal(Buffer.from(bytes)), undefined);
    }),
  );
});

t.test('records of another journal, and of pieces that the blob does not have, do not count', async (t) => {
  const one = encodeHeader({ digest: digestOf('one'), size: 3000, pieceSize: 1000 });
  const two = encodeHeader({ digest: digestOf('two'), size: 3000, pieceSize: 1000 });
  const records = [
    encodeRecord(headerCheckOf(one), 0, 10),
    encodeRecord(headerCheckOf(two), 1, 11),
    encodeRecord(headerCheckOf(one), 3, 13),
    Buffer.alloc(RECORD_BYTES),
    encodeRecord(headerCheckOf(one), 2, 12),
  ];
  t.strictSame(
    parseJournal(Buffer.concat([one, ...records]))?.pieces,
    new Map([
      [0, 10],
      [2, 12],
    ]),
  );
});

/** A file in memory whose writes end when they are told to. */
function slowFile(): { file: OpenFile; writes: { position: number; bytes: Buffer; end: (error?: Error) => void }[] } {
  const writes: { position: number; bytes: Buffer; end: (error?: Error) => void }[] = [];
  const file = {
    write: (bytes: Uint8Array, position: number) =>
      new Promise<void>((resolve, reject) => {
        const end = (error?: Error): void => {
          if (error) reject(error);
          else resolve();
        };
        writes.push({ position, bytes: Buffer.from(bytes), end });
      }),
    close: () => Promise.resolve(),
  } as Partial<OpenFile> as OpenFile;
  return { file, writes };
}

t.test('what is recorded during a write goes out together in the next', async (t) => {
  const { file, writes } = slowFile();
  const errors: unknown[] = [];
  const writer = new JournalWriter(file, { headerCheck: 7, end: 100, onError: (error) => errors.push(error) });
  writer.append(1, 11);
  writer.append(2, 22);
  writer.append(3, 33);
  t.equal(writes.length, 1);
  const closing = writer.close();
  writes[0]!.end();
  while (writes.length < 2) await Promise.resolve();
  writes[1]!.end();
  await closing;
  t.strictSame(
    writes.map(({ position, bytes }) => ({ position, bytes })),
    [
      { position: 100, bytes: encodeRecord(7, 1, 11) },
      { position: 100 + RECORD_BYTES, bytes: Buffer.concat([encodeRecord(7, 2, 22), encodeRecord(7, 3, 33)]) },
    ],
  );
  t.same(errors, []);
});

t.test('after an error the journal is over, and closes all the same', async (t) => {
  const { file, writes } = slowFile();
  const errors: unknown[] = [];
  const writer = new JournalWriter(file, { headerCheck: 7, end: 0, onError: (error) => errors.push(error) });
  writer.append(1, 11);
  writer.append(2, 22);
  const broken = new Error('disk');
  writes[0]!.end(broken);
  await writer.close();
  writer.append(3, 33);
  t.equal(writes.length, 1);
  t.same(errors, [broken]);
});
