import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { digestOf, type Digest } from '../../../src/base/digest.ts';
import { NO_PRESSURE, type PressureLevel, type PressureView } from '../../../src/base/pressure.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { Metrics } from '../../../src/base/metrics.ts';
import { KiB, MiB } from '../../../src/base/units.ts';
import { BufferPool } from '../../../src/http/buffer-pool.ts';
import { READ_AHEAD_BYTES } from '../../../src/p2p/peer/demand.ts';
import { IDLE_MS } from '../../../src/p2p/peer/download.ts';
import { Downloads, MAX_DOWNLOADS, type OpenBlob } from '../../../src/p2p/peer/downloads.ts';
import { HELD_BACK_BYTES } from '../../../src/p2p/peer/release.ts';
import { SoloCoordinator } from '../../../src/p2p/peer/solo-coordinator.ts';
import type { Coordinator } from '../../../src/p2p/protocol/coordinator.ts';
import type { IncomingBlob } from '../../../src/store/blob-store.ts';
import { StoreNoRoom } from '../../../src/store/errors.ts';
import { PrivateBlobs } from '../../../src/store/private-blobs.ts';
import { OriginNotFound } from '../../../src/registry/errors.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { PATIENCE_MS } from '../../support/patience.ts';
import { ScriptedSource } from '../../support/scripted-source.ts';

const never = new AbortController().signal;

function rig(
  options: { quotaBytes?: number; pressure?: PressureView; privateBlobs?: PrivateBlobs; sharesPrivate?: boolean } = {},
  store = new MemoryStore(options),
) {
  const clock = new ManualClock();
  const metrics = new Metrics();
  const coordinator = new SoloCoordinator({ clock, random: () => 0.5 });
  const pool = new BufferPool();
  const { pressure = NO_PRESSURE, privateBlobs, sharesPrivate } = options;
  const around = {
    pool,
    clock,
    log: silentLogger,
    metrics,
    pressure,
    ...(privateBlobs && { privateBlobs }),
    ...(sharesPrivate && { sharesPrivate }),
  };
  const downloads = new Downloads({ store, coordinator, solo: coordinator, ...around });
  return { clock, store, downloads, metrics };
}

function blobOf(size: number, name?: string): { digest: Digest; source: ScriptedSource; bytes: Buffer } {
  const bytes = randomBytes(size);
  return { bytes, digest: digestOf(bytes), source: new ScriptedSource(bytes, name) };
}

function request(blob: { digest: Digest; source: ScriptedSource; bytes: Buffer }, known = true) {
  return { digest: blob.digest, origin: blob.source, size: known ? blob.bytes.length : undefined };
}

/** A store that takes its time to open an incoming file. */
class SlowlyOpening extends MemoryStore {
  go: () => void = () => undefined;
  fail: (error: Error) => void = () => undefined;

  override async receive(...[digest, shape]: Parameters<MemoryStore['receive']>): Promise<IncomingBlob> {
    await new Promise<void>((resolve, reject) => {
      this.go = resolve;
      this.fail = reject;
    });
    return super.receive(digest, shape);
  }
}

/** A store that writes nothing until it is told to. */
class SlowlyWriting extends MemoryStore {
  writtenTo = 0;
  go: () => void = () => undefined;
  readonly #gate = new Promise<void>((resolve) => {
    this.go = resolve;
  });

  override async receive(...[digest, shape]: Parameters<MemoryStore['receive']>): Promise<IncomingBlob> {
    const incoming = await super.receive(digest, shape);
    const write = incoming.write.bind(incoming);
    incoming.write = async (buffer, position) => {
      await this.#gate;
      await write(buffer, position);
      this.writtenTo = position + buffer.length;
    };
    return incoming;
  }
}

/** Reads from `start` as a response does, until the end, or until what is released reaches `until`. */
async function readFrom(blob: OpenBlob, start: number, end = blob.size): Promise<Buffer> {
  const parts: Buffer[] = [];
  const buffer = Buffer.alloc(100_000);
  for (let at = start; at < end;) {
    const ready = Math.min(await blob.ready(at), end);
    const count = await blob.read(buffer.subarray(0, Math.min(buffer.length, ready - at)), at);
    parts.push(Buffer.from(buffer.subarray(0, count)));
    at += count;
  }
  return Buffer.concat(parts);
}

async function until(t: Test, what: string, condition: () => boolean): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !condition() && performance.now() < end;) {
    await new Promise((resolve) => {
      setTimeout(resolve, 1);
    });
  }
  if (!condition()) t.fail(`waited in vain: ${what}`);
}

/** Lets time pass while `work` is done. */
async function ticking(clock: ManualClock, work: () => Promise<unknown>): Promise<void> {
  const timer = setInterval(() => void clock.advance(2000), 2);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
}

t.test('a blob comes in once for many clients, and is in the store afterwards', async (t) => {
  const { downloads, store } = rig();
  const blob = blobOf(5 * MiB + 12_345);
  const bodies = await Promise.all(Array.from({ length: 8 }, () => downloads.open(request(blob), undefined, never)));
  const all = await Promise.all(bodies.map((body) => readFrom(body, 0)));
  for (const bytes of all) t.ok(bytes.equals(blob.bytes));
  t.same(blob.source.reads, [{ start: 0, end: undefined }], 'one plain read');
  t.equal(bodies[0]!.sourceAt(0), 'origin');
  for (const body of bodies) body.close();
  await until(t, 'published', () => store.sizeOf(blob.digest) === blob.bytes.length);
  const again = await downloads.open(request(blob), undefined, never);
  t.ok((await readFrom(again, 0)).equals(blob.bytes));
  t.equal(again.sourceAt(0), 'store');
  again.close();
  t.equal(blob.source.reads.length, 1);
  t.equal(downloads.sizeOf(blob.digest), blob.bytes.length);
});

t.test('bytes go out while the blob comes in, but not the end before the digest is known', async (t) => {
  const { downloads } = rig();
  const blob = blobOf(3 * MiB);
  blob.source.holdAt = 2 * MiB;
  const body = await downloads.open(request(blob), undefined, never);
  t.ok((await readFrom(body, 0, 2 * MiB)).equals(blob.bytes.subarray(0, 2 * MiB)), 'what has come has gone out');
  blob.source.release(3 * MiB - 1);
  const heldFrom = blob.bytes.length - HELD_BACK_BYTES;
  await readFrom(body, 2 * MiB, heldFrom);
  let released = false;
  const rest = body.ready(heldFrom).then((end) => {
    released = true;
    return end;
  });
  await new Promise((resolve) => {
    setTimeout(resolve, 20);
  });
  t.notOk(released, 'all but the last byte is here: the end waits');
  blob.source.release();
  t.equal(await rest, blob.bytes.length);
  body.close();
});

t.test('a small blob is verified before its first byte', async (t) => {
  const { downloads } = rig();
  const blob = blobOf(MiB);
  blob.source.mishaps.push({ flip: MiB - 1 }, { flip: 3 });
  await t.rejects(downloads.open(request(blob), undefined, never), { code: 'BLOB_DIGEST_MISMATCH' });
  t.equal(blob.source.reads.length, 2, 'no more than that');
  const body = await downloads.open(request(blob), { start: 100, end: 200 }, never);
  t.ok((await readFrom(body, 100, 200)).equals(blob.bytes.subarray(100, 200)), 'nothing of the lie was kept');
  body.close();
});

t.test('wrong bytes that have reached nobody are fetched once more, for all who wait', async (t) => {
  const { downloads } = rig();
  const blob = blobOf(MiB);
  blob.source.mishaps.push({ flip: MiB - 1 });
  const bodies = await Promise.all([1, 2].map(() => downloads.open(request(blob), undefined, never)));
  for (const body of bodies) {
    t.ok((await readFrom(body, 0)).equals(blob.bytes));
    body.close();
  }
  t.equal(blob.source.reads.length, 2);
});

t.test('wrong bytes never make a whole response, and are not kept', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(2 * MiB + 1000), async (flip) => {
      const { downloads, store } = rig();
      const blob = blobOf(2 * MiB + 1001);
      blob.source.mishaps.push({ flip });
      const body = await downloads.open(request(blob), undefined, never);
      const outcome = await readFrom(body, 0).then(
        () => 'whole',
        (error: { code: string }) => error.code,
      );
      body.close();
      const fresh = await downloads.open(request(blob), undefined, never);
      const good = (await readFrom(fresh, 0)).equals(blob.bytes);
      fresh.close();
      return outcome === 'BLOB_DIGEST_MISMATCH' && good && store.sizeOf(blob.digest) === blob.bytes.length;
    }),
    { numRuns: 8 },
  );
});

t.test('what an earlier try has left wrong is read again; readers that have had it are cut off', async (t) => {
  const { downloads, store, clock, metrics } = rig();
  const blob = blobOf(6 * MiB);
  blob.source.mishaps.push({ flip: MiB + 5 });
  blob.source.holdAt = 4 * MiB;
  const first = await downloads.open(request(blob), undefined, never);
  await readFrom(first, 0, 4 * MiB);
  first.close();
  await clock.advance(IDLE_MS);
  blob.source.release();
  await until(t, 'left idle', () => downloads.list().length === 0);
  const kept = blob.source.given;
  // Breaks off while it reads the kept pieces again, within a piece.
  blob.source.mishaps.push({}, { after: MiB + 100 });
  blob.source.holdAt = 5 * MiB;
  const early = await downloads.open(request(blob), undefined, never);
  const late = await downloads.open(request(blob), { start: 2 * MiB }, never);
  await readFrom(early, 0, 2 * MiB);
  blob.source.release();
  await ticking(clock, async () => {
    await t.rejects(readFrom(early, 2 * MiB), { code: 'BLOB_PIECE_WRONG' });
    t.ok((await readFrom(late, 2 * MiB)).equals(blob.bytes.subarray(2 * MiB)), 'who has had none of it is served');
  });
  early.close();
  late.close();
  await until(t, 'stored', () => store.sizeOf(blob.digest) !== undefined);
  const again = await downloads.open(request(blob), undefined, never);
  t.ok((await readFrom(again, 0)).equals(blob.bytes));
  again.close();
  t.ok(blob.source.given <= 6 * MiB + kept + MiB, 'what it had read itself was not read again');
  t.match(await metrics.registry.metrics(), 'hawker_bad_pieces_total{reason="dispute"} 1');
});

t.test('what is wrong all the same when it was read again is not kept', async (t) => {
  const { downloads, store, clock } = rig();
  const blob = blobOf(4 * MiB);
  blob.source.mishaps.push({ flip: 5 });
  blob.source.holdAt = 2 * MiB;
  const first = await downloads.open(request(blob), undefined, never);
  await readFrom(first, 0, 2 * MiB);
  first.close();
  await clock.advance(IDLE_MS);
  blob.source.release();
  await until(t, 'left idle', () => downloads.list().length === 0);
  blob.source.mishaps.push({}, { flip: 5 });
  const second = await downloads.open(request(blob), undefined, never);
  await t.rejects(readFrom(second, 0), { code: 'BLOB_DIGEST_MISMATCH' });
  second.close();
  const third = await downloads.open(request(blob), undefined, never);
  t.ok((await readFrom(third, 0)).equals(blob.bytes), 'it starts over');
  third.close();
  await until(t, 'stored', () => store.sizeOf(blob.digest) !== undefined);
});

t.test('an origin that breaks off, again and again, is read on from where it stopped', async (t) => {
  const { downloads, clock } = rig();
  const blob = blobOf(4 * MiB);
  blob.source.mishaps.push({ after: MiB + 7 }, { after: 1 }, { after: 500_000, short: true });
  const body = await downloads.open(request(blob), undefined, never);
  await ticking(clock, async () => t.ok((await readFrom(body, 0)).equals(blob.bytes), 'the client never notices'));
  t.same(
    blob.source.reads.map((read) => read.start),
    [0, MiB + 7, MiB + 8, MiB + 8 + 500_000],
    'no byte was asked for twice',
  );
  body.close();
});

t.test('what the last source says reaches the client', async (t) => {
  const { downloads } = rig();
  const blob = blobOf(2 * MiB);
  const gone = new OriginNotFound({ upstream: 'origin.test', step: 'reading a blob', seen: 'status 404' });
  blob.source.mishaps.push({ error: gone });
  await t.rejects(downloads.open(request(blob), undefined, never), { code: 'BLOB_UNAVAILABLE', cause: gone });
});

t.test('an origin’s no holds for its own clients, whoever else may read the blob', async (t) => {
  const { downloads } = rig();
  const blob = blobOf(2 * MiB);
  const other = new ScriptedSource(blob.bytes, 'origin.test/other');
  const gone = new OriginNotFound({ upstream: 'origin.test', step: 'reading a blob', seen: 'status 404' });
  blob.source.mishaps.push({ error: gone });
  const [refused, served] = await Promise.allSettled([
    downloads.open(request(blob), undefined, never),
    downloads.open({ ...request(blob), origin: other }, undefined, never),
  ]);
  t.match(refused, { status: 'rejected', reason: gone });
  if (served.status === 'rejected') throw served.reason;
  t.ok((await readFrom(served.value, 0)).equals(blob.bytes));
  served.value.close();
});

t.test('an origin is asked for leave before bytes go out that it does not give itself', async (t) => {
  const { downloads, store, clock } = rig();
  const blob = blobOf(6 * MiB);
  const asked: string[] = [];
  const confirm = async () => void asked.push('asked');
  const refuse = () => Promise.reject(new Error('no'));
  blob.source.holdAt = 3 * MiB;
  const first = await downloads.open({ ...request(blob), confirm: refuse }, undefined, never);
  t.pass('what it gives itself needs no leave');
  const elsewhere = new ScriptedSource(blob.bytes, 'origin.test/other');
  await t.rejects(downloads.open({ ...request(blob), origin: elsewhere, confirm: refuse }, undefined, never), /no/);
  (await downloads.open({ ...request(blob), origin: elsewhere, confirm }, undefined, never)).close();
  t.equal(asked.length, 1, 'coming in from elsewhere');

  await readFrom(first, 0, 3 * MiB);
  first.close();
  blob.source.release(4 * MiB);
  await clock.advance(IDLE_MS);
  await until(t, 'left idle', () => downloads.list().length === 0);
  await t.rejects(downloads.open({ ...request(blob), confirm: refuse }, undefined, never), /no/, 'half here');
  blob.source.release();
  const whole = await downloads.open({ ...request(blob), confirm }, undefined, never);
  await readFrom(whole, 0);
  whole.close();
  await until(t, 'stored', () => store.sizeOf(blob.digest) !== undefined);
  await t.rejects(downloads.open({ ...request(blob), confirm: refuse }, undefined, never), /no/, 'stored');
  t.equal(asked.length, 2);
});

t.test('a range fetches what it needs, ahead of what comes in', async (t) => {
  const { downloads } = rig();
  const blob = blobOf(40 * MiB);
  const start = 30 * MiB + 5;
  const range = await downloads.open(request(blob), { start, end: start + 1000 }, never);
  t.ok((await readFrom(range, start, start + 1000)).equals(blob.bytes.subarray(start, start + 1000)));
  t.same(blob.source.reads, [{ start: 30 * MiB, end: 31 * MiB }], 'one piece');
  range.close();

  blob.source.holdAt = 2 * MiB;
  const whole = await downloads.open(request(blob), undefined, never);
  const tail = 38 * MiB;
  blob.source.holdAt = undefined;
  const ahead = await downloads.open(request(blob), { start: tail }, never);
  t.ok((await readFrom(ahead, tail)).equals(blob.bytes.subarray(tail)));
  ahead.close();
  blob.source.release();
  t.ok((await readFrom(whole, 0)).equals(blob.bytes));
  whole.close();
  t.ok(blob.source.given < 43 * MiB, `hardly a byte came twice (${blob.source.given})`);
});

t.test('a client that wants a range and reads slowly does not make the whole blob come in', async (t) => {
  const { downloads, clock } = rig();
  const blob = blobOf(24 * MiB);
  const body = await downloads.open(request(blob), { start: 0 }, never);
  await until(t, 'the read is held back', () => blob.source.given >= READ_AHEAD_BYTES);
  await clock.advance(6000);
  await until(t, 'its connection is given back', () => blob.source.open === 0);
  t.ok(blob.source.given < READ_AHEAD_BYTES + 4 * MiB, `${blob.source.given} bytes came`);
  t.ok((await readFrom(body, 0)).equals(blob.bytes), 'and when it reads on, all of it comes');
  body.close();
});

t.test('a client that hangs up: others get theirs; after a while nobody is served any more', async (t) => {
  const { downloads, clock, metrics } = rig();
  const blob = blobOf(20 * MiB);
  blob.source.holdAt = 3 * MiB + 10;
  const leaving = new AbortController();
  const first = await downloads.open(request(blob), undefined, leaving.signal);
  const second = await downloads.open(request(blob), undefined, never);
  first.close();
  await t.rejects(first.ready(19 * MiB), 'a closed response gets nothing');
  t.ok((await readFrom(second, 0, 3 * MiB)).equals(blob.bytes.subarray(0, 3 * MiB)));
  second.close();
  t.match(await metrics.registry.metrics(), 'hawker_downloads{state="idle"} 1');
  await clock.advance(IDLE_MS);
  blob.source.release();
  await until(t, 'the read ends', () => blob.source.open === 0);
  const { chunkBytes } = blob.source;
  t.ok(blob.source.given < 4 * MiB + chunkBytes, 'with the piece that it was at');
  await until(t, 'the download is gone', () => downloads.sizeOf(blob.digest) === undefined);
  const later = await downloads.open(request(blob), undefined, never);
  t.ok((await readFrom(later, 0)).equals(blob.bytes));
  t.equal(later.sourceAt(0), 'store', 'what came before was kept');
  t.equal(later.sourceAt(5 * MiB), 'origin');
  later.close();
  t.ok(blob.source.given < 20 * MiB + chunkBytes, 'nothing came twice');
});

t.test('who gives a blob up for good ends it at once, unless others read it', async (t) => {
  const { downloads } = rig();
  const blob = blobOf(20 * MiB);
  blob.source.holdAt = 3 * MiB + 10;
  const first = await downloads.open(request(blob), undefined, never);
  const second = await downloads.open(request(blob), undefined, never);
  first.close();
  downloads.abandon(blob.digest);
  t.ok((await readFrom(second, 0, 3 * MiB)).equals(blob.bytes.subarray(0, 3 * MiB)));
  second.close();
  downloads.abandon(blob.digest);
  downloads.abandon(digestOf('another'));
  blob.source.release();
  await until(t, 'the read ends', () => blob.source.open === 0);
  await until(t, 'the download is gone', () => downloads.list().length === 0);
  const { chunkBytes } = blob.source;
  t.ok(blob.source.given < 4 * MiB + chunkBytes, 'with the piece that it was at');
});

t.test('hanging up before the first byte is no error of the others', async (t) => {
  const { downloads } = rig();
  const blob = blobOf(2 * MiB);
  blob.source.holdAt = 0;
  const abort = new AbortController();
  const waiting = downloads.open(request(blob, false), undefined, abort.signal);
  const other = downloads.open(request(blob, false), undefined, never);
  await until(t, 'asked', () => blob.source.reads.length === 1);
  abort.abort(new Error('hung up'));
  await t.rejects(waiting, { message: 'hung up' });
  blob.source.release();
  const body = await other;
  t.ok((await readFrom(body, 0)).equals(blob.bytes));
  body.close();
});

t.test('sizes: unknown, chunked, wrong, none', async (t) => {
  const { downloads, clock, store } = rig();
  const learnt = blobOf(3 * MiB);
  const body = await downloads.open(request(learnt, false), undefined, never);
  t.equal(body.size, learnt.bytes.length, 'the origin says it');
  t.ok((await readFrom(body, 0)).equals(learnt.bytes));
  body.close();

  for (const size of [2 * MiB + 9, 10]) {
    const chunked = blobOf(size);
    chunked.source.total = undefined;
    const late = await downloads.open(request(chunked, false), undefined, never);
    t.equal(late.size, size, 'nobody says it: known at the end');
    t.ok((await readFrom(late, 0)).equals(chunked.bytes));
    late.close();
  }

  const wrong = blobOf(MiB);
  const asked = { ...request(wrong), size: MiB + 1 };
  await ticking(clock, () =>
    t.rejects(downloads.open(asked, undefined, never), {
      code: 'BLOB_UNAVAILABLE',
      message: /which has 1048577 bytes/,
    }),
  );

  const long = blobOf(MiB);
  long.source.total = undefined;
  await t.rejects(downloads.open({ ...request(long), size: MiB - 1 }, undefined, never), {
    code: 'BLOB_DIGEST_MISMATCH',
  });

  const short = blobOf(MiB);
  short.source.total = undefined;
  const reading = downloads
    .open({ ...request(short), size: MiB + 1 }, undefined, never)
    .then((body) => readFrom(body, 0));
  await ticking(clock, () => t.rejects(reading, { code: 'BLOB_UNAVAILABLE', message: /ended .* at byte 1048576/ }));

  const empty = blobOf(0);
  for (const known of [true, false]) {
    const nothing = await downloads.open(request(empty, known), undefined, never);
    t.equal(nothing.size, 0);
    nothing.close();
  }
  await until(t, 'stored', () => store.sizeOf(empty.digest) === 0);
});

t.test('an origin without ranges still serves a range', async (t) => {
  const { downloads } = rig();
  const blob = blobOf(20 * MiB);
  blob.source.ranges = false;
  const body = await downloads.open(request(blob), { start: 15 * MiB, end: 15 * MiB + 10 }, never);
  t.ok((await readFrom(body, 15 * MiB, 15 * MiB + 10)).equals(blob.bytes.subarray(15 * MiB, 15 * MiB + 10)));
  body.close();
});

t.test('a range behind the end resolves, so that it can be refused', async (t) => {
  const { downloads } = rig();
  const blob = blobOf(100);
  const body = await downloads.open(request(blob, false), { start: 100 }, never);
  t.equal(body.size, 100);
  body.close();
});

t.test('a blob that the store cannot take is streamed through, and verified all the same', async (t) => {
  for (const size of [3 * MiB, 500_000]) {
    const { downloads, store, clock } = rig({ quotaBytes: 1000 });
    const blob = blobOf(size);
    blob.source.mishaps.push({ after: 100_000 }, { after: 200_000, short: true });
    const bodies: OpenBlob[] = [];
    await ticking(clock, async () => {
      for (let i = 0; i < 2; i += 1) bodies.push(await downloads.open(request(blob), undefined, never));
    });
    await ticking(clock, async () => {
      for (const body of bodies) {
        t.ok((await readFrom(body, 0)).equals(blob.bytes));
        t.equal(body.sourceAt(0), 'origin');
        body.close();
      }
    });
    t.equal(store.sizeOf(blob.digest), undefined);
    const range = await downloads.open(request(blob), { start: 1000, end: 300_000 }, never);
    t.ok((await readFrom(range, 1000, 300_000)).equals(blob.bytes.subarray(1000, 300_000)));
    range.close();

    const lying = blobOf(size);
    lying.source.mishaps.push({ flip: 7 }, { flip: 7 });
    const opening = downloads.open(request(lying), undefined, never).then((body) => readFrom(body, 0));
    await t.rejects(opening, { code: 'BLOB_DIGEST_MISMATCH' });
  }
});

t.test('a source is found while the file is opened, and read only once it is: nothing twice', async (t) => {
  for (const fails of [false, true]) {
    const store = new SlowlyOpening();
    const clock = new ManualClock();
    const solo = new SoloCoordinator({ clock, random: () => 0.5 });
    let wants = 0;
    const coordinator: Coordinator = {
      want: (...wish) => {
        wants += 1;
        return solo.want(...wish);
      },
    };
    const around = { pool: new BufferPool(), clock, log: silentLogger, metrics: new Metrics() };
    const downloads = new Downloads({ store, coordinator, solo, ...around });
    const blob = blobOf(3 * MiB);
    const opening = downloads.open(request(blob), undefined, never);
    await until(t, 'asked', () => wants === 1);
    for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    t.same(blob.source.reads, [], 'not read yet');
    if (fails) store.fail(new StoreNoRoom({ digest: blob.digest, needBytes: 1, why: 'there is no room' }));
    else store.go();
    const body = await opening;
    t.ok((await readFrom(body, 0)).equals(blob.bytes));
    t.equal(blob.source.reads.length, 1, fails ? 'streamed through, from one read' : 'one read');
    body.close();
    await downloads.close();
  }
});

t.test('what has come goes out while it is being written, and is verified whatever becomes of the write', async (t) => {
  for (const { fails, flip } of [{ fails: false }, { fails: true }, { fails: true, flip: 7 }]) {
    const store = new SlowlyWriting();
    const { downloads } = rig({}, store);
    const blob = blobOf(3 * MiB);
    blob.source.holdAt = 2 * MiB;
    if (flip !== undefined) blob.source.mishaps.push({ flip });
    const body = await downloads.open(request(blob), undefined, never);
    const some = await readFrom(body, 0, 256 * KiB);
    const had = Buffer.from(blob.bytes.subarray(0, 256 * KiB));
    if (flip !== undefined) had[flip]! ^= 1;
    t.ok(some.equals(had));
    t.same(store.writtenTo, 0, 'nothing is written yet');
    if (fails) store.failWritesFrom = 0;
    blob.source.release();
    store.go();
    const rest = readFrom(body, 256 * KiB);
    if (flip !== undefined) await t.rejects(rest, { code: 'BLOB_DIGEST_MISMATCH' }, 'I1: what it has had counts');
    else t.ok((await rest).equals(blob.bytes.subarray(256 * KiB)));
    t.equal(blob.source.reads.length, fails ? 2 : 1);
    body.close();
    await downloads.close();
    t.equal(store.sizeOf(blob.digest) !== undefined, !fails);
  }
});

t.test('a disk that fills up in the middle: every client goes on', async (t) => {
  const { downloads, store } = rig();
  const blob = blobOf(6 * MiB);
  store.failWritesFrom = 3 * MiB;
  const bodies = await Promise.all([
    downloads.open(request(blob), undefined, never),
    downloads.open(request(blob), undefined, never),
    downloads.open(request(blob), { start: 2 * MiB, end: 5 * MiB }, never),
  ]);
  const [first, second, range] = await Promise.all([
    readFrom(bodies[0], 0),
    readFrom(bodies[1], 0),
    readFrom(bodies[2], 2 * MiB, 5 * MiB),
  ]);
  t.ok(first.equals(blob.bytes));
  t.ok(second.equals(blob.bytes));
  t.ok(range.equals(blob.bytes.subarray(2 * MiB, 5 * MiB)));
  for (const body of bodies) body.close();
  t.equal(store.sizeOf(blob.digest), undefined);
});

t.test('a stored blob that cannot be read any more is fetched again under the client’s hands', async (t) => {
  const { downloads, store } = rig();
  const blob = blobOf(3 * MiB);
  const first = await downloads.open(request(blob), undefined, never);
  await readFrom(first, 0);
  first.close();
  await until(t, 'published', () => store.sizeOf(blob.digest) !== undefined);
  const body = await downloads.open(request(blob), undefined, never);
  const head = await readFrom(body, 0, MiB);
  store.failReadsFrom = MiB;
  const rest = await readFrom(body, MiB);
  t.ok(Buffer.concat([head, rest]).equals(blob.bytes));
  t.equal(body.sourceAt(2 * MiB), 'origin');
  body.close();
});

t.test('shutting down: clients are cut off with a reason, what came is kept', async (t) => {
  const { downloads, store } = rig();
  const blob = blobOf(8 * MiB);
  blob.source.holdAt = 4 * MiB;
  const body = await downloads.open(request(blob), undefined, never);
  await readFrom(body, 0, 4 * MiB);
  await downloads.close();
  await t.rejects(body.ready(4 * MiB), { code: 'SHUTTING_DOWN' });
  body.close();
  const shape = { size: blob.bytes.length, pieceSize: MiB };
  const incoming = await store.receive(blob.digest, shape);
  t.same([...incoming.kept.keys()], [0, 1, 2, 3]);
  await incoming.close();
  await t.rejects(downloads.open(request(blob), undefined, never), { code: 'SHUTTING_DOWN' });
});

t.test('the number of blobs coming in is bounded: idle ones give way', async (t) => {
  const { downloads } = rig();
  const held: OpenBlob[] = [];
  const openOne = async () => {
    const blob = blobOf(MiB + 1);
    blob.source.holdAt = 10;
    const body = await downloads.open(request(blob), { start: 0, end: 5 }, never);
    return body;
  };
  const idle = await openOne();
  for (let i = 1; i < MAX_DOWNLOADS; i += 1) held.push(await openOne());
  await t.rejects(openOne(), { code: 'TOO_MANY_DOWNLOADS' });
  idle.close();
  held.push(await openOne());
  for (const body of held) body.close();
  await downloads.close();
});

t.test('under pressure new blobs are streamed through, those that come in go on', async (t) => {
  const levels: { level: PressureLevel } = { level: 'none' };
  const pressure: PressureView = {
    get level() {
      return levels.level;
    },
    levelOf: () => levels.level,
  };
  const { downloads, store } = rig({ pressure });
  const [before, during, small, after] = [blobOf(3 * MiB), blobOf(3 * MiB + 5), blobOf(2000), blobOf(2 * MiB)];
  const first = await downloads.open(request(before), undefined, never);
  levels.level = 'pass-through';
  for (const blob of [during, small]) {
    const opened = await downloads.open(request(blob), undefined, never);
    t.ok((await readFrom(opened, 0)).equals(blob.bytes));
    opened.close();
    t.equal(store.sizeOf(blob.digest), undefined, 'not kept');
  }
  const part = await downloads.open(request(during), { start: MiB, end: MiB + 100 }, never);
  t.ok((await readFrom(part, MiB, MiB + 100)).equals(during.bytes.subarray(MiB, MiB + 100)), 'a range');
  part.close();
  t.ok((await readFrom(first, 0)).equals(before.bytes));
  first.close();
  await until(t, 'it is kept', () => store.sizeOf(before.digest) !== undefined);
  levels.level = 'uploads';
  const last = await downloads.open(request(after), undefined, never);
  await readFrom(last, 0);
  last.close();
  await until(t, 'blobs are kept again', () => store.sizeOf(after.digest) !== undefined);
  t.same(downloads.list(), []);
});

t.test('a wrong byte completes no response under pressure either', async (t) => {
  const { downloads } = rig({ pressure: { level: 'pass-through', levelOf: () => 'pass-through' } });
  const blob = blobOf(3 * MiB);
  const wrong = Buffer.from(blob.bytes);
  wrong[100] = wrong[100]! ^ 1;
  const source = new ScriptedSource(wrong);
  const opened = await downloads.open(request({ ...blob, source }), undefined, never);
  await t.rejects(readFrom(opened, 0), { code: 'BLOB_DIGEST_MISMATCH' });
  opened.close();
});

t.test('a private blob of which that cannot be noted is streamed through', async (t) => {
  const privateBlobs = PrivateBlobs.open(join(t.testdir({}), 'nowhere'), () => true);
  const { downloads, store } = rig({ privateBlobs });
  const blob = blobOf(2 * MiB);
  const opened = await downloads.open({ ...request(blob), isPrivate: true }, undefined, never);
  t.ok((await readFrom(opened, 0)).equals(blob.bytes));
  opened.close();
  t.equal(store.sizeOf(blob.digest), undefined);
});

t.test('what a credential has read is shared where members prove themselves, and noted in any case', async (t) => {
  const privateBlobs = PrivateBlobs.open(storeDir(t), () => true);
  const closed = rig({ privateBlobs, sharesPrivate: true });
  const blob = blobOf(2 * MiB);
  const opened = await closed.downloads.open({ ...request(blob), isPrivate: true }, undefined, never);
  await readFrom(opened, 0);
  opened.close();
  t.ok(closed.downloads.isShared(blob.digest));
  t.notOk(rig({ privateBlobs }).downloads.isShared(blob.digest), 'should the secret be taken away later');
});

function storeDir(t: Test): string {
  return t.testdir({ v1: {} });
}
