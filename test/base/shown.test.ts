import fc from 'fast-check';
import t from 'tap';
import {
  atBoth,
  atEither,
  formatShown,
  isAt,
  MAX_PLACES,
  NOWHERE,
  parseShown,
  placeOf,
  type Places,
} from '../../src/base/shown.ts';

const place = fc.nat({ max: 30 }).map((n) => placeOf(`registry.test/org/app${n}`));
const places: fc.Arbitrary<Places> = fc.oneof(
  fc.constant<Places>('all'),
  fc.array(place, { maxLength: MAX_PLACES }).map((list) => new Set(list)),
);

t.test('what is said of places is read as it was meant, and nothing else is', (t) => {
  fc.assert(
    fc.property(places, fc.boolean(), (at, isWhole) => {
      t.same(parseShown(formatShown({ at, isWhole })), { at, isWhole });
    }),
  );
  t.same(parseShown('part'), { at: NOWHERE, isWhole: false });
  for (const text of [
    '',
    'whole ',
    'all',
    'whole *,a',
    'whole x',
    `part ${placeOf('a')},`,
    'WHOLE *',
    'part * ',
    'whole  *',
  ]) {
    t.equal(parseShown(text), undefined, JSON.stringify(text));
  }
  t.equal(
    parseShown(`whole ${Array.from({ length: MAX_PLACES + 1 }, (_, n) => placeOf(`${n}`)).join(',')}`),
    undefined,
  );
  t.end();
});

t.test('both and either are what they say', (t) => {
  fc.assert(
    fc.property(places, places, place, (one, other, where) => {
      t.equal(isAt(where, atBoth(one, other)), isAt(where, one) && isAt(where, other));
      const either = atEither(one, other);
      // The oldest may be forgotten, which costs a proof; none is made up.
      t.ok(!isAt(where, either) || isAt(where, one) || isAt(where, other));
      t.ok(either === 'all' || either.size <= MAX_PLACES);
      if (atBoth(one, other) !== one) t.notSame(atBoth(one, other), one);
    }),
  );
  t.ok(isAt('x', atEither(new Set(['x']), NOWHERE)));
  t.not(placeOf('a/b'), placeOf('a/c'));
  t.end();
});
