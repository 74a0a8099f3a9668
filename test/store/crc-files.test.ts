import { existsSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { MiB } from '../../src/base/units.ts';
import { Layout } from '../../src/store/layout.ts';
import { sampleBlob, writePieces } from '../support/store-conformance.ts';
import { openStore, temporaryDirectory } from './temporary.ts';

async function published(t: Test, dir: string, seed = 0) {
  const { store } = await openStore(t, dir);
  const blob = sampleBlob(2 * MiB + 7, seed);
  const incoming = await store.receive(blob.digest, { size: blob.bytes.length, pieceSize: MiB });
  await writePieces(incoming, blob.bytes, MiB, [0, 1, 2]);
  await incoming.publish(blob.digest, blob.bytes.length);
  await incoming.close();
  return { store, ...blob, path: new Layout(dir).crcs(blob.digest) };
}

t.test('they outlive the process, and go with the blob', async (t) => {
  const dir = await temporaryDirectory(t);
  const { store, digest, path } = await published(t, dir);
  const crcs = await store.crcsOf(digest);
  t.equal(crcs?.length, 3);
  await store.close();
  const { store: again } = await openStore(t, dir);
  t.same(await again.crcsOf(digest), crcs);
  await again.remove(digest);
  await again.close();
  t.notOk(existsSync(path));
});

t.test(
  'what is torn, garbled or of another blob counts for nothing; what has no blob is removed at the start',
  async (t) => {
    const dir = await temporaryDirectory(t);
    const { store, digest, path } = await published(t, dir);
    await truncate(path, 100);
    t.equal(await store.crcsOf(digest), undefined);
    await writeFile(path, 'no journal');
    t.equal(await store.crcsOf(digest), undefined);
    await store.close();
    const orphan = new Layout(dir).crcs(sampleBlob(5).digest);
    await writeFile(orphan, 'x');
    const { store: again } = await openStore(t, dir);
    t.notOk(existsSync(orphan));
    t.ok(existsSync(path));
    await again.close();
  },
);

t.test('an eviction takes them along', async (t) => {
  const dir = await temporaryDirectory(t);
  const { store, digest, path } = await published(t, dir);
  await store.close();
  const { store: small } = await openStore(t, dir, { quotaBytes: 3 * MiB });
  const other = sampleBlob(2 * MiB + 7, 1);
  const incoming = await small.receive(other.digest, { size: other.bytes.length, pieceSize: MiB });
  await incoming.discard();
  t.equal(small.sizeOf(digest), undefined, 'the first blob made room');
  await small.close();
  t.notOk(existsSync(path));
});
