import fc from 'fast-check';
import t from 'tap';
import { CodedError } from '../../src/base/errors.ts';
import { MAX_URL_LENGTH, parseRequestPath } from '../../src/proxy/request-path.ts';

const HEX = 'ab'.repeat(32);
const DIGEST = `sha256:${HEX}`;

function codeFor(url: string): string {
  try {
    return JSON.stringify(parseRequestPath(url));
  } catch (error) {
    return error instanceof CodedError ? error.code : `unexpected ${String(error)}`;
  }
}

t.test('what clients ask for', (t) => {
  const none = { outerHost: undefined, ns: undefined, query: '' };
  for (const base of ['/v2', '/v2/']) t.same(parseRequestPath(base), { ...none, target: { kind: 'base' }, name: [] });
  t.same(parseRequestPath('/v2/_catalog?n=5').target, { kind: 'catalog' });
  t.same(parseRequestPath('/v2/library/alpine/manifests/3.20?ns=docker.io'), {
    ...none,
    ns: 'docker.io',
    name: ['library', 'alpine'],
    target: { kind: 'manifest', reference: { tag: '3.20' } },
  });
  t.same(parseRequestPath(`/v2/a/manifests/${DIGEST}`).target, { kind: 'manifest', reference: { digest: DIGEST } });
  t.same(parseRequestPath(`/v2/a/manifests/sha256%3A${HEX}`).target, {
    kind: 'manifest',
    reference: { digest: DIGEST },
  });
  t.same(parseRequestPath(`/v2/a/blobs/sha256%3a${HEX}`).target, { kind: 'blob', digest: DIGEST });
  t.same(parseRequestPath(`/v2/a/blobs/sha512:${HEX}${HEX}`).target, { kind: 'blob', digest: `sha512:${HEX}${HEX}` });
  t.same(parseRequestPath('/v2/a/b/tags/list?n=2&ns=ghcr.io&last=x'), {
    ...none,
    ns: 'ghcr.io',
    query: 'n=2&last=x',
    name: ['a', 'b'],
    target: { kind: 'through', rest: 'tags/list' },
  });
  t.same(parseRequestPath(`/v2/a/referrers/${DIGEST}`).target, { kind: 'through', rest: `referrers/${DIGEST}` });
  t.same(parseRequestPath('/v2/a/b/_oci/artifacts').target, { kind: 'through', rest: '_oci/artifacts' });
  t.end();
});

t.test('hosts in paths, in both dialects', (t) => {
  t.same(parseRequestPath('/v2/registry.example:5000/org/app/manifests/1').name, [
    'registry.example:5000',
    'org',
    'app',
  ]);
  t.same(parseRequestPath('/v2/[::1]:5000/app/manifests/1').name, ['[::1]:5000', 'app']);
  t.same(parseRequestPath('/v2/%5B::1%5D%3A5000/app/manifests/1').name, ['[::1]:5000', 'app']);
  const outer = parseRequestPath('/ghcr.io/v2/org/app/manifests/1');
  t.equal(outer.outerHost, 'ghcr.io');
  t.same(outer.name, ['org', 'app']);
  t.equal(parseRequestPath('/ghcr.io/v2/').target.kind, 'base');
  t.equal(parseRequestPath('/v2/a/manifests/1?ns=%5B%3A%3A1%5D%3A5000').ns, '[::1]:5000');
  t.equal(parseRequestPath('http://127.0.0.1:65001/v2/a/manifests/1').name[0], 'a', 'absolute form');
  t.end();
});

t.test('names that look like verbs are read from the right', (t) => {
  for (const name of ['blobs', 'manifests', 'tags', 'tags/list', 'a/blobs/b', 'manifests/manifests', 'referrers/x']) {
    t.equal(parseRequestPath(`/v2/${name}/manifests/manifests`).name.join('/'), name);
    t.equal(parseRequestPath(`/v2/${name}/blobs/${DIGEST}`).name.join('/'), name);
    t.equal(parseRequestPath(`/v2/${name}/tags/list`).name.join('/'), name);
  }
  t.end();
});

t.test('digests of other algorithms are passed through', (t) => {
  for (const digest of [
    'blake3:abc',
    'sha3-256:00ff',
    'multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8',
  ]) {
    t.same(parseRequestPath(`/v2/a/blobs/${digest}`).target, { kind: 'through', rest: `blobs/${digest}` });
    t.same(parseRequestPath(`/v2/a/manifests/${digest}`).target, { kind: 'through', rest: `manifests/${digest}` });
  }
  t.end();
});

t.test('bad input gets the error that the spec names', (t) => {
  const cases: [string, string][] = [
    ['/', 'PATH_UNKNOWN'],
    ['', 'PATH_UNKNOWN'],
    ['*', 'PATH_UNKNOWN'],
    ['/v1/_ping', 'PATH_UNKNOWN'],
    ['/v2x/', 'PATH_UNKNOWN'],
    ['/V2/a/manifests/1', 'PATH_UNKNOWN'],
    ['//v2/a/manifests/1', 'PATH_UNKNOWN'],
    ['/v2/a', 'PATH_UNKNOWN'],
    ['/v2/a/b/c', 'PATH_UNKNOWN'],
    ['/v2//a/manifests/1', 'NAME_INVALID'],
    ['/v2/a//b/manifests/1', 'NAME_INVALID'],
    ['/v2/manifests/1', 'NAME_INVALID'],
    ['/v2/tags/list', 'NAME_INVALID'],
    ['/v2/../../etc/passwd/manifests/1', 'NAME_INVALID'],
    ['/v2/a/../b/manifests/1', 'NAME_INVALID'],
    ['/v2/./a/manifests/1', 'NAME_INVALID'],
    ['/v2/a%2Fb/manifests/1', 'NAME_INVALID'],
    ['/v2/a%00/manifests/1', 'NAME_INVALID'],
    ['/v2/%2e%2e/manifests/1', 'NAME_INVALID'],
    ['/v2/A/manifests/1', 'NAME_INVALID'],
    ['/v2/a:b/manifests/1', 'NAME_INVALID'],
    ['/v2/a\\b/manifests/1', 'NAME_INVALID'],
    ['/v2/a#b/manifests/1', 'NAME_INVALID'],
    [`/v2/${'a/'.repeat(129)}manifests/1`, 'NAME_INVALID'],
    ['/v2/a/_../x', 'NAME_INVALID'],
    ['/v2/a/_oci/..', 'NAME_INVALID'],
    ['/v2/a/manifests/', 'TAG_INVALID'],
    ['/v2/a/manifests/-x', 'TAG_INVALID'],
    ['/v2/a/manifests/..', 'TAG_INVALID'],
    ['/v2/a/manifests/x%2Fy', 'TAG_INVALID'],
    [`/v2/a/manifests/${'t'.repeat(129)}`, 'TAG_INVALID'],
    ['/v2/a/manifests/sha256:abc', 'DIGEST_INVALID'],
    ['/v2/a/manifests/:', 'DIGEST_INVALID'],
    ['/v2/a/blobs/', 'DIGEST_INVALID'],
    ['/v2/a/blobs/latest', 'DIGEST_INVALID'],
    [`/v2/a/blobs/sha256:${HEX.toUpperCase()}`, 'DIGEST_INVALID'],
    [`/v2/a/blobs/sha256:${HEX}00`, 'DIGEST_INVALID'],
    [`/v2/a/blobs/sha512:${HEX}`, 'DIGEST_INVALID'],
    ['/v2/a/blobs/sha256:../../../etc/passwd', 'NAME_INVALID'],
    ['/v2/a/referrers/x', 'DIGEST_INVALID'],
    ['/v2/a/manifests/1?ns=', 'NAMESPACE_INVALID'],
    ['/v2/a/manifests/1?ns', 'NAMESPACE_INVALID'],
    ['/v2/a/manifests/1?ns=a.io&ns=b.io', 'NAMESPACE_INVALID'],
    ['/v2/a/manifests/1?ns=%zz', 'NAMESPACE_INVALID'],
    ['/v2/a/manifests/1?ns=user@host.io', 'NAMESPACE_INVALID'],
    ['/v2/a/manifests/1?ns=host.io/path', 'NAMESPACE_INVALID'],
    ['/v2/a/manifests/1?ns=host.io%0d%0aX:y', 'NAMESPACE_INVALID'],
    ['/v2/a/manifests/1?ns=h%C3%B6st.io', 'NAMESPACE_INVALID'],
    [`/v2/a/manifests/1?x=${'y'.repeat(MAX_URL_LENGTH)}`, 'URL_TOO_LONG'],
  ];
  for (const [url, code] of cases) t.equal(codeFor(url), code, url.slice(0, 60));
  t.end();
});

const component = fc.stringMatching(/^[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,8}){0,2}$/);
const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/);

t.test('property: a path that is put together is taken apart again', (t) => {
  fc.assert(
    fc.property(fc.array(component, { minLength: 1, maxLength: 5 }), tag, (name, tag) => {
      const parsed = parseRequestPath(`/v2/${name.join('/')}/manifests/${tag}?ns=quay.io`);
      t.same(parsed.name, name);
      t.same(parsed.target, { kind: 'manifest', reference: { tag } });
    }),
  );
  t.end();
});

t.test('property: no URL makes it throw anything but a coded error', (t) => {
  const part = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.constantFrom(
      'v2',
      'manifests',
      'blobs',
      'tags',
      'list',
      '..',
      '%2F',
      '%00',
      DIGEST,
      'ghcr.io',
      '_x',
      '?ns=',
      '&',
      '',
    ),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), fc.constantFrom('/', '', '/v2/'), (parts, start) => {
      const code = codeFor(start + parts.join('/'));
      return !code.startsWith('unexpected');
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('property: what is accepted has a name that is safe in a path', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'ab/.%2F:[]_-\\\0'.split('')), maxLength: 20 }), (text) => {
      const code = codeFor(`/v2/${text}/manifests/x`);
      if (!code.startsWith('{')) return true;
      const { name } = JSON.parse(code) as { name: string[] };
      return name.every(
        (c, i) => c !== '' && c !== '.' && c !== '..' && !/[%\\\0/]/.test(c) && (i === 0 || !c.includes(':')),
      );
    }),
    { numRuns: 2000 },
  );
  t.end();
});
