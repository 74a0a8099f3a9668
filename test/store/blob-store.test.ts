import t from 'tap';
import { MemoryStore } from '../support/memory-store.ts';
import { contentOf, fill, sampleBlob, storeConformance } from '../support/store-conformance.ts';

storeConformance(t, 'MemoryStore', (_t, quotaBytes) => new MemoryStore({ quotaBytes }));

t.test('MemoryStore can be made to fail as a disk does', async (t) => {
  const store = new MemoryStore();
  const blob = sampleBlob(5000);
  store.failWritesFrom = 3000;
  const incoming = await store.receive(blob.digest, { size: 5000, pieceSize: 1000 });
  await incoming.write(blob.bytes.subarray(0, 3000), 0);
  await t.rejects(incoming.write(blob.bytes.subarray(3000), 3000), { code: 'STORE_NO_ROOM' });
  await incoming.discard();

  store.failWritesFrom = Infinity;
  await fill(store, blob);
  t.same(store.usage(), { bytes: 5000, quota: Infinity });
  store.failReadsFrom = 4000;
  await t.rejects(contentOf(store, blob.digest), { code: 'STORE_READ_FAILED' });
  t.equal(store.sizeOf(blob.digest), undefined);
});
