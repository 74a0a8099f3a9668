import t from 'tap';
import { MiB } from '../../../src/base/units.ts';
import { BufferPool } from '../../../src/http/buffer-pool.ts';
import { BytesUnderWay } from '../../../src/p2p/peer/bytes-under-way.ts';

/** A buffer of the pool with a run of the blob whose byte at `i` is `i % 251`. */
function filled(pool: BufferPool, position: number, length: number): { buffer: Buffer; bytes: Buffer } {
  const buffer = pool.take(false)!;
  for (let i = 0; i < length; i += 1) buffer[i] = (position + i) % 251;
  return { buffer, bytes: buffer.subarray(0, length) };
}

const isRight = (bytes: Uint8Array, position: number) => bytes.every((byte, i) => byte === (position + i) % 251);

t.test('what is being written is read from memory until it is written', async (t) => {
  const pool = new BufferPool(8 * MiB);
  const underWay = new BytesUnderWay(pool);
  const [first, second] = [filled(pool, 1000, 500), filled(pool, 1500, 700)];
  const parts = [underWay.begin(first.bytes, 1000), underWay.begin(second.bytes, 1500)];
  t.equal(underWay.endFrom(999), 999);
  t.equal(underWay.endFrom(1000), 2200);
  t.equal(underWay.endFrom(1600), 2200);
  const to = Buffer.alloc(1000);
  t.equal(underWay.read(to, 1400), 100);
  t.ok(isRight(to.subarray(0, 100), 1400));
  const lent = underWay.lend(1600, 50)!;
  t.equal(lent.bytes.length, 50);
  t.ok(isRight(lent.bytes, 1600));
  underWay.written(parts[1]!);
  pool.give(second.buffer);
  t.equal(underWay.endFrom(1000), 1500);
  t.equal(underWay.read(to, 1600), 0);
  t.equal(underWay.lend(1600, 50), undefined);
  t.equal(pool.available, 6, 'somebody still has the second');
  lent.release();
  t.equal(pool.available, 7);
  underWay.written(parts[0]!);
  t.equal(underWay.endFrom(1000), 1000);
});

t.test('of a write that fails a copy stays, until the end', async (t) => {
  const pool = new BufferPool(8 * MiB);
  const underWay = new BytesUnderWay(pool);
  const { buffer, bytes } = filled(pool, 0, 100);
  underWay.failed(underWay.begin(bytes, 0));
  buffer.fill(0);
  pool.give(buffer);
  const to = Buffer.alloc(200);
  t.equal(underWay.read(to, 50), 50);
  t.ok(isRight(to.subarray(0, 50), 50));
  t.equal(underWay.lend(50, 10), undefined, 'it is no buffer of the pool');
  const last = filled(pool, 100, 100);
  const part = underWay.begin(last.bytes, 100);
  underWay.close();
  t.equal(underWay.endFrom(0), 0);
  underWay.failed(part);
  underWay.begin(last.bytes, 100);
  t.equal(underWay.endFrom(100), 100, 'nothing after the end');
});
