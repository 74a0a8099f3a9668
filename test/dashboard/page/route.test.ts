import fc from 'fast-check';
import t from 'tap';
import { blobLink, peerLink, routeOf } from '../../../src/dashboard/page/route.ts';

t.test('a link leads to what it was made for, whatever that is called', async () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 1, unit: 'grapheme' }),
      (name) =>
        JSON.stringify(routeOf(peerLink(name))) === JSON.stringify({ kind: 'peer', id: name }) &&
        JSON.stringify(routeOf(blobLink(name))) === JSON.stringify({ kind: 'blob', digest: name }),
    ),
  );
});

t.test('anything else leads to the overview', async (t) => {
  for (const hash of ['', '#', '#/', '#main', '#/peers/', '#/others/x', '#/peers/%E0%A4%A'])
    t.same(routeOf(hash), { kind: 'overview' }, hash);
});
