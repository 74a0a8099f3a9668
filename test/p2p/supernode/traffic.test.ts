import fc from 'fast-check';
import t from 'tap';
import { MAX_SAMPLES, SAMPLE_MS, Traffic } from '../../../src/p2p/supernode/traffic.ts';

t.test('totals count from the start of each process, the history what came meanwhile', async (t) => {
  const traffic = new Traffic();
  traffic.told('one', [10, 20, 30, 40], 1000);
  t.match(traffic.view(0), { store: 10, peers: 20, origin: 30, read: 40, saved: 20, history: [] });
  traffic.told('one', [11, 22, 33, 44], 2000);
  traffic.told('two', [0, 100, 0, 0], 3000);
  traffic.told('one', [11, 22, 33, 44], 1000 + SAMPLE_MS);
  t.match(traffic.view(500_000), {
    store: 11,
    peers: 122,
    origin: 33,
    read: 44,
    history: [[501_000 + SAMPLE_MS, 1, 2, 3, 4]],
  });
  t.same(traffic.of('two'), [0, 100, 0, 0]);
  t.equal(traffic.of('three'), undefined);
});

t.test('the process that was started anew counts on', async (t) => {
  const traffic = new Traffic();
  traffic.told('first', [0, 50, 0, 0], 0);
  traffic.told('second', [0, 7, 0, 0], 1);
  t.equal(traffic.view(0).peers, 57);
});

t.test('however much is told: no sum goes down, the history is bounded', async () => {
  const bytes = fc.tuple(fc.nat(), fc.nat(), fc.nat(), fc.nat());
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom('a', 'b'), bytes, fc.nat(3 * SAMPLE_MS)), { maxLength: 300 }),
      (all) => {
        const traffic = new Traffic();
        let now = 0;
        let before = traffic.view(0);
        for (const [instance, bytes, ms] of all) {
          now += ms;
          traffic.told(instance, bytes, now);
          const view = traffic.view(0);
          for (const key of ['store', 'peers', 'origin', 'read'] as const) if (view[key] < before[key]) return false;
          if (view.history.length > MAX_SAMPLES) return false;
          before = view;
        }
        return true;
      },
    ),
    { numRuns: 20 },
  );
});
