import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import pino from 'pino';
import t, { type Test } from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { Pieces } from '../../../src/base/pieces.ts';
import { MiB } from '../../../src/base/units.ts';
import { BufferPool } from '../../../src/http/buffer-pool.ts';
import { HashThread, HASH_THREAD_LEAST_BYTES } from '../../../src/p2p/peer/hash-thread.ts';
import { IncomingBytes } from '../../../src/p2p/peer/incoming-bytes.ts';
import type { BlobSums } from '../../../src/p2p/peer/sums.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { until } from '../../support/piece-rig.ts';

const blob = randomBytes(HASH_THREAD_LEAST_BYTES + 12_345);
const digest = digestOf(blob);
const pieces = new Pieces(blob.length);

/** A thread that is up. */
async function started(t: Test, log = silentLogger): Promise<HashThread> {
  const thread = new HashThread(log);
  // It holds no process up, as a listening socket does elsewhere.
  const held = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(held));
  t.teardown(() => thread.close());
  t.equal(thread.open('sha256'), undefined, 'who comes first does not wait for it');
  await until(() => isUp(thread));
  return thread;
}

function isUp(thread: HashThread): boolean {
  const sums = thread.open('sha256');
  sums?.close();
  return sums !== undefined;
}

/** Lets the thread behind these sums die of a message that it cannot take. */
function kill(thread: HashThread): void {
  const sums = thread.open('sha256')!;
  void Promise.resolve(sums.add(Buffer.alloc(1), true, undefined as never)).catch(() => undefined);
}

/** Brings the blob in, in parts out of order; what was told of whole pieces. */
async function bringIn(bytes: IncomingBytes, pool: BufferPool, between = (_part: number): void => undefined) {
  const whole = new Map<number, number>();
  const starts: number[] = [];
  for (let at = 0; at < blob.length; at += 700_000) starts.push(at);
  // The second comes last: all that is behind it is read back.
  starts.push(...starts.splice(1, 1));
  for (const [part, at] of starts.entries()) {
    const buffer = pool.take(false)!;
    const count = blob.copy(buffer, 0, at, Math.min(blob.length, at + 700_000));
    const writing = bytes.write(buffer.subarray(0, count), at, 'origin');
    between(part);
    for (const { piece, crc32 } of await writing) whole.set(piece, crc32);
    pool.give(buffer);
    await bytes.catchUp();
  }
  return whole;
}

function isRight(whole: ReadonlyMap<number, number>): boolean {
  if (whole.size !== pieces.count) return false;
  return [...whole].every(([piece, crc]) => crc === crc32(blob.subarray(pieces.start(piece), pieces.end(piece))));
}

t.test('the sums of several blobs at once, of shared bytes and of others', async (t) => {
  const thread = await started(t);
  const three: BlobSums[] = [];
  for (let i = 0; i < 3; i += 1) three.push(thread.open(i === 2 ? 'sha512' : 'sha256')!);
  const parts = [Buffer.from(new SharedArrayBuffer(1000)).fill('x'), Buffer.from('not shared')];
  const stretch = { piece: 7, from: 0, isFirst: true, isLast: true };
  const told = await Promise.all(
    three.flatMap((sums) => parts.map(async (part) => sums.add(part, true, [{ ...stretch, to: part.length }]))),
  );
  for (const [i, whole] of told.entries()) t.same(whole, [{ piece: 7, crc32: crc32(parts[i % 2]!) }]);
  const all = Buffer.concat(parts);
  t.equal(three[0]!.finish(), digestOf(all));
  t.equal(three[1]!.finish(), digestOf(all));
  t.equal(three[2]!.finish(), `sha512:${createHash('sha512').update(all).digest('hex')}`);
});

t.test('a large blob is hashed there, in whatever order it comes', async (t) => {
  const thread = await started(t);
  const pool = new BufferPool(16 * MiB);
  const bytes = new IncomingBytes(digest, new MemoryStore(), pool, thread);
  bytes.sizeIs(blob.length);
  const whole = await bringIn(bytes, pool);
  t.ok(isRight(whole));
  t.ok(bytes.isComplete);
  t.equal(bytes.digestOfAll(), digest);
  await bytes.close('discard');
});

t.test('its death is survived, and said; the next one starts anew, but not for ever', async (t) => {
  const lines: string[] = [];
  const thread = await started(t, pino({ base: null }, { write: (line) => void lines.push(line) }));
  for (let death = 1; death <= 3; death += 1) {
    const pool = new BufferPool(16 * MiB);
    const bytes = new IncomingBytes(digest, new MemoryStore(), pool, thread);
    bytes.sizeIs(blob.length);
    const whole = await bringIn(bytes, pool, (part) => {
      if (part === 3) kill(thread);
    });
    t.ok(isRight(whole));
    t.equal(bytes.digestOfAll(), digest);
    await bytes.close('discard');
    await until(() => lines.length === death);
    if (death < 3) await until(() => isUp(thread));
  }
  t.match(JSON.parse(lines[0]!), { code: 'HASH_THREAD_DIED', todo: /main thread/ });
  t.equal(thread.open('sha256'), undefined);
  const pool = new BufferPool();
  const last = new IncomingBytes(digest, new MemoryStore(), pool, thread);
  last.sizeIs(blob.length);
  t.ok(isRight(await bringIn(last, pool)), 'and all is hashed in the main thread');
  t.equal(last.digestOfAll(), digest);
});

t.test('with two processors there is none', async (t) => {
  t.equal(HashThread.where(silentLogger, 2), undefined);
  t.ok(HashThread.where(silentLogger, 4));
});
