import fc from 'fast-check';
import t from 'tap';
import { decodeFileHeaders, encodeFileHeaders, fileHeadersOf } from '../../src/files/file-headers.ts';

const NAMES = fc.stringMatching(/^x-[a-z0-9]{1,20}$/);
const VALUES = fc.stringMatching(/^[!-~]([ -~]{0,40}[!-~])?$/);

t.test('what is taken comes out again', async () => {
  fc.assert(
    fc.property(fc.dictionary(NAMES, VALUES, { minKeys: 1, maxKeys: 16 }), (headers) => {
      const taken = fileHeadersOf(Object.entries(headers))!;
      const again = decodeFileHeaders(encodeFileHeaders(taken))!;
      return JSON.stringify(again) === JSON.stringify(taken) && Object.keys(again).every((name) => name in headers);
    }),
  );
});

t.test('whatever comes is taken or refused, and no value is told', async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string(), fc.string({ minLength: 6 })), { maxLength: 4 }), (pairs) => {
      try {
        const headers = fileHeadersOf(pairs) ?? {};
        return Object.values(headers).every((value) => !/[\r\n\0]/.test(value));
      } catch (error) {
        return (error as { code: string }).code === 'FILE_HEADER_INVALID';
      }
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        decodeFileHeaders(text);
        return true;
      } catch (error) {
        return (error as { code: string }).code === 'FILE_HEADER_INVALID';
      }
    }),
  );
});

t.test('what is not for askers to set, and what is odd', async (t) => {
  const refused = (pairs: [string, string][], why: RegExp) =>
    t.throws(() => fileHeadersOf(pairs), { code: 'FILE_HEADER_INVALID', message: why });
  for (const name of [
    'Host',
    'Range',
    'If-Match',
    'Content-Length',
    'Transfer-Encoding',
    'Connection',
    'Proxy-Authorization',
  ])
    refused([[name, 'x']], new RegExp(`${name.toLowerCase()} is set by Hawker`));
  refused([['a b', 'x']], /no name/);
  refused([['x-a', 'hunter2\r\nx-b: y']], /^(?!.*hunter2).*x-a has no value/);
  refused([['x-a', '']], /no value/);
  refused(
    [
      ['X-A', '1'],
      ['x-a', '2'],
    ],
    /twice/,
  );
  refused(
    Array.from({ length: 17 }, (_, i) => [`x-${i}`, '1']),
    /more than 16/,
  );
  t.equal(fileHeadersOf([]), undefined);
  t.equal(decodeFileHeaders(undefined), undefined);
  t.throws(() => encodeFileHeaders({ 'x-a': 'x'.repeat(9000) }), { code: 'FILE_HEADER_INVALID' });
});
