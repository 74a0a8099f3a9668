import { basename, dirname, resolve } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { digestAlgorithm, digestOf } from '../../src/base/digest.ts';
import { digestOfBlobName, Layout, parseIncomingName } from '../../src/store/layout.ts';

const layout = new Layout('/var/lib/hawker');
const digest = fc
  .tuple(fc.string(), fc.constantFrom('sha256' as const, 'sha512' as const))
  .map(([seed, algorithm]) => digestOf(seed, algorithm));

t.test('every name that is given to a blob is known again', async (t) => {
  fc.assert(
    fc.property(digest, (digest) => {
      const path = layout.blob(digest);
      t.equal(digestOfBlobName(digestAlgorithm(digest), basename(dirname(path)), basename(path)), digest);
      const data = basename(layout.incomingData(digest));
      const journal = basename(layout.incomingJournal(digest));
      t.same(parseIncomingName(data), { digest, part: 'data' });
      t.same(parseIncomingName(journal), { digest, part: 'journal' });
      for (const path of [layout.blob(digest), layout.incomingData(digest), layout.incomingJournal(digest)]) {
        t.equal(resolve(path), path);
        t.ok(path.startsWith('/var/lib/hawker/v1/'));
      }
    }),
  );
});

t.test('no other name is', async (t) => {
  const hex = 'ab'.repeat(32);
  for (const name of [
    hex,
    `sha256:${hex}`,
    `sha256-${hex}.new`,
    `sha256-${hex.slice(1)}`,
    `md5-${hex}`,
    '.journal',
    '',
    'sha256-',
  ]) {
    t.equal(parseIncomingName(name), undefined, name);
  }
  t.equal(digestOfBlobName('sha256', 'ab', hex), `sha256:${hex}`);
  for (const [prefix, name] of [
    ['cd', hex],
    ['a', hex],
    ['aba', hex],
    ['ab', hex.slice(1)],
    ['ab', hex.toUpperCase()],
  ] as const) {
    t.equal(digestOfBlobName('sha256', prefix, name), undefined, `${prefix}/${name}`);
  }
  fc.assert(fc.property(fc.string(), (name) => void t.equal(parseIncomingName(name), undefined)));
});
