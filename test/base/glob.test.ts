import fc from 'fast-check';
import t from 'tap';
import { compileGlob } from '../../src/base/glob.ts';

t.test('a star stays between slashes, two go across', async (t) => {
  const cases: [pattern: string, yes: string[], no: string[]][] = [
    [
      'r.example:5000/team/*',
      ['r.example:5000/team/app', 'r.example:5000/team/'],
      ['r.example:5000/team/a/b', 'r.example:5000/team'],
    ],
    ['r/**', ['r/a', 'r/a/b/c', 'r/'], ['r', 'rr/a', 'x/r/a']],
    ['**', ['', 'a', 'a/b'], []],
    ['*/app', ['r/app', '/app'], ['r/x/app', 'app', 'r/app2']],
    ['**/app', ['r/app', 'r/x/app'], ['app', 'r/app/x']],
    ['r/a*c', ['r/ac', 'r/abc'], ['r/a/c', 'r/acd', 'R/ac']],
    ['ci-*', ['ci-', 'ci-1'], ['ci', 'xci-1']],
    ['r/a.b+c[d]?', ['r/a.b+c[d]?'], ['r/aXb+c[d]?', 'r/a.bbc[d]?']],
    ['', [''], ['a']],
  ];
  for (const [pattern, yes, no] of cases) {
    const matches = compileGlob(pattern);
    for (const text of yes) t.ok(matches(text), `${pattern} takes ${text}`);
    for (const text of no) t.notOk(matches(text), `${pattern} does not take ${text}`);
  }
});

t.test('property: it is what the regular expression says', async () => {
  const part = fc.constantFrom('a', 'b', '/', '.', '*', '**', '***', '[', '\\', '$', 'é', '😀');
  const pattern = fc.array(part, { maxLength: 10 }).map((parts) => parts.join(''));
  const text = fc
    .array(fc.constantFrom('a', 'b', '/', '.', '*', '[', '\\', '$', 'é', '😀'), { maxLength: 12 })
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(pattern, text, (pattern, text) => {
      const source = pattern
        .replaceAll(/[$.[\\]/g, String.raw`\$&`)
        .replaceAll(/\*+/g, (stars) => (stars === '*' ? '[^/]*' : '.*'));
      return compileGlob(pattern)(text) === new RegExp(`^${source}$`, 'su').test(text);
    }),
    { numRuns: 3000 },
  );
});

t.test('property: a part of a text may be replaced by stars', async () => {
  const name = fc.stringMatching(/^[a-z.:/-]{1,40}$/);
  fc.assert(
    fc.property(name, fc.nat(40), fc.nat(40), (text, one, other) => {
      const [from, to] = [Math.min(one, other), Math.max(one, other)];
      const [head, middle, tail] = [text.slice(0, from), text.slice(from, to), text.slice(to)];
      return compileGlob(`${head}**${tail}`)(text) && compileGlob(`${head}*${tail}`)(text) === !middle.includes('/');
    }),
  );
});

t.test('many stars cost no more than length times length', async (t) => {
  const matches = compileGlob(`${'*a'.repeat(100)}b`);
  t.notOk(matches('a'.repeat(255)), 'where backtracking would end with the sun');
});
