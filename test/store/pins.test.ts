import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { digestOf, type Digest } from '../../src/base/digest.ts';
import { MiB } from '../../src/base/units.ts';
import type { DiskStore } from '../../src/store/disk-store.ts';
import { parsePins } from '../../src/store/pins.ts';
import { chargeFor } from '../../src/store/quota.ts';
import { openStore, temporaryDirectory } from './temporary.ts';

const SIZE = 4096;

async function put(store: DiskStore, seed: string, size = SIZE): Promise<Digest> {
  const bytes = Buffer.alloc(size, seed);
  const digest = digestOf(bytes);
  const blob = await store.receive(digest, { size, pieceSize: MiB });
  await blob.write(bytes, 0);
  await blob.publish(digest, size);
  await blob.close();
  return digest;
}

const pinOf = (name: string, ...digests: Digest[]) => ({
  name,
  digest: digests[0]!,
  at: 5,
  blobs: new Map(digests.map((digest) => [digest, SIZE])),
});

async function fill(t: Test, dir: string, quotaBytes = 8 * SIZE) {
  return (await openStore(t, dir, { quotaBytes })).store;
}

t.test('what is pinned stays when room is wanted, in the next process too; unpinned it goes', async (t) => {
  const dir = await temporaryDirectory(t);
  const store = await fill(t, dir);
  const pinned = await put(store, 'a');
  await store.pin(pinOf('x/a:1', pinned));
  t.equal(store.usage().pinned, SIZE);
  for (const seed of 'bcdefghijkl') await put(store, seed);
  t.equal(store.sizeOf(pinned), SIZE);
  t.ok(store.usage().bytes <= store.usage().quota);
  t.match(
    [...store.inventory()].find(({ digest }) => digest === pinned),
    { isPinned: true, isInUse: false },
  );

  const reader = await store.open(pinned);
  t.ok([...store.inventory()].find(({ digest }) => digest === pinned)?.isInUse);
  await reader!.close();
  await store.close();

  const next = await fill(t, dir);
  t.match(next.pins(), [{ name: 'x/a:1', digest: pinned, at: 5 }]);
  for (const seed of 'mnopqrstuvw') await put(next, seed);
  t.equal(next.sizeOf(pinned), SIZE, 'pinned by the process before');
  t.equal(await next.unpin('x/a:1'), true);
  t.equal(await next.unpin('x/a:1'), false);
  t.equal(next.usage().pinned, 0);
  for (const seed of 'ABCDEFGHIJK') await put(next, seed);
  t.equal(next.sizeOf(pinned), undefined);
});

t.test('a blob that comes in after it was pinned is kept as well; removed it is gone', async (t) => {
  const dir = await temporaryDirectory(t);
  const store = await fill(t, dir);
  const bytes = Buffer.alloc(SIZE, 'z');
  await store.pin(pinOf('x/z:1', digestOf(bytes)));
  const digest = await put(store, 'z');
  for (const seed of 'bcdefghijkl') await put(store, seed);
  t.equal(store.sizeOf(digest), SIZE);
  const before = store.usage().bytes;
  t.equal(await store.remove(digest), true);
  t.equal(store.usage().bytes, before - SIZE, 'the books');
});

t.test('no more than half of the quota, and nothing changes where it cannot be', async (t) => {
  const dir = await temporaryDirectory(t);
  const store = await fill(t, dir);
  const digests = await Promise.all(Array.from('abcde').map((seed) => put(store, seed)));
  await store.pin(pinOf('x/a:1', ...digests.slice(0, 4)));
  await t.rejects(store.pin(pinOf('x/b:1', digests[4]!)), { code: 'PIN_TOO_LARGE' });
  await store.pin(pinOf('x/c:1', digests[0]!));
  t.equal(store.usage().pinned, 4 * SIZE, 'what two need counts once');
  await store.pin(pinOf('x/a:1', digests[1]!));
  t.equal(store.usage().pinned, 2 * SIZE, 'pinned again by the same name: in the place of the first');
  t.same(
    store
      .pins()
      .map(({ name }) => name)
      .sort(),
    ['x/a:1', 'x/c:1'],
  );
});

t.test('a file that is damaged is said, and the store opens without', async (t) => {
  const dir = await temporaryDirectory(t);
  const store = await fill(t, dir);
  await store.pin(pinOf('x/a:1', await put(store, 'a')));
  await store.close();
  const path = join(dir, 'v1', 'pins.json');
  const good = await readFile(path);
  await writeFile(path, good.subarray(0, 40));
  const { store: next, codes } = await openStore(t, dir);
  t.same(next.pins(), []);
  t.ok(codes().includes('PINS_DAMAGED'));
  t.equal(parsePins(good).size, 1);
  fc.assert(
    fc.property(fc.json(), (text) => {
      try {
        return parsePins(Buffer.from(text)).size === 0;
      } catch {
        return true;
      }
    }),
  );
});

t.test('the books hold, whatever is pinned, unpinned, read and removed', async (t) => {
  const dir = await temporaryDirectory(t);
  const store = await fill(t, dir, 20 * SIZE);
  const digests = await Promise.all(Array.from('abcdefgh').map((seed) => put(store, seed)));
  const one = fc.integer({ min: 0, max: digests.length - 1 });
  const act = fc.tuple(fc.constantFrom('pin', 'unpin', 'read', 'remove', 'put'), one);
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 25 }), async (acts) => {
      for (const [kind, i] of acts) {
        const digest = digests[i]!;
        if (kind === 'pin') await store.pin(pinOf(`x/${i}:1`, digest));
        else if (kind === 'unpin') await store.unpin(`x/${i}:1`);
        else if (kind === 'remove') await store.remove(digest);
        else if (kind === 'put') await put(store, 'abcdefgh'[i]!);
        else await (await store.open(digest))?.close();
      }
      const listed = [...store.inventory()].reduce((sum, { size }) => sum + chargeFor(size), 0);
      return listed === store.usage().bytes;
    }),
    { numRuns: 30 },
  );
});
