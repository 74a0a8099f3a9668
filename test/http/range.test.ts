import fc from 'fast-check';
import t from 'tap';
import { contentRange, MAX_RANGES, parseRange, resolveRange, type RangeSpec } from '../../src/http/range.ts';

t.test('parses what RFC 9110 allows, ignores all else', (t) => {
  t.same(parseRange('bytes=0-99'), [{ first: 0, last: 99 }]);
  t.same(parseRange('bytes=5-'), [{ first: 5, last: undefined }]);
  t.same(parseRange('bytes=-7'), [{ suffix: 7 }]);
  t.same(parseRange('BYTES=0-0'), [{ first: 0, last: 0 }], 'units have no case');
  t.same(parseRange('bytes=0-1, ,\t4-5'), [
    { first: 0, last: 1 },
    { first: 4, last: 5 },
  ]);
  for (const bad of [
    '',
    'bytes',
    'bytes=',
    'bytes=,',
    'bytes=-',
    'bytes=a-b',
    'bytes=5-4',
    'items=0-1',
    'bytes=0-1;2-3',
  ]) {
    t.equal(parseRange(bad), undefined, JSON.stringify(bad));
  }
  t.equal(parseRange(undefined), undefined);
  t.equal(parseRange('bytes=0-99999999999999999999'), undefined, 'no number that is not exact');
  t.end();
});

t.test('applies them to a size', (t) => {
  const ask = (header: string, size: number) => resolveRange(parseRange(header), size);
  t.same(ask('bytes=2-3', 10), { kind: 'single', slice: { start: 2, end: 4 } });
  t.same(ask('bytes=2-99', 10), { kind: 'single', slice: { start: 2, end: 10 } });
  t.same(ask('bytes=-3', 10), { kind: 'single', slice: { start: 7, end: 10 } });
  t.same(ask('bytes=-30', 10), { kind: 'single', slice: { start: 0, end: 10 } });
  t.same(ask('bytes=10-', 10), { kind: 'unsatisfiable' });
  t.same(ask('bytes=-0', 10), { kind: 'unsatisfiable' });
  t.same(ask('bytes=0-', 0), { kind: 'whole' }, 'an empty blob is never a 416');
  t.same(ask('', 10), { kind: 'whole' });
  t.same(ask('bytes=0-1,4-5', 10), {
    kind: 'multi',
    slices: [
      { start: 0, end: 2 },
      { start: 4, end: 6 },
    ],
  });
  t.same(ask('bytes=0-1,40-50', 10), { kind: 'multi', slices: [{ start: 0, end: 2 }] }, 'still multipart');
  t.same(ask('bytes=20-,30-', 10), { kind: 'unsatisfiable' });
  t.same(ask('bytes=0-5,5-6', 10), { kind: 'refused' }, 'overlap');
  const many = (count: number) => `bytes=${Array.from({ length: count }, (_, i) => `${2 * i}-${2 * i}`).join(',')}`;
  t.equal(ask(many(MAX_RANGES), 1e6).kind, 'multi');
  t.equal(ask(many(MAX_RANGES + 1), 1e6).kind, 'refused');
  t.equal(contentRange({ start: 2, end: 4 }, 10), 'bytes 2-3/10');
  t.end();
});

t.test('property: no header throws, and slices lie within the body', (t) => {
  const text = fc.oneof(
    fc.string(),
    fc.string().map((s) => `bytes=${s}`),
    fc.stringMatching(/^bytes=[0-9,\- ]{0,30}$/),
  );
  fc.assert(
    fc.property(text, fc.nat(1000), (header, size) => {
      const answer = resolveRange(parseRange(header), size);
      const slices = answer.kind === 'single' ? [answer.slice] : answer.kind === 'multi' ? answer.slices : [];
      return slices.every(({ start, end }) => start >= 0 && start < end && end <= size);
    }),
  );
  t.end();
});

t.test('property: one range names the bytes that a filter over all positions names', (t) => {
  const spec: fc.Arbitrary<RangeSpec> = fc.oneof(
    fc.record({ suffix: fc.nat(40) }),
    fc.tuple(fc.nat(40), fc.nat(40)).map(([first, more]) => ({ first, last: first + more })),
    fc.nat(40).map((first) => ({ first, last: undefined })),
  );
  const spell = (s: RangeSpec) => ('suffix' in s ? `-${s.suffix}` : `${s.first}-${s.last ?? ''}`);
  fc.assert(
    fc.property(spec, fc.integer({ min: 1, max: 40 }), (s, size) => {
      const named = Array.from({ length: size }, (_, i) => i).filter((i) =>
        'suffix' in s ? i >= size - s.suffix : i >= s.first && i <= (s.last ?? Infinity),
      );
      const answer = resolveRange(parseRange(`bytes=${spell(s)}`), size);
      if (named.length === 0) return answer.kind === 'unsatisfiable';
      return answer.kind === 'single' && answer.slice.start === named[0] && answer.slice.end === named.at(-1)! + 1;
    }),
  );
  t.end();
});
