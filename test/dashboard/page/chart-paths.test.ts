import fc from 'fast-check';
import t from 'tap';
import { chartPaths, HEIGHT, SAMPLES } from '../../../src/dashboard/page/chart-paths.ts';
import { MAX_SAMPLES, SAMPLE_MS } from '../../../src/p2p/supernode/traffic.ts';

t.test('bars of sources, stacked, at their time, below a round figure', async (t) => {
  t.same(chartPaths([]), { top: 1, most: 0, last: 0, paths: ['', '', ''] });
  const { top, most, last, paths } = chartPaths([
    [0, 5000, 0, 0, 0],
    [15_000, 0, 0, 0, 0],
    [20_000, 250, 500, 0, 0],
  ]);
  t.same({ top, most, last }, { top: 1000 * 1.024, most: 1000, last: 150 });
  t.same(paths, ['M175 2.344h1v97.656h-1zM179 95.117h1v4.883h-1z', 'M179 85.352h1v9.766h-1z', '']);
});

t.test('it is as long as what the supernode keeps', async (t) => {
  t.equal(SAMPLES, MAX_SAMPLES);
  const { paths } = chartPaths([
    [0, 1, 0, 0, 0],
    [SAMPLES * SAMPLE_MS, 1, 0, 0, 0],
  ]);
  t.match(paths[0], /^M179 [^M]*$/, 'what is older is left out');
});

t.test('property: nothing sticks out', async () => {
  const sample = fc.tuple(fc.nat(20_000), fc.nat(2 ** 40), fc.nat(2 ** 40), fc.nat(2 ** 40), fc.nat());
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 50 }), (samples) => {
      let at = 0;
      const { paths } = chartPaths(samples.map(([ms, ...bytes]) => [(at += ms), ...bytes] as const));
      return paths.every((path) =>
        [...path.matchAll(/M(\d+) (\S+)h1v(\S+)h-1z/g)].every(([, x, y, height]) => {
          const [left, top, tall] = [Number(x), Number(y), Number(height)];
          return left >= 0 && left < SAMPLES && top >= -0.01 && tall >= 0 && top + tall <= HEIGHT + 0.01;
        }),
      );
    }),
  );
});
