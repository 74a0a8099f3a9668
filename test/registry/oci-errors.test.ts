import fc from 'fast-check';
import t from 'tap';
import { safeWords, wordsOfErrorBody } from '../../src/registry/oci-errors.ts';

const words = (body: string, type?: string) => wordsOfErrorBody(Buffer.from(body), type, []);

t.test('what origins say', async (t) => {
  t.equal(words('{"errors":[{"code":"DENIED","message":"no"},{"code":"X"}]}'), 'DENIED: no; X');
  t.equal(words('{"details":"incorrect username or password"}'), 'incorrect username or password');
  t.equal(words('{"error":"invalid_grant","message":"bad"}'), 'bad; invalid_grant');
  t.equal(words('too many\n requests', 'text/plain'), 'too many requests');
  for (const body of ['', '<html>', '[]', 'null', '7', '{}', '{"errors":[null,7,{}]}', '{"errors":{}}']) {
    t.equal(words(body, 'application/json'), undefined, body);
  }
});

t.test('no secret and no mess', async (t) => {
  const digest = `sha256:${'ab'.repeat(32)}`;
  t.equal(safeWords(`manifest ${digest} unknown`), `manifest ${digest} unknown`);
  t.equal(safeWords('see https://h.test/p?sig=secret#x now'), 'see https://h.test/p now');
  t.equal(safeWords('Bearer abc.def, Basic dXNlcjpwYXNz'), 'Bearer …, Basic …');
  t.equal(safeWords(`token ${'Ab1_'.repeat(30)}`), 'token …');
  t.equal(safeWords('a\u0000b\u001b[31m\u2028c'), 'a b [31m c');
  t.equal(safeWords('wörter '.repeat(100)).length, 200);
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (text) => {
      const safe = safeWords(text);
      return safe.length <= 200 && !/[\u0000-\u001f\u007f]/.test(safe) && !/[A-Za-z0-9_-]{65,}/.test(safe);
    }),
  );
  fc.assert(fc.property(fc.json(), (body) => (words(body) ?? '').length <= 200));
});
