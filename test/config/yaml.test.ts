import fc from 'fast-check';
import t from 'tap';
import { stringify } from 'yaml';
import { ConfigSyntax } from '../../src/config/errors.ts';
import { parseYaml } from '../../src/config/yaml.ts';

function refusal(text: string): string {
  try {
    parseYaml(text, 'f.yaml');
  } catch (error) {
    if (error instanceof ConfigSyntax) return error.message;
    throw error;
  }
  return 'it was taken';
}

t.test('values, and where each stands', (t) => {
  const { value, placeOf } = parseYaml('a:\n  b: [x, {c: 1}]\n\nd: true\ne:\nf: 0x10\ng: "q"\n', 'f.yaml');
  t.same(
    value,
    { a: { b: ['x', { c: '1' }] }, d: true, e: null, f: '0x10', g: 'q' },
    'numbers come as they are written',
  );
  t.equal(placeOf(['a', 'b'], 'key'), 'f.yaml:2:3');
  t.equal(placeOf(['a', 'b'], 'value'), 'f.yaml:2:6');
  t.equal(placeOf(['a', 'b', 1, 'c'], 'value'), 'f.yaml:2:14');
  t.equal(placeOf(['d'], 'value'), 'f.yaml:4:4');
  t.equal(placeOf(['a', 'absent', 'x'], 'value'), 'f.yaml:1:1', 'what is not there: the nearest thing around it');
  t.equal(parseYaml('# nothing', 'V').placeOf(['a'], 'key'), 'V:1:1');
  t.end();
});

t.test('nothing written is an empty configuration; JSON is YAML', (t) => {
  t.same(parseYaml('', 'f').value, {});
  t.same(parseYaml('---\n# only this\n', 'f').value, {});
  t.same(parseYaml('{"a": [1, null], "b": "c"}', 'f').value, { a: ['1', null], b: 'c' });
  t.same(parseYaml('a: &x {b: c}\nd: *x', 'f').value, { a: { b: 'c' }, d: { b: 'c' } });
  const proto = parseYaml('__proto__: {polluted: yes}', 'f').value as object;
  t.same(Object.keys(proto), ['__proto__'], 'a key like any other');
  t.equal(Object.getPrototypeOf(proto), Object.prototype);
  t.end();
});

t.test('what is no configuration is refused in one line with its place', (t) => {
  t.match(refusal('a: ['), /^f\.yaml:1:5: \S/);
  t.equal(refusal('a: 1\nb: {c: 1, c: 2}'), 'f.yaml:2:11: b.c is there twice');
  t.equal(refusal('a: 1\n"a": 2'), 'f.yaml:2:1: a is there twice');
  t.equal(refusal('? [a]\n: b'), 'f.yaml:1:3: a key must be plain text');
  t.match(refusal('a: 1\n---\nb: 2'), /f\.yaml:\d:1: a second document starts here/);
  t.match(refusal('a: *nowhere'), /f\.yaml:1:4: no such anchor/);
  t.match(refusal('a: &a [*a]'), /larger than any configuration/, 'an anchor within itself');
  for (const open of ['[', '{a: ', '- ', '? ']) t.match(refusal(open.repeat(50_000)), /larger than any/, open);
  const bomb = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 9; i += 1)
    bomb.push(
      `a${i}: &a${i} [${Array(9)
        .fill(`*a${i - 1}`)
        .join(', ')}]`,
    );
  t.match(refusal(bomb.join('\n')), /larger than any configuration/, 'a billion laughs');
  t.end();
});

t.test('whatever comes, it is a value or a CONFIG_SYNTAX of one line', (t) => {
  const yamlish = fc.array(
    fc.constantFrom(
      'a',
      ':',
      ' ',
      '\n',
      '- ',
      '[',
      ']',
      '{',
      '}',
      '&x',
      '*x',
      '"',
      "'",
      '?',
      '|',
      '%',
      '!!int',
      '\t',
      '0',
    ),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        yamlish.map((parts) => parts.join('')),
      ),
      (text) => {
        t.notMatch(refusal(text), /\n/);
      },
    ),
    { numRuns: 2000 },
  );
  const key = fc.stringMatching(/^[a-z]{1,6}$/);
  const tree = fc.letrec((tie) => ({
    node: fc.oneof(
      { maxDepth: 4 },
      fc.string(),
      fc.boolean(),
      fc.array(tie('node'), { maxLength: 3 }),
      fc.dictionary(key, tie('node'), { maxKeys: 3 }),
    ),
  })).node;
  fc.assert(
    fc.property(fc.dictionary(key, tree, { noNullPrototype: true }), (value) => {
      t.same(parseYaml(stringify(value), 'f').value, value, 'what is written is read');
    }),
  );
  t.end();
});
