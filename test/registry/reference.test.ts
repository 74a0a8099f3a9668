import fc from 'fast-check';
import t from 'tap';
import {
  canonicalHost,
  defaultUrl,
  isHostComponent,
  isHostLike,
  isRepositoryName,
  isTag,
  parseReference,
  withLibrary,
} from '../../src/registry/reference.ts';

const HEX = 'a'.repeat(64);

t.test('references as docker reads them', async (t) => {
  const cases: [string, object | undefined][] = [
    ['alpine', { host: 'docker.io', repository: 'library/alpine', tag: 'latest' }],
    ['alpine:3', { host: 'docker.io', repository: 'library/alpine', tag: '3' }],
    ['org/app', { host: 'docker.io', repository: 'org/app', tag: 'latest' }],
    ['docker.io/alpine', { host: 'docker.io', repository: 'library/alpine', tag: 'latest' }],
    ['index.docker.io/a/b', { host: 'docker.io', repository: 'a/b', tag: 'latest' }],
    ['GHCR.io/org/app:v1', { host: 'ghcr.io', repository: 'org/app', tag: 'v1' }],
    ['localhost/app', { host: 'localhost', repository: 'app', tag: 'latest' }],
    ['localhost:5000/app:1', { host: 'localhost:5000', repository: 'app', tag: '1' }],
    ['[::1]:5000/a/b/c/d', { host: '[::1]:5000', repository: 'a/b/c/d', tag: 'latest' }],
    ['r.io:443/x', { host: 'r.io', repository: 'x', tag: 'latest' }],
    [`r.io/x@sha256:${HEX}`, { host: 'r.io', repository: 'x', digest: `sha256:${HEX}` }],
    [`r.io/x:t@sha256:${HEX}`, { host: 'r.io', repository: 'x', tag: 't', digest: `sha256:${HEX}` }],
    ...[
      '',
      'Alpine',
      'a//b',
      'r.io/',
      '/x',
      'x:',
      'x:-t',
      'x@',
      'x@sha256:12',
      'r.io:99999/x',
      'a b',
      'x/../y',
      'u@h/x',
    ].map((text): [string, undefined] => [text, undefined]),
    [`r.io/${'a'.repeat(255)}`, undefined],
  ];
  for (const [text, expected] of cases) t.strictSame(parseReference(text), expected, text);
});

t.test('what is parsed can be written and parsed again', async () => {
  const part = fc.stringMatching(/^[a-z0-9]{1,8}(?:(?:\.|_|__|-{1,2})[a-z0-9]{1,8}){0,2}$/);
  const host = fc.constantFrom('docker.io', 'ghcr.io', 'localhost', 'r.example:5000', '[::1]:5000', '10.0.0.1');
  const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/);
  fc.assert(
    fc.property(host, fc.array(part, { minLength: 1, maxLength: 5 }), tag, (h, parts, tg) => {
      const reference = parseReference(`${h}/${parts.join('/')}:${tg}`);
      if (reference?.host !== h || reference.tag !== tg) return false;
      return reference.repository === withLibrary(h, parts.join('/')) && isRepositoryName(reference.repository);
    }),
  );
});

t.test('no text throws, and what comes out is sound', async () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-zA-Z0-9./:@_[\]-]{0,60}$/)), (text) => {
      const reference = parseReference(text);
      if (!reference) return true;
      const tagIsSound = reference.tag === undefined || isTag(reference.tag);
      return isHostLike(reference.host) && isRepositoryName(reference.repository) && tagIsSound;
    }),
  );
});

t.test('hosts', async (t) => {
  for (const host of ['r.io', 'localhost', 'a', 'R.IO:5000', '127.0.0.1', '[::1]', '[fe80::1]:80', 'a_b.c', 'x--y.z']) {
    t.ok(isHostLike(host), host);
  }
  const bad = [
    '',
    'a/b',
    'u@h',
    'h:0',
    'h:65536',
    'h:',
    '[::1',
    '::1',
    '[xyz]',
    '[:::1]',
    '-a',
    'a..b',
    'a b',
    'é.io',
    '999.1.1.1',
  ];
  for (const host of [...bad, 'h%2f', 'h\n', 'h?x', 'h#x', `${'a'.repeat(64)}.io`, 'a.'.repeat(128)]) {
    t.notOk(isHostLike(host), host);
  }
  t.ok(isHostComponent('localhost') && isHostComponent('r.io') && isHostComponent('h:1'));
  t.notOk(isHostComponent('library') || isHostComponent('a..b'));
  for (const [host, canonical] of [
    ['registry-1.docker.io', 'docker.io'],
    ['INDEX.docker.io:443', 'docker.io'],
    ['Ghcr.io', 'ghcr.io'],
    ['[::1]:443', '[::1]'],
    ['[::443]', '[::443]'],
    ['r.io:80', 'r.io:80'],
  ] as const) {
    t.equal(canonicalHost(host), canonical);
  }
  t.equal(defaultUrl('docker.io'), 'https://registry-1.docker.io');
  t.equal(defaultUrl('[::1]:5000'), 'https://[::1]:5000');
  t.equal(withLibrary('docker.io', 'a'), 'library/a');
  t.equal(withLibrary('docker.io', 'a/b'), 'a/b');
  t.equal(withLibrary('ghcr.io', 'a'), 'a');
});
