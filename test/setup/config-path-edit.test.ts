import { deepStrictEqual as deepEqual, ok } from 'node:assert';
import fc from 'fast-check';
import { parse, stringify, type TomlTable } from 'smol-toml';
import t from 'tap';
import { criPlugin, newConfig, setConfigPath, versionOf } from '../../src/setup/config-path-edit.ts';

const DIR = '/etc/containerd/certs.d';
const V2 = '[plugins."io.containerd.grpc.v1.cri".registry]';
const SET = `config_path = "${DIR}"`;

t.test('each version has a plugin of its own', async (t) => {
  t.equal(versionOf({}), 1);
  t.equal(versionOf({ version: 3 }), 3);
  t.equal(criPlugin(1), 'cri');
  t.equal(criPlugin(2), 'io.containerd.grpc.v1.cri');
  t.equal(criPlugin(3), 'io.containerd.cri.v1.images');
  t.equal(criPlugin(4), 'io.containerd.cri.v1.images');
  t.match(parse(newConfig(DIR)), {
    version: 2,
    plugins: { 'io.containerd.grpc.v1.cri': { registry: { config_path: DIR } } },
  });
});

t.test('one line is put in or filled', async (t) => {
  const cases: [what: string, before: string, version: number, after: string | undefined][] = [
    ['a file without plugins', 'version = 2 # x\n', 2, `version = 2 # x\n\n${V2}\n  ${SET}\n`],
    ['version 3', 'version = 3\n', 3, `version = 3\n\n[plugins."io.containerd.cri.v1.images".registry]\n  ${SET}\n`],
    ['version 1', 'root = "/r"\n', 1, `root = "/r"\n\n[plugins.cri.registry]\n  ${SET}\n`],
    ['the section', `  ${V2} # here\n    # none\n`, 2, `  ${V2} # here\n    ${SET}\n    # none\n`],
    [
      'as containerd config default prints it',
      `    ${V2}\n      config_path = "" # none\n\n      ${V2.replace(']', '.auths]')}\n`,
      2,
      `    ${V2}\n      ${SET} # none\n\n      ${V2.replace(']', '.auths]')}\n`,
    ],
    [
      'quoted in other ways',
      "[ plugins . 'io.containerd.grpc.v1.cri' . \"registry\" ]\nconfig_path=''\n",
      2,
      `[ plugins . 'io.containerd.grpc.v1.cri' . "registry" ]\n${SET}\n`,
    ],
    [
      'a table below it only',
      `${V2.replace(']', '.configs."a".auth]')}\nusername = "u"\n`,
      2,
      `${V2.replace(']', '.configs."a".auth]')}\nusername = "u"\n\n${V2}\n  ${SET}\n`,
    ],
    ['inline', '[plugins."io.containerd.grpc.v1.cri"]\nregistry = { headers = {} }\n', 2, undefined],
    ['dotted', '[plugins."io.containerd.grpc.v1.cri"]\nregistry.config_path = ""\n', 2, undefined],
  ];
  for (const [what, before, version, after] of cases) t.equal(setConfigPath(before, version, DIR), after, what);
});

t.test('whatever else is in it stays', async () => {
  const names = fc.stringMatching(/^[a-z_]{1,8}$/);
  const values = fc.oneof(fc.string(), fc.boolean(), fc.integer({ min: -9, max: 9 }));
  const table = fc.dictionary(names, values);
  const files = fc.record({
    plugins: fc.dictionary(names, table),
    cri: fc.option(table),
    registry: fc.option(table),
    top: table,
  });
  fc.assert(
    fc.property(files, fc.constantFrom(2, 3), ({ plugins, cri, registry, top }, version) => {
      const name = criPlugin(version);
      const inner = { ...cri, ...(registry && { registry }) };
      const { plugins: _, version: __, ...others } = top;
      const before: TomlTable = {
        version,
        ...others,
        plugins: { ...plugins, ...((cri ?? registry) && { [name]: inner }) },
      };
      const text = stringify(before);
      const after = setConfigPath(text, version, DIR);
      const isPlain = !(registry && 'config_path' in registry) && typeof inner.registry !== 'string';
      if (!isPlain) return;
      ok(after !== undefined, text);
      const expected = structuredClone(before) as { plugins: Record<string, Record<string, object>> };
      expected.plugins[name] = {
        ...expected.plugins[name],
        registry: { ...expected.plugins[name]?.['registry'], config_path: DIR },
      };
      deepEqual(plain(parse(after)), plain(expected));
    }),
  );
});

/** The parser makes tables without a prototype. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown;
}
