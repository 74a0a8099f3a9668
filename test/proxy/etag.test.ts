import t from 'tap';
import { etagOf, noneMatch, rangeApplies } from '../../src/proxy/etag.ts';

const DIGEST = 'sha256:aa';

t.test('If-None-Match', (t) => {
  t.equal(etagOf(DIGEST), '"sha256:aa"');
  for (const header of ['"sha256:aa"', 'sha256:aa', 'W/"sha256:aa"', '"x", "sha256:aa"', '*']) {
    t.equal(noneMatch(header, DIGEST), true, header);
  }
  for (const header of [undefined, '', '"sha256:ab"', '"sha256:aa', '"x"'])
    t.equal(noneMatch(header, DIGEST), false, String(header));
  t.end();
});

t.test('If-Range takes a strong tag only', (t) => {
  t.equal(rangeApplies(undefined, DIGEST), true);
  t.equal(rangeApplies('"sha256:aa"', DIGEST), true);
  for (const header of ['W/"sha256:aa"', '"other"', 'Sat, 29 Oct 1994 19:43:31 GMT', '']) {
    t.equal(rangeApplies(header, DIGEST), false, header);
  }
  t.end();
});
