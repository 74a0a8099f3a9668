import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import {
  digestAlgorithm,
  digestFrom,
  digestHex,
  digestKind,
  digestOf,
  fileIdOf,
  hasherFor,
  isFileId,
  parseBlobId,
  parseDigest,
} from '../../src/base/digest.ts';

const EMPTY = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

t.test('digests that are ones, and their parts', (t) => {
  const digest = parseDigest(EMPTY)!;
  t.equal(digest, EMPTY);
  t.equal(digestAlgorithm(digest), 'sha256');
  t.equal(digestHex(digest), EMPTY.slice(7));
  t.equal(digestOf(''), EMPTY);
  const long = digestOf('', 'sha512');
  t.equal(parseDigest(long), long);
  t.equal(digestAlgorithm(long), 'sha512');
  t.equal(digestFrom('sha512', hasherFor(long)), long);
  t.end();
});

t.test('the id of a file is a blob’s name, and no digest', (t) => {
  const id = fileIdOf('x');
  t.equal(id, `file:${digestHex(digestOf('x'))}`);
  t.equal(digestHex(id), digestHex(digestOf('x')));
  t.equal(digestKind(id), 'file');
  t.equal(digestAlgorithm(id), 'sha256', 'its bytes are hashed so');
  t.equal(parseBlobId(id), id);
  t.equal(parseDigest(id), undefined);
  t.ok(isFileId(id));
  for (const digest of [digestOf('x'), digestOf('x', 'sha512')]) {
    t.notOk(isFileId(digest));
    t.equal(parseBlobId(digest), digest);
  }
  for (const text of ['file:', `file:${'A'.repeat(64)}`, `file:${'a'.repeat(63)}`, `xfile:${'a'.repeat(64)}`]) {
    t.equal(parseBlobId(text), undefined);
  }
  t.end();
});

t.test('what is no digest', (t) => {
  const hex = 'a'.repeat(64);
  const bad = [
    '',
    'sha256',
    'sha256:',
    `sha256:${hex}a`,
    `sha256:${hex.slice(1)}`,
    `sha256:${hex.toUpperCase()}`,
    `sha512:${hex}`,
  ]
    .concat([
      `md5:${hex}`,
      `SHA256:${hex}`,
      ` sha256:${hex}`,
      `sha256:${hex}\n`,
      `sha256:${'g'.repeat(64)}`,
      `sha256:../${hex.slice(3)}`,
    ])
    .concat([hex, `sha256:${hex}\0`, `x\nsha256:${hex}`]);
  for (const text of bad) t.equal(parseDigest(text), undefined, JSON.stringify(text));
  fc.assert(fc.property(fc.string(), (text) => parseDigest(text) === undefined));
  t.end();
});

t.test('a digest is the hash of the bytes, by whichever way', (t) => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.constantFrom('sha256' as const, 'sha512' as const), (bytes, algorithm) => {
      const digest = digestOf(bytes, algorithm);
      t.equal(parseDigest(digest), digest);
      t.equal(digestHex(digest), createHash(algorithm).update(bytes).digest('hex'));
      t.equal(digestFrom(algorithm, hasherFor(digest).update(bytes)), digest);
    }),
    { numRuns: 30 },
  );
  t.end();
});
