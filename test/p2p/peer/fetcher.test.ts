import { randomBytes } from 'node:crypto';
import t from 'tap';
import { systemClock, type Clock } from '../../../src/base/clock.ts';
import { digestOf } from '../../../src/base/digest.ts';
import { silentLogger as log } from '../../../src/base/log.ts';
import { Metrics } from '../../../src/base/metrics.ts';
import { MiB } from '../../../src/base/units.ts';
import { BufferPool } from '../../../src/http/buffer-pool.ts';
import { Downloads, type OpenBlob } from '../../../src/p2p/peer/downloads.ts';
import { IncomingBytes } from '../../../src/p2p/peer/incoming-bytes.ts';
import { Origins } from '../../../src/p2p/peer/origins.ts';
import { DISK_BUSY_MS, Fetcher, PROGRESS_MS, type FetchTarget } from '../../../src/p2p/peer/fetcher.ts';
import { NeighbourCoordinator } from '../../../src/p2p/peer/neighbour-coordinator.ts';
import type { PieceSource } from '../../../src/p2p/peer/piece-source.ts';
import { SoloCoordinator } from '../../../src/p2p/peer/solo-coordinator.ts';
import type { Assignment, Coordinator, Report } from '../../../src/p2p/protocol/coordinator.ts';
import { OriginNotFound } from '../../../src/registry/errors.ts';
import { StoreWriteFailed } from '../../../src/store/errors.ts';
import { settle } from '../../support/coordinator-conformance.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { until } from '../../support/piece-rig.ts';
import { failureOf, never } from '../../support/registry-client.ts';
import { ScriptedNeighbours, targetOf } from '../../support/scripted-neighbours.ts';
import { ScriptedSource } from '../../support/scripted-source.ts';

const bytes = randomBytes(5 * MiB + 99);
const digest = digestOf(bytes);
const gone = () => new OriginNotFound({ upstream: 'origin.test', step: 'reading a blob of app', seen: '404' });

/** A fetcher whose coordinator and blob are the test. */
function startFetcher(
  origin: PieceSource,
  peer: PieceSource,
  target: Partial<Pick<FetchTarget, 'begin' | 'store' | 'storeFailed'>> = {},
  clock: Clock = systemClock,
  pool = new BufferPool(),
) {
  const bytes = new IncomingBytes(digest, new MemoryStore(), new BufferPool());
  const reports: Report[] = [];
  let assign: (assignment: Assignment) => void = () => undefined;
  const coordinator: Coordinator = {
    want: (_want, listener) => {
      assign = listener;
      return {
        awaiting: () => undefined,
        report: (report) => void reports.push(report),
        dispute: () => false,
        close: () => undefined,
      };
    },
  };
  const fetcher = new Fetcher({
    want: { digest, pieceCount: undefined, held: [] },
    coordinator,
    target: {
      begin: () => undefined,
      endedAt: () => undefined,
      storeFailed: () => undefined,
      gaveUp: () => undefined,
      corrections: { replaceTarget: () => undefined, secondReading: () => undefined, disputed: () => undefined },
      bytes,
      demand: {
        isAwaited: () => false,
        mayReadTo: () => Number.POSITIVE_INFINITY,
        flowChanged: () => new Promise(() => undefined),
      },
      denied: () => undefined,
      beforePeers: async () => undefined,
      store: (part, at, source) => bytes.write(part, at, source),
      ...target,
    },
    origins: new Origins(digest, origin, log),
    peers: () => peer,
    pool,
    clock,
    log,
    metrics: new Metrics(),
  });
  return { fetcher, reports, bytes, assign: (assignment: Assignment) => assign(assignment) };
}

/** A piece of 2 MiB on its way from a peer to a store of which each write ends when the test lets it. */
function startSlowStore() {
  const peer = new ScriptedSource(randomBytes(2 * MiB));
  peer.total = 300 * MiB;
  const writes: { readonly at: number; readonly end: (failure: Error | undefined) => void }[] = [];
  const failures: unknown[] = [];
  const pool = new BufferPool();
  const rig = startFetcher(
    peer,
    peer,
    {
      store: async (part, at, source, crc32) => {
        const failure = await new Promise<Error | undefined>((resolve) => {
          writes.push({ at, end: resolve });
        });
        if (failure) throw failure;
        return rig.bytes.write(part, at, source, crc32);
      },
      storeFailed: (error) => void failures.push(error),
    },
    systemClock,
    pool,
  );
  rig.bytes.sizeIs(peer.total);
  rig.assign({ kind: 'fetch', piece: 0, from: targetOf('peer-a'), crc32: undefined });
  return { rig, writes, pool, failures };
}

t.test('once every origin has said no for good, each further lease ends with that no', async (t) => {
  const origin = new ScriptedSource(bytes);
  origin.mishaps.push({ error: gone() });
  const { fetcher, reports, assign } = startFetcher(origin, new ScriptedSource(bytes));
  for (const lease of [1, 2]) {
    assign({ kind: 'lease', lease, run: { first: 0, count: 5 } });
    await settle();
    await fetcher.idle();
    await settle();
  }
  const failure = { code: 'ORIGIN_NOT_FOUND', final: true };
  t.match(reports, [
    { kind: 'ended', lease: 1, failure },
    { kind: 'ended', lease: 2, failure },
  ]);
  t.equal(origin.reads.length, 1);
  await fetcher.close();
});

t.test(
  'while the disk is slow to take what was read, the supernode hears that the lease goes on; of a disk that hangs it does not',
  async (t) => {
    const clock = new ManualClock();
    let writing = 0;
    let write = () => {};
    const written = new Promise<void>((resolve) => {
      write = resolve;
    });
    const rig = startFetcher(
      new ScriptedSource(bytes),
      new ScriptedSource(bytes),
      {
        store: async (part, at, source) => {
          writing += 1;
          await written;
          return rig.bytes.write(part, at, source);
        },
      },
      clock,
    );
    rig.bytes.sizeIs(bytes.length);
    rig.assign({ kind: 'lease', lease: 1, run: { first: 0, count: 6 } });
    // All that there are: one that began later would be talked of for longer.
    await until(() => writing === 6);
    const said = () => rig.reports.filter(({ kind }) => kind === 'progress').length;
    const atFirst = said();
    // A supernode takes the origin for silent after two of these.
    for (let seconds = 1; seconds * PROGRESS_MS < DISK_BUSY_MS; seconds += 1) {
      const before = said();
      await clock.advance(PROGRESS_MS);
      t.ok(said() > before, `after ${seconds} s`);
    }
    await clock.advance(DISK_BUSY_MS);
    const inAll = said();
    t.ok(inAll > atFirst);
    await clock.advance(DISK_BUSY_MS);
    t.equal(said(), inAll, 'no more is said');
    write();
    await rig.fetcher.idle();
    t.equal(rig.reports.filter(({ kind }) => kind === 'piece').length, 6);
    t.match(rig.reports.at(-1), { kind: 'ended', lease: 1 });
    await rig.fetcher.close();
  },
);

t.test('of a blob whose size only the peer knows, a part of a large piece is not taken for the whole', async (t) => {
  const peer = new ScriptedSource(bytes);
  peer.total = 300 * MiB;
  const {
    fetcher,
    reports,
    assign,
    bytes: here,
  } = startFetcher(new ScriptedSource(bytes), peer, {
    begin: ({ total }) => void here.sizeIs(total!),
  });
  assign({ kind: 'fetch', piece: 0, from: targetOf('peer-a'), crc32: undefined });
  await fetcher.idle();
  t.equal(here.size, 300 * MiB);
  t.match(peer.reads, [{ start: 0, end: MiB }]);
  t.match(reports, [{ kind: 'failed', piece: 0, from: 'peer-a', reason: 'busy' }]);
  await fetcher.close();
});

t.test('the parts of a large piece are written at the same time; it is reported once all are', async (t) => {
  const { rig, writes } = startSlowStore();
  await until(() => writes.length === 2);
  t.same(
    writes.map(({ at }) => at),
    [0, MiB],
  );
  writes[1]!.end(undefined);
  await settle();
  t.same(rig.reports, [], 'one is missing');
  writes[0]!.end(undefined);
  await rig.fetcher.idle();
  t.match(rig.reports, [{ kind: 'piece', piece: 0, source: 'peers', from: 'peer-a' }]);
  await rig.fetcher.close();
});

t.test('where a part of a piece cannot be written, the memory of the others is theirs until they are', async (t) => {
  const { rig, writes, pool, failures } = startSlowStore();
  await until(() => writes.length === 2);
  const free = pool.available;
  writes[0]!.end(new StoreWriteFailed({ digest, why: 'EIO' }));
  await settle();
  t.equal(pool.available, free);
  writes[1]!.end(undefined);
  await rig.fetcher.idle();
  t.equal(pool.available, free + 2);
  t.equal(failures.length, 1);
  t.same(rig.reports, []);
  await rig.fetcher.close();
});

/** Downloads of a proxy that is alone among neighbours, each of which gives `given`. */
function startDownloads(given: Buffer) {
  const clock = new ManualClock();
  const neighbours = new ScriptedNeighbours();
  const store = new MemoryStore();
  const origin = new ScriptedSource(bytes);
  const peer = new ScriptedSource(given, 'peer-a');
  const coordinator = new NeighbourCoordinator({ neighbours, clock });
  const solo = new SoloCoordinator({ clock });
  const around = { pool: new BufferPool(), clock, log, metrics: new Metrics() };
  const downloads = new Downloads({ store, coordinator, solo, peers: () => peer, ...around });
  const request = { digest, origin, size: bytes.length };
  return { downloads, neighbours, origin, peer, store, request };
}

async function readAll(blob: OpenBlob): Promise<Buffer> {
  const all = Buffer.alloc(blob.size);
  for (let at = 0; at < all.length;) at += await blob.read(all.subarray(at, await blob.ready(at)), at);
  return all;
}

t.test('alone, what a neighbour has comes from it, and is put right by the origin where it is wrong', async (t) => {
  const good = startDownloads(bytes);
  const opening = good.downloads.open(good.request, undefined, never);
  await settle();
  good.neighbours.found('peer-a');
  const blob = await opening;
  t.ok((await readAll(blob)).equals(bytes));
  t.equal(blob.sourceAt(0), 'peers');
  t.same(good.origin.reads, []);
  blob.close();

  const wrong = Buffer.from(bytes);
  wrong[3 * MiB]! ^= 1;
  const lied = startDownloads(wrong);
  const reading = lied.downloads.open(lied.request, undefined, never).then(readAll);
  await settle();
  lied.neighbours.found('peer-a');
  // Who has had wrong bytes is cut off; who has not, gets what the origin gives.
  const [read] = await Promise.allSettled([reading]);
  if (read.status === 'fulfilled') t.ok(read.value.equals(bytes));
  else t.match(read.reason, { code: 'BLOB_PIECE_WRONG' });
  t.same(lied.origin.reads, [{ start: 0, end: undefined }]);
  await until(() => lied.store.sizeOf(digest) === bytes.length);
});

t.test('alone, what stays on this node is asked of nobody', async (t) => {
  const { downloads, neighbours, origin, request } = startDownloads(bytes);
  const blob = await downloads.open({ ...request, isPrivate: true }, undefined, never);
  await readAll(blob);
  t.same(neighbours.searches, []);
  t.equal(origin.reads.length, 1);
  blob.close();
});

t.test('alone, a client gets what neighbours have with its origin’s leave only', async (t) => {
  const { downloads, neighbours, request } = startDownloads(bytes);
  const opening = downloads.open({ ...request, confirm: () => Promise.reject(gone()) }, undefined, never);
  const failure = failureOf(opening.then(readAll));
  await settle();
  neighbours.found('peer-a');
  t.match(await failure, { code: 'ORIGIN_NOT_FOUND' });
});
