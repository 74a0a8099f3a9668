import fc from 'fast-check';
import t from 'tap';
import { MiB } from '../../../src/base/units.ts';
import { BufferPool } from '../../../src/http/buffer-pool.ts';
import { HotBytes } from '../../../src/p2p/peer/hot-bytes.ts';

/** A buffer of the pool with a run of the blob whose byte at `i` is `i % 251`. */
function written(pool: BufferPool, position: number, length: number): { buffer: Buffer; bytes: Buffer } {
  const buffer = pool.take(false)!;
  for (let i = 0; i < length; i += 1) buffer[i] = (position + i) % 251;
  return { buffer, bytes: buffer.subarray(0, length) };
}

t.test('what was written last is read from memory, and every buffer comes back', async (t) => {
  const pool = new BufferPool(64 * MiB);
  const hot = new HotBytes(pool);
  for (let n = 0; n < 10; n += 1) {
    const { buffer, bytes } = written(pool, n * 1000, 1000);
    hot.keep(bytes, n * 1000);
    pool.give(buffer);
  }
  t.equal(pool.available, 56, 'eight are kept');
  const to = Buffer.alloc(2500);
  t.equal(hot.read(to, 1999), 0, 'the first two are not');
  t.equal(hot.read(to, 2600), 2500);
  t.ok(to.subarray(0, 2500).every((byte, i) => byte === (2600 + i) % 251));
  t.equal(hot.read(to, 9900), 100);
  t.equal(hot.read(to, 10_000), 0);
  hot.clear();
  t.equal(hot.read(to, 2600), 0);
  t.equal(pool.available, 64);
  hot.close();
  const late = written(pool, 0, 10);
  hot.keep(late.bytes, 0);
  pool.give(late.buffer);
  t.equal(pool.available, 64, 'what is written after the end is not kept');
});

t.test('a buffer that somebody reads is not used again, whoever gives it back first', async (t) => {
  const pool = new BufferPool(8 * MiB);
  const buffer = pool.take(false)!;
  const shares = [pool.share(buffer.subarray(5, 9))!, pool.share(buffer)!];
  pool.give(shares[0]!);
  pool.give(buffer);
  t.equal(pool.available, 7);
  pool.give(shares[1]!);
  t.equal(pool.available, 8);
  t.equal(pool.share(Buffer.alloc(10)), undefined, 'none of the pool');
  const out = [1, 2, 3, 4].map(() => pool.take(false)!);
  t.equal(pool.share(out[0]!), undefined, 'half of the pool is out: it is needed for more than speed');
});

t.test('whatever is written and read, what is read is right', async () => {
  const step = fc.record({ position: fc.nat(3000), length: fc.integer({ min: 1, max: 1500 }), read: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const pool = new BufferPool(32 * MiB);
      const hot = new HotBytes(pool);
      const isRight = steps.every(({ position, length, read }) => {
        if (!read) {
          const { buffer, bytes } = written(pool, position, length);
          hot.keep(bytes, position);
          pool.give(buffer);
          return true;
        }
        const to = Buffer.alloc(length);
        const count = hot.read(to, position);
        return to.subarray(0, count).every((byte, i) => byte === (position + i) % 251);
      });
      hot.close();
      return isRight && pool.available === 32;
    }),
  );
});

t.test('what is lent stays as it is until it is given back', async (t) => {
  const pool = new BufferPool(16 * MiB);
  const hot = new HotBytes(pool);
  const { buffer, bytes } = written(pool, 1000, 500);
  hot.keep(bytes, 1000);
  pool.give(buffer);
  t.equal(hot.lend(1500, 10), undefined, 'it is not here');
  const lent = hot.lend(1100, 100)!;
  t.equal(hot.lend(1450, 100)!.bytes.length, 50, 'as much as there is');
  t.equal(lent.bytes.length, 100);
  t.equal(lent.bytes[0], 1100 % 251);
  hot.close();
  t.equal(pool.available, 15);
  lent.release();
  t.equal(pool.available, 15, 'the other one is still out');
});
