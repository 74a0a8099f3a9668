import t from 'tap';
import { MiB } from '../../src/base/units.ts';
import { BufferPool, POOLED_BUFFER_BYTES } from '../../src/http/buffer-pool.ts';

t.test('I5: it never makes more than it may, and gives back what came back', (t) => {
  const pool = new BufferPool(4 * MiB);
  const taken = Array.from({ length: 4 }, () => pool.take(false)!);
  t.same(new Set(taken).size, 4);
  t.ok(taken.every((buffer) => buffer.length === POOLED_BUFFER_BYTES));
  t.equal(pool.take(false), undefined);
  t.equal(pool.available, 0);
  pool.give(taken[2]!);
  t.equal(pool.take(false), taken[2]);
  t.end();
});

t.test('buffers that only add speed leave half of it to others', (t) => {
  const pool = new BufferPool(4 * MiB);
  t.ok(pool.take(true));
  t.ok(pool.take(true));
  t.equal(pool.take(true), undefined);
  t.ok(pool.take(false));
  t.end();
});

t.test('it shrinks as buffers come back, and grows again', (t) => {
  const pool = new BufferPool(4 * MiB);
  const taken = Array.from({ length: 4 }, () => pool.take(false)!);
  pool.resize(2 * MiB);
  t.equal(pool.available, 0);
  for (const buffer of taken.slice(0, 2)) pool.give(buffer);
  t.equal(pool.take(false), undefined, 'these two are gone for good');
  pool.give(taken[2]!);
  t.equal(pool.available, 1);
  pool.resize(4 * MiB);
  t.equal(pool.available, 3);
  t.end();
});
