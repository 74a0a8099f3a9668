/** What a store costs grows with the number of its blobs and pieces, and no faster: counted in calls and bytes, not in time. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t, { type Test } from 'tap';
import { crc32 } from 'node:zlib';
import { digestFrom, type Digest } from '../../src/base/digest.ts';
import { GiB } from '../../src/base/units.ts';
import type { DiskStore } from '../../src/store/disk-store.ts';
import { nodeFiles, type FilePort, type OpenFile } from '../../src/store/files.ts';
import { Layout } from '../../src/store/layout.ts';
import { contentOf, fill, sampleBlob } from '../support/store-conformance.ts';
import { KiB4, openStore, temporaryDirectory } from './temporary.ts';

// A hundred thousand files take a while to be made where the machine has other work.
t.setTimeout(600_000);

const BLOB = Buffer.from('x');
const MANY = 100_000;
const MEASURED_AGAIN = 4;
/** Where files are made and removed fast, if there is such a place. */
const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : undefined;

/** The real file system, and how many calls were made. */
function countingFiles(): { files: FilePort; calls: () => number } {
  let calls = 0;
  const counted = <A extends unknown[], R>(call: (...args: A) => R) => {
    return (...args: A): R => {
      calls += 1;
      return call(...args);
    };
  };
  const countedFile = (file: OpenFile): OpenFile => ({
    read: counted((buffer: Uint8Array, position: number) => file.read(buffer, position)),
    readNow: counted((buffer: Uint8Array, position: number) => file.readNow(buffer, position)),
    write: counted((buffer: Uint8Array, position: number) => file.write(buffer, position)),
    stat: counted(() => file.stat()),
    statNow: counted(() => file.statNow()),
    truncate: counted((length: number) => file.truncate(length)),
    sync: counted(() => file.sync()),
    setModified: counted((ms: number) => file.setModified(ms)),
    close: counted(() => file.close()),
    closeNow: counted(() => file.closeNow()),
  });
  const files: FilePort = {
    open: counted(async (path, mode) => countedFile(await nodeFiles.open(path, mode))),
    openNow: counted((path) => countedFile(nodeFiles.openNow(path))),
    lstat: counted((path) => nodeFiles.lstat(path)),
    readdir: counted((path) => nodeFiles.readdir(path)),
    mkdir: counted((path) => nodeFiles.mkdir(path)),
    rename: counted((from, to) => nodeFiles.rename(from, to)),
    unlink: counted((path) => nodeFiles.unlink(path)),
    syncDirectory: counted((path) => nodeFiles.syncDirectory(path)),
    freeBytes: counted((path) => nodeFiles.freeBytes(path)),
  };
  return { files, calls: () => calls };
}

/** Files with the names of blobs, which is all that is looked at when a store opens. */
function makeBlobs(dir: string, count: number): void {
  const layout = new Layout(dir);
  for (let prefix = 0; prefix < 256; prefix += 1) {
    const name = prefix.toString(16).padStart(2, '0');
    mkdirSync(`${layout.kindDir('sha256')}/${name}`, { recursive: true, mode: 0o700 });
  }
  for (let index = 0; index < count; index += 1) {
    const digest = digestFrom('sha256', createHash('sha256').update(`${index}`));
    writeFileSync(layout.blob(digest), BLOB, { mode: 0o600 });
  }
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

async function opened(
  t: Test,
  dir: string,
): Promise<{ store: DiskStore; calls: () => number; heap: number; cpuMs: number }> {
  const { files, calls } = countingFiles();
  const before = heapBytes();
  const cpuBefore = process.cpuUsage();
  const { store } = await openStore(t, dir, { files, quotaBytes: 100 * GiB });
  const { user, system } = process.cpuUsage(cpuBefore);
  return { store, calls, heap: heapBytes() - before, cpuMs: (user + system) / 1000 };
}

t.test('a store with 100,000 blobs: one call a blob to open it, and less than 1 KiB of memory each', async (t) => {
  const [few, many] = [await temporaryDirectory(t, MEMORY), await temporaryDirectory(t, MEMORY)];
  makeBlobs(few, 1000);
  makeBlobs(many, MANY);
  const small = await opened(t, few);
  const large = await opened(t, many);
  t.equal([...large.store.list()].length, MANY);
  t.equal(large.store.usage().bytes, MANY * KiB4);
  t.equal(large.calls() - small.calls(), MANY - 1000, 'a call for each blob more, and no other');
  t.ok(large.heap < MANY * 1024, `${Math.round(large.heap / MANY)} bytes a blob`);

  const costs: number[] = [];
  for (const { store, calls } of [small, large]) {
    const blob = sampleBlob(100, 'one more');
    const before = calls();
    await fill(store, blob);
    await contentOf(store, blob.digest);
    await store.remove(blob.digest);
    costs.push(calls() - before);
  }
  t.equal(costs[0], costs[1], 'to store, read and remove one is the same among few and among many');

  await fill(large.store, sampleBlob(100, 'verified'));
  await large.store.close();
  const { size } = await stat(new Layout(many).verified);
  t.ok(size < 200, 'of what was never verified nothing is noted');
  t.comment(
    `${MANY} blobs: opened in ${Math.round(large.cpuMs)} ms of processor time, ${large.calls()} calls, ${Math.round(large.heap / MANY)} bytes of heap a blob`,
  );
  await small.store.close();
});

/** Receives a blob of so many pieces in an order that jumps, and takes it up again: calls and processor time of each part. */
async function download(t: Test, count: number) {
  const dir = await temporaryDirectory(t);
  const { files, calls } = countingFiles();
  const { store } = await openStore(t, dir, { files });
  const bytes = sampleBlob(count * KiB4).bytes;
  const digest: Digest = sampleBlob(count * KiB4).digest;
  const shape = { size: bytes.length, pieceSize: KiB4 };
  const measure = async (work: () => Promise<void>) => {
    const [callsBefore, cpuBefore] = [calls(), process.cpuUsage()];
    await work();
    const { user, system } = process.cpuUsage(cpuBefore);
    return { calls: (calls() - callsBefore) / count, us: (user + system) / count };
  };
  const written = await measure(async () => {
    const incoming = await store.receive(digest, shape);
    for (let index = 0; index < count; index += 1) {
      // A prime that divides neither count: each piece comes once, far from the one before.
      const piece = (index * 7919) % count;
      const part = bytes.subarray(piece * KiB4, (piece + 1) * KiB4);
      await incoming.write(part, piece * KiB4);
      incoming.record(piece, crc32(part));
    }
    await incoming.close();
  });
  const taken = await measure(async () => {
    const incoming = await store.receive(digest, shape);
    t.equal(incoming.kept.size, count);
    await incoming.publish(digest, bytes.length);
    await incoming.close();
  });
  return { written, taken };
}

t.test('a download of 10,000 pieces: the same work for each as of 1,000', async (t) => {
  const few = await download(t, 1000);
  const many = await download(t, 10_000);
  // What grew with the square of it would take ten times as much for each. Other work on the machine makes either dearer, and comes
  // and goes: the least of several is what counts.
  const isLinear = () => (['written', 'taken'] as const).every((part) => many[part].us < 5 * few[part].us);
  for (let again = 0; again < MEASURED_AGAIN && !isLinear(); again += 1) {
    const [fewAgain, manyAgain] = [await download(t, 1000), await download(t, 10_000)];
    for (const part of ['written', 'taken'] as const) {
      few[part].us = Math.min(few[part].us, fewAgain[part].us);
      many[part].us = Math.min(many[part].us, manyAgain[part].us);
    }
  }
  // How many records one write takes along depends on how long the writes take: hence a bound, and no comparison.
  t.ok(
    many.written.calls <= 2.1,
    `${many.written.calls} calls a piece: a write of its bytes, and at most one of its record`,
  );
  // What is done once a blob counts less for each piece of more.
  t.ok(many.taken.calls <= few.taken.calls, `${many.taken.calls} calls to take a piece up, of few ${few.taken.calls}`);
  for (const part of ['written', 'taken'] as const) {
    t.ok(many[part].us < 5 * few[part].us, `${part}: ${many[part].us} µs a piece, of few ${few[part].us}`);
  }
  t.comment(`10,000 pieces: ${JSON.stringify(many)}; 1,000: ${JSON.stringify(few)}`);
});
