import t from 'tap';
import * as errors from '../../src/proxy/errors.ts';
import { ociAnswer } from '../../src/proxy/oci-errors.ts';
import { codedError } from '../../src/base/errors.ts';

t.test('errors become what the spec names', (t) => {
  const cases: [unknown, number, string][] = [
    [new errors.NameInvalid({ seen: '"x"' }), 400, 'NAME_INVALID'],
    [new errors.TagInvalid({ seen: '"x"' }), 400, 'MANIFEST_INVALID'],
    [new errors.DigestInvalid({ seen: '"x"' }), 400, 'DIGEST_INVALID'],
    [new errors.UrlTooLong({ length: 9, most: 8 }), 414, 'NAME_INVALID'],
    [new errors.NamespaceInvalid({ seen: '"x"' }), 400, 'NAME_INVALID'],
    [new errors.NamespaceConflict({ one: 'a.io', other: 'b.io' }), 400, 'NAME_INVALID'],
    [new errors.RangesRefused({ most: 3 }), 400, 'RANGE_INVALID'],
    [new errors.WriteUnsupported({ method: 'PUT' }), 405, 'UNSUPPORTED'],
    [new errors.CatalogUnsupported({}), 404, 'UNSUPPORTED'],
    [new errors.UpstreamUnknown({ host: 'x.io' }), 404, 'NAME_UNKNOWN'],
    [new errors.LoopbackOnly({ host: 'x.io' }), 404, 'BLOB_UNKNOWN'],
    [new errors.FirstByteLate({ waitedMs: 25_000 }), 404, 'BLOB_UNKNOWN'],
  ];
  for (const [error, status, code] of cases) {
    const answer = ociAnswer(error, 'blob');
    t.equal(answer.status, status, code);
    const [said] = (JSON.parse(answer.body) as { errors: { code: string; message: string; detail: object }[] }).errors;
    t.match(said, { code, message: String, detail: { code: String, seen: String, todo: String } });
    t.equal(answer.headers['Content-Length'], String(Buffer.byteLength(answer.body)));
    t.equal(answer.headers['Content-Type'], 'application/json');
  }
  t.equal(ociAnswer(new errors.WriteUnsupported({ method: 'PUT' }), 'other').headers['Allow'], 'GET, HEAD');
  const outside = ociAnswer(new errors.RangeUnsatisfiable({ size: 10 }), 'blob');
  t.equal(outside.status, 416);
  t.equal(outside.headers['Content-Range'], 'bytes */10');
  t.end();
});

t.test('all else is "not here", by the subject, and never a 5xx', (t) => {
  const Odd = codedError('ODD', { message: () => 'odd', todo: 'nothing' });
  t.match(ociAnswer(new Odd({}), 'manifest'), { status: 404, body: /"MANIFEST_UNKNOWN".*"code":"ODD"/ });
  t.match(ociAnswer(new Odd({}), 'other'), { status: 404, body: /"NAME_UNKNOWN"/ });
  const fault = ociAnswer(new TypeError('secret internals'), 'blob');
  t.match(fault, { status: 404, body: /"INTERNAL"/ });
  t.notMatch(fault.body, 'secret');
  t.end();
});
