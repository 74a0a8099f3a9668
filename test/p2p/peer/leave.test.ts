import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { Pieces } from '../../../src/base/pieces.ts';
import { NOWHERE, placeOf, type Shown } from '../../../src/base/shown.ts';
import { MiB } from '../../../src/base/units.ts';
import { BlobNotProved } from '../../../src/p2p/peer/errors.ts';
import { Leave, shownBy } from '../../../src/p2p/peer/leave.ts';
import type { Reader } from '../../../src/p2p/peer/reader.ts';
import { readWitness, type Witness } from '../../../src/p2p/peer/witness.ts';
import { ShownBlobs } from '../../../src/store/shown-blobs.ts';

const CONTENT = randomBytes(4 * MiB);
const DIGEST = digestOf(CONTENT);
const APP = 'registry.test/org/app';
const OTHER = 'registry.test/org/other';
const at = (...names: string[]): Shown['at'] => new Set(names.map(placeOf));

/** Bytes of a blob that are here up to `end`. */
class Bytes {
  readonly content = Buffer.from(CONTENT);
  readonly pieces = new Pieces(CONTENT.length);
  readonly size = CONTENT.length;
  keptPieces = new Map<number, number>();
  losses = 0;
  end = CONTENT.length;

  read(buffer: Uint8Array, position: number): Promise<number> {
    return Promise.resolve(this.content.copy(buffer, 0, position));
  }

  covers(start: number, end: number): boolean {
    return start >= 0 && end <= this.end;
  }

  endFrom(): number {
    return this.end;
  }

  startOfPiece(piece: number): number {
    return this.pieces.start(piece);
  }

  pieceEndAt(position: number): number {
    return this.pieces.end(this.pieces.at(position));
  }
}

async function rig(t: Test, before?: Shown) {
  const book = ShownBlobs.open(t.testdir({ v1: {} }));
  if (before) await book.note(DIGEST, before);
  const bytes = new Bytes();
  return { book, bytes, leave: new Leave(DIGEST, bytes, book) };
}

/** Who reads at a registry that knows `known`, and what that was asked for. */
function readerAt(name: string, { isOpen = false, known = CONTENT } = {}) {
  const asked: Witness[] = [];
  const prove = async (witness: Witness): Promise<void> => {
    asked.push(witness);
    const { start, end } = witness;
    if ((await readWitness(witness, start, end - start)).equals(known.subarray(start, end))) return;
    throw new BlobNotProved({ host: name, repository: '', digest: DIGEST, seen: 'other bytes' });
  };
  const origin = { kind: 'origin' as const, name, isOpen, read: () => Promise.resolve() };
  const reader = { prove, place: placeOf(name), origin, proven: undefined } as unknown as Reader;
  return { reader, asked };
}

t.test('who reads where all that is here was read goes on; others prove it piece by piece', async (t) => {
  const { book, bytes, leave } = await rig(t);
  await leave.takes(shownBy({ name: APP }));
  t.same(book.get(DIGEST), { at: at(APP), isWhole: false }, 'noted before the bytes are kept');
  t.equal(leave.upTo(readerAt(APP).reader, 0, 3 * MiB), 3 * MiB);
  const { reader, asked } = readerAt(OTHER);
  t.equal(leave.upTo(reader, MiB + 5, 3 * MiB), MiB + 5);
  await leave.ask(reader, MiB + 5);
  t.match(asked, [{ start: MiB, end: 2 * MiB, isVerified: false }]);
  t.equal(leave.upTo(reader, MiB + 5, 3 * MiB), 2 * MiB);
  t.equal(leave.upTo(reader, 2 * MiB, 3 * MiB), 2 * MiB, 'not the next one');
  bytes.losses += 1;
  t.equal(leave.upTo(reader, MiB + 5, 3 * MiB), MiB + 5, 'nor what was read anew since');
  await t.rejects(leave.ask(readerAt(OTHER, { known: Buffer.alloc(4 * MiB) }).reader, 0), { code: 'BLOB_NOT_PROVED' });
});

t.test('I4: garbage of the claiming registry’s own is no proof of what others have brought', async (t) => {
  const { bytes, leave } = await rig(t);
  const garbage = Buffer.alloc(4 * MiB, 'x');
  garbage.copy(bytes.content, 0, 0, MiB);
  const { reader } = readerAt(OTHER, { known: garbage });
  await leave.takes(shownBy({ name: OTHER }));
  t.equal(leave.upTo(reader, 0, MiB), MiB, 'its own');
  await leave.takesPiece({ at: at(APP), isWhole: false }, [CONTENT.subarray(MiB, 2 * MiB)], MiB);
  await leave.ask(reader, 0);
  t.equal(leave.upTo(reader, 0, 4 * MiB), MiB);
  await t.rejects(leave.ask(reader, MiB), { code: 'BLOB_NOT_PROVED' });
  await leave.takesPiece({ at: at(APP), isWhole: true }, [CONTENT.subarray(2 * MiB, 3 * MiB)], 2 * MiB);
  await t.rejects(leave.ask(reader, 0), { code: 'BLOB_NOT_PROVED' }, 'a whole one’s bytes are what counts');
  leave.verified();
  t.same(leave.shown, { at: NOWHERE, isWhole: true });
});

t.test('a proof by bytes of a whole one is once for all, and is passed on', async (t) => {
  for (const isOpen of [false, true]) {
    const { book, leave } = await rig(t);
    await leave.takesPiece(
      { at: at(APP), isWhole: true },
      [CONTENT.subarray(0, MiB / 2), CONTENT.subarray(MiB / 2, MiB)],
      0,
    );
    const { reader, asked } = readerAt(OTHER, { isOpen });
    await leave.ask(reader, 3 * MiB);
    t.equal(asked.length, 1);
    t.ok(asked[0]!.end <= MiB && asked[0]!.end - asked[0]!.start >= 64);
    t.equal(leave.upTo(reader, 0, 4 * MiB), 4 * MiB);
    t.same(leave.shown.at, isOpen ? 'all' : at(APP, OTHER));
    leave.verified();
    t.same(book.get(DIGEST), { at: isOpen ? 'all' : at(APP, OTHER), isWhole: true });
  }
});

t.test('what is read without a credential is for everybody', async (t) => {
  const { book, leave } = await rig(t);
  await leave.takes(shownBy({ name: APP, isOpen: true }));
  await leave.takesPiece({ at: 'all', isWhole: false }, [], 0);
  t.equal(leave.upTo(readerAt(OTHER).reader, 0, MiB), MiB);
  leave.verified();
  t.same(book.get(DIGEST), { at: 'all', isWhole: true });
  leave.dropped();
  t.ok(book.get(DIGEST), 'a whole one stays');
});

t.test('what an earlier try has left is what was noted of it, else unknown', async (t) => {
  for (const [before, isHere] of [
    [undefined, false],
    [{ at: at(APP), isWhole: false }, true],
    [{ at: 'all', isWhole: false }, true],
  ] as const) {
    const { book, bytes, leave } = await rig(t, before);
    bytes.keptPieces.set(0, 1);
    t.equal(leave.upTo(readerAt(APP).reader, 0, MiB), isHere ? MiB : 0);
    await leave.takes(shownBy({ name: OTHER }));
    t.equal(leave.upTo(readerAt(OTHER).reader, 0, MiB), before?.at === 'all' ? MiB : 0);
    if (before) t.same(book.get(DIGEST)!.at, before.at === 'all' ? at(OTHER) : NOWHERE);
    leave.dropped();
    t.equal(book.get(DIGEST), undefined);
  }
});

t.test('what was known of the whole blob once is known again', async (t) => {
  const { leave } = await rig(t, { at: 'all', isWhole: true });
  await leave.takes(shownBy({ name: APP }));
  t.equal(leave.upTo(readerAt(OTHER).reader, 0, MiB), MiB);
});

t.test('I4: a piece of which nothing is said is nobody’s', async (t) => {
  const { bytes, leave } = await rig(t);
  await leave.takesPiece(undefined, [], 0);
  const { reader, asked } = readerAt(APP);
  t.equal(leave.upTo(reader, 0, MiB), 0);
  await leave.ask(reader, 0);
  t.equal(leave.upTo(reader, 0, MiB), MiB);
  leave.verified();
  await leave.ask(reader, 0);
  t.match(asked.at(-1), { start: 0, end: bytes.size, isVerified: true });
  t.equal(leave.upTo(reader, 0, bytes.size), bytes.size);
  const none = new Leave(DIGEST, bytes, undefined);
  await none.takesPiece(undefined, [], 0);
  t.equal(none.upTo(reader, 0, MiB), MiB, 'where nobody has to show anything');
});
