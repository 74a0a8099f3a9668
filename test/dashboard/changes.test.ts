import fc from 'fast-check';
import t from 'tap';
import { Changes } from '../../src/dashboard/changes.ts';
import { applyChange, type Snapshot } from '../../src/dashboard/page/model.ts';

const KEYS = ['a', 'b', 'c', 'd', 'e'];

const rows = (key: 'id' | 'digest') =>
  fc.uniqueArray(fc.record({ [key]: fc.constantFrom(...KEYS), blobs: fc.nat(2) }), {
    selector: (row) => row[key],
  });
const snapshots = fc.record({
  version: fc.constantFrom('1', '2'),
  rejected: fc.array(fc.record({ code: fc.constantFrom('X', 'Y') }), { maxLength: 2 }),
  peers: rows('id'),
  blobs: rows('digest'),
}) as unknown as fc.Arbitrary<Snapshot>;

/** Rows have no order of their own. */
function sorted(snapshot: Snapshot): unknown {
  const by = (list: readonly unknown[]) => list.map((row) => JSON.stringify(row)).sort();
  return JSON.parse(JSON.stringify({ ...snapshot, peers: by(snapshot.peers), blobs: by(snapshot.blobs) })) as unknown;
}

t.test('a snapshot and the changes after it make each later snapshot', async (t) => {
  fc.assert(
    fc.property(fc.array(snapshots, { minLength: 1, maxLength: 12 }), (all) => {
      const changes = new Changes();
      changes.next(all[0]!);
      let known = all[0]!;
      for (const next of all.slice(1)) {
        const change = changes.next(next);
        if (change) known = applyChange(known, change);
        t.strictSame(sorted(known), sorted(next));
      }
    }),
    { numRuns: 60 },
  );
});

t.test('what is the same is not told again', async (t) => {
  const changes = new Changes();
  const rows = Array.from({ length: 1000 }, (_, id) => ({ id: String(id), blobs: 0 }));
  const first = { version: '1', peers: rows, blobs: [], rejected: [] } as unknown as Snapshot;
  t.ok(changes.next(first));
  t.equal(changes.next(structuredClone(first)), undefined);
  const more = { ...first, peers: rows.map((row) => (row.id === '7' ? { ...row, blobs: 1 } : row)) };
  t.same(changes.next(more as unknown as Snapshot), { peers: { set: [{ id: '7', blobs: 1 }], gone: [] } });
  t.same(changes.next({ ...more, peers: more.peers.slice(1) } as unknown as Snapshot), {
    peers: { set: [], gone: ['0'] },
  });
});
