import { deepStrictEqual as deepEqual, strictEqual as equal } from 'node:assert';
import fc from 'fast-check';
import t from 'tap';
import { parse, stringify } from 'yaml';
import { dropAuthority, putAuthority, putEndpoints } from '../../src/setup/k3s-edit.ts';

const URL = 'http://127.0.0.1:65001';
const wish = (registry: string) => ({ registry, url: URL, isOurs: (endpoint: string) => endpoint === URL });
const HUB = `  "docker.io":\n    endpoint:\n      - "${URL}"\n`;

t.test('lines are put in, and nothing else changes', async (t) => {
  const cases: [what: string, before: string, after: string][] = [
    ['nothing', '', `mirrors:\n${HUB}`],
    ['comments', '# k3s\n', `# k3s\nmirrors:\n${HUB}`],
    ['other parts', 'configs:  {a: {b: 1}}', `configs:  {a: {b: 1}}\nmirrors:\n${HUB}`],
    [
      'another registry',
      'mirrors:\n  # quay\n  quay.io: # q\n    endpoint: ["https://q"]  # r\nconfigs: {}\n',
      `mirrors:\n  # quay\n  quay.io: # q\n    endpoint: ["https://q"]  # r\n${HUB}configs: {}\n`,
    ],
    [
      'other endpoints',
      'mirrors:\n    docker.io:\n        endpoint:\n        # corp\n        -   "https://c" # first\n        - d\n',
      `mirrors:\n    docker.io:\n        endpoint:\n        # corp\n        -   "${URL}"\n        -   "https://c" # first\n        - d\n`,
    ],
    [
      'rewrites only',
      'mirrors:\n  docker.io:\n    rewrite:\n      "^(.*)": "x/$1"\n',
      `mirrors:\n  docker.io:\n    rewrite:\n      "^(.*)": "x/$1"\n    endpoint:\n      - "${URL}"\n`,
    ],
  ];
  for (const [what, before, after] of cases) {
    t.equal(putEndpoints(before, [wish('docker.io')]), after, what);
    t.equal(putEndpoints(after, [wish('docker.io')]), undefined, `${what}: it is there`);
  }
});

t.test('what is written in one line is written anew, with its comments', async (t) => {
  const text = '# top\nmirrors: {docker.io: {endpoint: [https://c]}} # m\nconfigs: # c\n  a: 1\n';
  const after = putEndpoints(text, [wish('docker.io')])!;
  t.same(parse(after), { mirrors: { 'docker.io': { endpoint: [URL, 'https://c'] } }, configs: { a: 1 } });
  for (const comment of ['# top', '# m', '# c']) t.match(after, comment);
  t.same(parse(putEndpoints('mirrors:\n', [wish('a')])!), { mirrors: { a: { endpoint: [URL] } } });
  t.same(parse(putEndpoints('mirrors: {}\n', [wish('*')])!), { mirrors: { '*': { endpoint: [URL] } } });
});

t.test('where there is no place for it', async (t) => {
  for (const text of [
    '[]',
    'mirrors: x',
    'mirrors: { docker.io: [] }',
    'mirrors: { docker.io: { endpoint: x } }',
    'mirrors:\n  a: &a\n    endpoint: []\n  docker.io: *a\n',
  ]) {
    t.throws(
      () => putEndpoints(text, [wish('docker.io')]),
      { message: /^(it|mirrors.*) is no (map of its own|list)$/ },
      text,
    );
  }
});

t.test('whatever is there: each endpoint is first, the rest as it was', async () => {
  const registries = fc.domain();
  const entry = fc.record(
    { endpoint: fc.array(fc.webUrl(), { maxLength: 3 }), rewrite: fc.dictionary(fc.string(), fc.string()) },
    { requiredKeys: [] },
  );
  const files = fc.record(
    {
      mirrors: fc.dictionary(registries, entry),
      configs: fc.dictionary(registries, fc.record({ auth: fc.dictionary(fc.string(), fc.string()) })),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(
      files,
      fc.uniqueArray(registries, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 4 }),
      (raw, more, indent) => {
        const before = JSON.parse(JSON.stringify(raw)) as typeof raw;
        const text = stringify(before, { indent });
        const wanted = [...more, ...Object.keys(before.mirrors ?? {}).slice(0, 1)];
        const after = putEndpoints(text, wanted.map(wish));
        const expected = structuredClone({ ...before, mirrors: before.mirrors ?? {} });
        for (const registry of new Set(wanted)) {
          const old = expected.mirrors[registry] ?? {};
          expected.mirrors[registry] = { ...old, endpoint: [URL, ...(old.endpoint ?? [])] };
        }
        deepEqual(parse(after!), expected, text);
        equal(putEndpoints(after!, wanted.map(wish)), undefined, 'the second time there is nothing to do');
      },
    ),
  );
});

t.test('authorities of a host', async (t) => {
  const put = (text: string) => putAuthority(text, 'm:1', '/ca.crt');
  const ours = 'configs:\n  "m:1":\n    tls:\n      ca_file: "/ca.crt"\n';
  t.equal(put(''), ours);
  t.equal(put('mirrors: # a\n  x:\n    endpoint: [a]\n'), `mirrors: # a\n  x:\n    endpoint: [a]\n${ours}`);
  t.equal(put(ours), undefined);
  const others = put('configs:\n  "o:1": { auth: { username: u } } # kept\n')!;
  t.match(others, /# kept/);
  t.same(parse(others), {
    configs: { 'o:1': { auth: { username: 'u' } }, 'm:1': { tls: { ca_file: '/ca.crt' } } },
  });
  t.same(parse(put('configs:\n  m:1:\n    auth: {username: u}\n')!), {
    configs: { 'm:1': { auth: { username: 'u' }, tls: { ca_file: '/ca.crt' } } },
  });
  t.throws(() => put('configs:\n  m:1:\n    tls:\n      ca_file: /other\n'), /names another ca_file/);
  t.throws(() => put('configs: [a]\n'), /configs is no map/);
});

t.test('authorities of a host, taken out again with what stood there for them alone', async (t) => {
  const drop = (text: string) => dropAuthority(text, 'm:1', '/ca.crt');
  const ours = 'configs:\n  "m:1":\n    tls:\n      ca_file: "/ca.crt"\n';
  const cases: [what: string, before: string, after: string | undefined][] = [
    ['alone', ours, ''],
    ['behind others', `mirrors: {} # a\n${ours}# b\n`, 'mirrors: {} # a\n# b\n'],
    ['beside another host', `${ours}  o:1: {} # c\n`, 'configs:\n  o:1: {} # c\n'],
    ['beside a login', `${ours}    auth: {} # c\n`, 'configs:\n  "m:1":\n    auth: {} # c\n'],
    ['beside a key', `${ours}      key_file: k`, 'configs:\n  "m:1":\n    tls:\n      key_file: k'],
    ['another file', ours.replace('/ca', '/other'), undefined],
    ['nothing', '', undefined],
  ];
  for (const [what, before, after] of cases) t.equal(drop(before), after, what);
  const inline = drop('configs: { "m:1": { tls: { ca_file: /ca.crt, key_file: k } } } # c\n')!;
  t.same(parse(inline), { configs: { 'm:1': { tls: { key_file: 'k' } } } });
  t.match(inline, '# c');
});
