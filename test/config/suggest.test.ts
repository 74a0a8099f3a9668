import fc from 'fast-check';
import t from 'tap';
import { editDistance, nearest } from '../../src/config/suggest.ts';

t.test('the nearest name, if one is near', (t) => {
  const names = ['listen', 'listeners', 'defaultUpstream', 'staleTags', 'url'];
  t.equal(nearest('listn', names), 'listen');
  t.equal(nearest('lsiten', names), 'listen', 'two letters swapped');
  t.equal(nearest('listener', names), 'listeners');
  t.equal(nearest('StaleTags', names), 'staleTags', 'capitals do not count');
  t.equal(nearest('defaultupstrem', names), 'defaultUpstream');
  t.equal(nearest('urll', names), 'url');
  t.equal(nearest('ur', names), 'url');
  t.equal(nearest('quota', names), undefined);
  t.equal(nearest('', names), undefined);
  t.end();
});

t.test('the distance is a metric that the length bounds', (t) => {
  const word = fc.stringMatching(/^[ab]{0,8}$/);
  const distance = (a: string, b: string) => editDistance(a, b, 100);
  fc.assert(
    fc.property(word, word, (a, b) => {
      const d = distance(a, b);
      t.equal(d, distance(b, a));
      t.equal(d === 0, a === b);
      t.ok(d >= Math.abs(a.length - b.length) && d <= Math.max(a.length, b.length));
      t.equal(editDistance(a, b, 2), Math.min(2, d), 'cut off where it is enough');
    }),
  );
  t.equal(distance('ab', 'ba'), 1);
  t.equal(distance('kitten', 'sitting'), 3);
  t.end();
});
