import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { KiB, MiB } from '../../../src/base/units.ts';
import { BufferPool } from '../../../src/http/buffer-pool.ts';
import { RunStopped, RunWriter, type RunTarget } from '../../../src/p2p/peer/run-writer.ts';
import { until } from '../../support/piece-rig.ts';

const BLOB = randomBytes(3 * MiB + 11);
const POOL_BYTES = 8 * MiB;

/** Keeps what is stored; a store ends when the test lets it. */
class Target implements RunTarget {
  readonly kept = Buffer.alloc(BLOB.length);
  readonly stores: { position: number; length: number }[] = [];
  isWaiting = false;
  #pending: (() => void)[] = [];

  begin(): void {}
  came(): void {}
  isAwaited(): boolean {
    return this.isWaiting;
  }
  mayReadTo(): number {
    return Number.POSITIVE_INFINITY;
  }
  flowChanged(): Promise<void> {
    return new Promise(() => undefined);
  }
  async store(bytes: Buffer, position: number): Promise<void> {
    this.stores.push({ position, length: bytes.length });
    await new Promise<void>((resolve) => this.#pending.push(resolve));
    // As late as it may be: what is not kept as it was until now is seen.
    bytes.copy(this.kept, position);
  }
  finishStores(): void {
    for (const resolve of this.#pending.splice(0)) resolve();
  }
}

/** Feeds the bytes up to `end` as a source would: into the room that there is (`inPlace`), or from memory of its own. */
async function feed(
  writer: RunWriter,
  target: Target,
  chunks: readonly { size: number; inPlace: boolean }[],
  end: number,
) {
  for (let i = 0, at = 0; at < end; i += 1) {
    const { size, inPlace } = chunks[i % chunks.length]!;
    const room = inPlace ? writer.room() : undefined;
    const part = BLOB.subarray(at, Math.min(end, at + Math.min(size, room?.length ?? Infinity)));
    room?.set(part);
    const goOn = writer.write(room ? room.subarray(0, part.length) : Buffer.from(part));
    at += part.length;
    if (i % 3 === 0) target.finishStores();
    if (goOn) continue;
    const drained = writer.drained();
    target.finishStores();
    await drained;
  }
}

async function finish(writer: RunWriter, target: Target): Promise<void> {
  let isOver = false;
  const over = writer.finish().finally(() => {
    isOver = true;
  });
  await until(() => {
    target.finishStores();
    return isOver;
  });
  await over;
}

t.test('whatever comes, in place or not, is stored as it came, and every buffer comes back', async () => {
  const chunk = fc.record({ size: fc.integer({ min: 1, max: 700 * KiB }), inPlace: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(
      fc.array(chunk, { minLength: 1, maxLength: 8 }).filter((chunks) => chunks.some(({ size }) => size > 10 * KiB)),
      fc.boolean(),
      fc.constantFrom(POOL_BYTES, 2 * MiB, 0),
      async (chunks, isWaiting, poolBytes) => {
        const pool = new BufferPool(poolBytes);
        const target = new Target();
        target.isWaiting = isWaiting;
        const writer = new RunWriter(target, pool, 0, BLOB.length);
        await feed(writer, target, chunks, BLOB.length);
        await finish(writer, target);
        const isInOrder = target.stores.every(
          ({ position }, i, all) => position === (i === 0 ? 0 : all[i - 1]!.position + all[i - 1]!.length),
        );
        return isInOrder && target.kept.equals(BLOB) && pool.available === poolBytes / MiB;
      },
    ),
    { numRuns: 40 },
  );
});

t.test('a source goes on while eight writes are under way, and two while the pool is low', async (t) => {
  const megabytes = 12;
  const underWay = async (poolBytes: number): Promise<number> => {
    const target = new Target();
    const writer = new RunWriter(target, new BufferPool(poolBytes), 0, megabytes * MiB);
    let goOn = true;
    while (goOn) {
      const room = writer.room()!;
      goOn = writer.write(room);
    }
    const { length } = target.stores;
    writer.stopBefore(0);
    await finish(writer, target);
    return length;
  };
  t.equal(await underWay(64 * MiB), 8);
  t.equal(await underWay(4 * MiB), 2);
  t.equal(await underWay(0), 2);
});

t.test('after an early write the room goes on behind it, in the same buffer', async (t) => {
  const pool = new BufferPool(POOL_BYTES);
  const target = new Target();
  target.isWaiting = true;
  const writer = new RunWriter(target, pool, 0, BLOB.length);
  const room = writer.room()!;
  BLOB.copy(room, 0, 0, 100);
  writer.write(room.subarray(0, 100));
  t.same(target.stores, [{ position: 0, length: 100 }], 'somebody waits for it');
  const next = writer.room()!;
  t.equal(next.buffer, room.buffer);
  t.equal(next.byteOffset, room.byteOffset + 100);
  target.finishStores();
  BLOB.copy(next, 0, 100, 200);
  t.equal(pool.available, 7, 'the buffer is still to be read into');
  writer.write(next.subarray(0, 100));
  await finish(writer, target);
  t.ok(target.kept.subarray(0, 200).equals(BLOB.subarray(0, 200)));
  t.equal(pool.available, 8);
});

t.test('a run that is cut stops there, though its room is larger', async (t) => {
  const pool = new BufferPool(POOL_BYTES);
  const target = new Target();
  const writer = new RunWriter(target, pool, 0, BLOB.length);
  const room = writer.room()!;
  t.equal(writer.stopBefore(50), false);
  BLOB.copy(room, 0, 0, 100);
  let thrown: unknown;
  try {
    writer.write(room.subarray(0, 100));
  } catch (error) {
    thrown = error;
  }
  t.ok(thrown instanceof RunStopped);
  t.equal(writer.room(), undefined);
  await finish(writer, target);
  t.same(target.stores, [{ position: 0, length: 50 }]);
  t.equal(pool.available, 8);
});
