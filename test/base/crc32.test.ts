import { crc32 as nodes } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { crc32, fastestOf } from '../../src/base/crc32.ts';

t.test('it is the CRC-32 of zlib, whatever memory the bytes are in and however they are cut', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), fc.nat(5000), fc.boolean(), (bytes, cut, isShared) => {
      const all = isShared ? Buffer.from(new SharedArrayBuffer(bytes.length)) : Buffer.alloc(bytes.length);
      all.set(bytes);
      const expected = nodes(bytes);
      const inTwo = crc32(all.subarray(cut), crc32(all.subarray(0, cut)));
      return crc32(all) === expected && inTwo === expected;
    }),
  );
});

t.test('where a package was installed it is the faster one', async (t) => {
  t.not(crc32, nodes, 'the optional package is there');
});

t.test('without the package, or with one that gives something else, it is that of Node', async (t) => {
  const missing = (): never => {
    throw Object.assign(new Error('no such module'), { code: 'MODULE_NOT_FOUND' });
  };
  t.equal(fastestOf(missing), nodes);
  t.equal(
    fastestOf(() => ({ crc32: () => 7 })),
    nodes,
  );
  const other = (bytes: Uint8Array, before?: number): number => nodes(bytes, before);
  t.equal(
    fastestOf(() => ({ crc32: other })),
    other,
  );
});
