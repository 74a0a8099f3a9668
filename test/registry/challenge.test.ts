import fc from 'fast-check';
import t from 'tap';
import { parseChallenges } from '../../src/registry/challenge.ts';

function plain(header: string | string[] | undefined) {
  return parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
}

t.test('what registries send', async (t) => {
  const hub = {
    realm: 'https://auth.docker.io/token',
    service: 'registry.docker.io',
    scope: 'repository:library/x:pull,push',
  };
  const cases: [string | string[] | undefined, unknown][] = [
    [undefined, []],
    ['', []],
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/x:pull,push"',
      [['bearer', hub]],
    ],
    ['bEARER Realm = "a" , SERVICE=b', [['bearer', { realm: 'a', service: 'b' }]]],
    [
      'Basic realm="x", Bearer realm="y", error="z"',
      [
        ['basic', { realm: 'x' }],
        ['bearer', { realm: 'y', error: 'z' }],
      ],
    ],
    [
      ['Basic realm="x"', 'Bearer realm="y"'],
      [
        ['basic', { realm: 'x' }],
        ['bearer', { realm: 'y' }],
      ],
    ],
    [
      'Negotiate, Basic',
      [
        ['negotiate', {}],
        ['basic', {}],
      ],
    ],
    [
      'Negotiate YII/abc==, Basic realm=r',
      [
        ['negotiate', {}],
        ['basic', { realm: 'r' }],
      ],
    ],
    [String.raw`Bearer realm="a\"b\\c"`, [['bearer', { realm: String.raw`a"b\c` }]]],
    ['Bearer realm=https://r/token,service=s', [['bearer', { realm: 'https://r/token', service: 's' }]]],
    ['Bearer realm="one",realm="two"', [['bearer', { realm: 'one' }]]],
    [',, Basic realm="x",,', [['basic', { realm: 'x' }]]],
    ['Bearer realm="open', [['bearer', { realm: 'open' }]]],
    ['Bearer realm=, service=s', [['bearer', { service: 's' }]]],
    ['realm="x"', []],
    ['"quoted"', []],
    ['Basic "x', [['basic', {}]]],
    [String.raw`Bearer realm="x\ `.trim(), [['bearer', { realm: 'x' }]]],
  ];
  for (const [header, expected] of cases) t.strictSame(plain(header), expected, String(header));
});

t.test('any challenges survive being written in any form', async () => {
  const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,8}$/);
  const challenge = fc.record({
    scheme: token,
    parameters: fc.dictionary(token, fc.string({ maxLength: 20 }), { maxKeys: 4 }),
  });
  const quote = (text: string) => `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
  fc.assert(
    fc.property(
      fc.array(challenge, { maxLength: 4 }),
      fc.constantFrom(',', ', ', ' , '),
      fc.boolean(),
      (list, comma, split) => {
        const lines = list.map(({ scheme, parameters }) => {
          const entries = Object.entries(parameters).map(([name, value]) => `${name}=${quote(value)}`);
          return [scheme, entries.join(comma)].join(' ').trim();
        });
        const expected = list.map(({ scheme, parameters }) => {
          const lower = new Map<string, string>();
          for (const [name, value] of Object.entries(parameters)) {
            if (!lower.has(name.toLowerCase())) lower.set(name.toLowerCase(), value);
          }
          return [scheme.toLowerCase(), Object.fromEntries(lower)];
        });
        return JSON.stringify(plain(split ? lines : lines.join(comma))) === JSON.stringify(expected);
      },
    ),
  );
});

t.test('nothing throws, and no more than 32 challenges come of it', async (t) => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.stringMatching(/^[A-Za-z ="\\,/]{0,80}$/)),
      (text) => parseChallenges(text).length <= 32,
    ),
  );
  t.equal(parseChallenges('A, '.repeat(1000)).length, 32);
  t.equal(parseChallenges(Array.from({ length: 100 }, () => 'Basic')).length, 32);
});
