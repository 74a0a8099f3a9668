import fc from 'fast-check';
import t from 'tap';
import { digestOf, isFileId, parseBlobId, parseDigest } from '../../src/base/digest.ts';
import { fileId, strongEtag, unsigned } from '../../src/files/file-id.ts';

const VERSION = { etag: '"a"', size: 1 };
const idOf = (url: string, version: Parameters<typeof fileId>[1] = VERSION): string => fileId(new URL(url), version);

t.test('an id is none that a registry or a client of the mirror could name', async (t) => {
  const id = fileId(new URL('https://a.example/x'), VERSION);
  t.match(id, /^file:[0-9a-f]{64}$/);
  t.ok(isFileId(id));
  t.equal(parseBlobId(id), id);
  t.equal(parseDigest(id), undefined);
  t.notOk(isFileId(digestOf('x')));
  t.equal(parseBlobId(digestOf('x')), digestOf('x'));
  t.equal(parseBlobId('file:abc'), undefined);
});

t.test('other URLs, ETags, sizes and digests are other files', async (t) => {
  const sha256 = digestOf('x');
  const ids = [
    idOf('https://a.example/x'),
    idOf('http://a.example/x'),
    idOf('https://a.example:444/x'),
    idOf('https://a.example/y'),
    idOf('https://a.example/x?file=1'),
    idOf('https://a.example/x?file=2'),
    idOf('https://a.example/x', { etag: '"b"', size: 1 }),
    idOf('https://a.example/x', { alone: true, etag: '"a"', size: 1 }),
    idOf('https://a.example/x', { login: true, sha256, etag: '"a"', size: 1 }),
    idOf('https://a.example/x', { login: true, sha256, etag: '"b"', size: 1 }),
    idOf('https://a.example/x', { login: true, sha256, etag: '"a"', size: 2 }),
    idOf('https://a.example/x', { etag: '"a"', size: 2 }),
    idOf('https://a.example/x', { sha256 }),
    idOf('https://a.example/x', { sha256: digestOf('y') }),
    idOf('https://a.example/y', { sha256 }),
  ];
  t.equal(new Set(ids).size, ids.length);
  t.equal(idOf('https://A.example:443/x#part'), ids[0], 'what names the same has the same id');
});

t.test('signatures count for nothing, all else does', async (t) => {
  const plain = 'https://a.example/x?versionId=7';
  for (const signature of [
    'X-Amz-Algorithm=A&X-Amz-Credential=c&X-Amz-Date=d&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=s&X-Amz-Security-Token=t',
    'X-Goog-Algorithm=A&X-Goog-Credential=c&X-Goog-Date=d&X-Goog-Expires=60&X-Goog-SignedHeaders=host&X-Goog-Signature=s',
    'sv=2024&st=a&se=b&sr=b&sp=r&sig=abc%3D',
    'Expires=1&Signature=s&Key-Pair-Id=k',
    'Policy=1&Signature=s&Key-Pair-Id=k',
    'AWSAccessKeyId=a&Expires=1&Signature=s',
    'GoogleAccessId=a&Expires=1&Signature=s',
  ]) {
    t.equal(unsigned(new URL(`${plain}&${signature}`)), plain, signature);
  }
  for (const query of ['sig=1', 'Expires=1', 'x-amz-date=1', 'signature=1', 'sv=1&sp=2']) {
    t.equal(unsigned(new URL(`${plain}&${query}`)), `${plain}&${query}`, 'no whole signature');
  }
  t.equal(unsigned(new URL('https://me:pw@a.example/x#y')), 'https://a.example/x');
});

t.test('a query that is no signature is never lost', async () => {
  const name = fc.stringMatching(/^[a-z]{1,8}$/).filter((one) => !one.startsWith('s'));
  fc.assert(
    fc.property(fc.array(fc.tuple(name, fc.webQueryParameters()), { maxLength: 5 }), (pairs) => {
      const url = new URL('https://a.example/x');
      for (const [key, value] of pairs) url.searchParams.append(key, value);
      const other = new URL(unsigned(url));
      return JSON.stringify([...other.searchParams]) === JSON.stringify([...url.searchParams]);
    }),
  );
});

t.test('only a strong ETag stands for bytes', async (t) => {
  t.equal(strongEtag('"abc"'), '"abc"');
  for (const weak of [undefined, '', 'W/"abc"', 'abc', '""', '"a"b"', `"${'x'.repeat(2000)}"`, '"a\n"']) {
    t.equal(strongEtag(weak), undefined, String(weak).slice(0, 20));
  }
});
