import fc from 'fast-check';
import t from 'tap';
import { parseContentLength, parseContentRange } from '../../src/registry/content-range.ts';

t.test('Content-Range', async (t) => {
  t.strictSame(parseContentRange('bytes 0-99/200'), { start: 0, end: 100, total: 200 });
  t.strictSame(parseContentRange(' BYTES 5-5/* '), { start: 5, end: 6, total: undefined });
  const bad = [
    '',
    'bytes */5',
    'bytes 5-4/9',
    'bytes 0-9/9',
    'bytes 0-9',
    'items 0-1/2',
    'bytes 0-99999999999999999/*',
    'bytes -1-2/3',
  ];
  for (const header of [undefined, ...bad]) t.equal(parseContentRange(header), undefined, String(header));
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1 }), fc.nat(), (start, length, more) => {
      const [end, total] = [start + length, start + length + more];
      const parsed = parseContentRange(`bytes ${start}-${end - 1}/${total}`);
      return parsed?.start === start && parsed.end === end && parsed.total === total;
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => parseContentRange(text) === undefined || text.includes('-')));
});

t.test('Content-Length', async (t) => {
  t.equal(parseContentLength('0'), 0);
  t.equal(parseContentLength('123'), 123);
  for (const header of [undefined, '', '-1', '1.5', '5, 5', '1e3', '9'.repeat(16)])
    t.equal(parseContentLength(header), undefined);
});
