import t from 'tap';
import { hasBody } from '../../../src/p2p/peer/piece-http.ts';

t.test('a request has a body where its headers say so, in either way', (t) => {
  t.notOk(hasBody({ headers: {} }));
  t.notOk(hasBody({ headers: { 'content-length': '0' } }));
  t.ok(hasBody({ headers: { 'content-length': '1' } }));
  t.ok(hasBody({ headers: { 'transfer-encoding': 'chunked' } }));
  t.end();
});
