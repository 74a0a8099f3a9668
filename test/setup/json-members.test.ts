import { deepStrictEqual as deepEqual } from 'node:assert';
import fc from 'fast-check';
import t from 'tap';
import { putFirst } from '../../src/setup/json-members.ts';

const KEY = 'registry-mirrors';
const URL = 'http://127.0.0.1:65001';

t.test('written as what is there is written', async (t) => {
  const cases: [what: string, before: string, after: string][] = [
    ['nothing', '', `{\n  "${KEY}": ["${URL}"]\n}\n`],
    ['blanks', ' \n', `{\n  "${KEY}": ["${URL}"]\n}\n`],
    ['an empty object', '{}', `{\n  "${KEY}": ["${URL}"]\n}`],
    ['other members', '{\n\t"a": 1\n}\n', `{\n\t"a": 1,\n\t"${KEY}": ["${URL}"]\n}\n`],
    ['all on one line', '{"a": {"b": "}"}}', `{"a": {"b": "}"}, "${KEY}": ["${URL}"]}`],
    ['a mirror', `{"${KEY}": ["x"], "z": []}`, `{"${KEY}": ["${URL}", "x"], "z": []}`],
    [
      'a mirror on a line of its own',
      `{\n    "${KEY}": [\n        "x"\n    ]\n}`,
      `{\n    "${KEY}": [\n        "${URL}",\n        "x"\n    ]\n}`,
    ],
    ['an empty list', `{"${KEY}": [ ]}`, `{"${KEY}": ["${URL}"]}`],
    ['null', `{"${KEY}": null}`, `{"${KEY}": ["${URL}"]}`],
    ['CRLF', '{\r\n  "a": 1\r\n}\r\n', `{\r\n  "a": 1,\r\n  "${KEY}": ["${URL}"]\r\n}\r\n`],
    [
      'the key with escapes',
      String.raw`{"registry\u002dmirrors": ["x"]}`,
      String.raw`{"registry\u002dmirrors": ["${URL}", "x"]}`,
    ],
    [
      'the key twice: the last counts',
      `{"${KEY}": ["x"], "${KEY}": ["y"]}`,
      `{"${KEY}": ["x"], "${KEY}": ["${URL}", "y"]}`,
    ],
  ];
  for (const [what, before, after] of cases) t.equal(putFirst(before, KEY, URL), after, what);
});

t.test('whatever object: the item is first, everything else as it was', async () => {
  const objects = fc.tuple(
    fc.dictionary(fc.string(), fc.jsonValue()),
    fc.option(fc.array(fc.string()), { nil: undefined }),
    fc.constantFrom(undefined, 1, 2, '\t'),
  );
  fc.assert(
    fc.property(objects, ([others, list, space]) => {
      const before = JSON.parse(JSON.stringify(list === undefined ? others : { ...others, [KEY]: list })) as object;
      const text = JSON.stringify(before, undefined, space);
      const after = JSON.parse(putFirst(text, KEY, URL)) as Record<string, unknown>;
      deepEqual(after, { ...before, [KEY]: [URL, ...(list ?? [])] });
      const keys = Object.keys(before);
      deepEqual(
        Object.keys(after),
        list === undefined ? Object.keys({ ...before, [KEY]: 0 }) : keys,
        'in the same order',
      );
    }),
  );
});
