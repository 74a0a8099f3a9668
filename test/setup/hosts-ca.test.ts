import { deepStrictEqual as deepEqual, ok } from 'node:assert';
import fc from 'fast-check';
import { parse, stringify } from 'smol-toml';
import t from 'tap';
import { dropAuthority, putAuthority } from '../../src/setup/hosts-ca.ts';

const URL = 'https://10.0.0.9:7000';
const CA = '/etc/containerd/hawker-ca.crt';
const HEAD = `[host."${URL}"]\n`;

t.test('the line of a host’s authorities', async (t) => {
  const cases: [what: string, before: string, after: string | undefined, back?: string][] = [
    [
      'as a setup writes it',
      `${HEAD}  capabilities = ["pull", "resolve"]\n`,
      `${HEAD}  capabilities = ["pull", "resolve"]\n  ca = "${CA}"\n`,
    ],
    ['a table alone', HEAD, `${HEAD}  ca = "${CA}"\n`],
    ['without a line break at its end', HEAD.trimEnd(), `${HEAD}  ca = "${CA}"`],
    [
      'behind it a list in many lines, and another table',
      `${HEAD}\tdial_timeout = "1s"\n\tcapabilities = [\n"pull"]\n\n# b\n[host."https://b"]\nca = "b"\n`,
      `${HEAD}\tdial_timeout = "1s"\n\tca = "${CA}"\n\tcapabilities = [\n"pull"]\n\n# b\n[host."https://b"]\nca = "b"\n`,
    ],
    ['in other quotes', ` [ 'host' . '${URL}' ] # x\n`, ` [ 'host' . '${URL}' ] # x\n   ca = "${CA}"\n`],
    ['indented less', `[host]\n[host.'${URL}']\nca = 'a' # b\n`, `[host]\n[host.'${URL}']\nca = ['a', "${CA}"] # b\n`],
    ['a list', `${HEAD}ca = [ "a", 'b' ] # c\n`, `${HEAD}ca = ["${CA}", "a", 'b' ] # c\n`],
    ['an empty one', `${HEAD}ca = [ ]\n`, `${HEAD}ca = ["${CA}"]\n`],
    ['in many lines', `${HEAD}"ca" = [ # c\n  "a",\n]\n`, `${HEAD}"ca" = ["${CA}", # c\n  "a",\n]\n`],
    ['CRLF', `${HEAD}ca="a"\n`.replaceAll('\n', '\r\n'), `${HEAD}ca=["a", "${CA}"]\n`.replaceAll('\n', '\r\n')],
    ['in a text', `x = """\n${HEAD}ca = "q"\n"""\n${HEAD}`, `x = """\n${HEAD}ca = "q"\n"""\n${HEAD}  ca = "${CA}"\n`],
    ['there already', `${HEAD}ca = ["a", '${CA}']\n`, `${HEAD}ca = ["a", '${CA}']\n`],
    ['a text of many lines', `${HEAD}ca = """a"""\n`, undefined],
    ['no text', `${HEAD}ca = 5\n`, undefined],
    ['inline', `host = { "${URL}" = {} }\n`, undefined],
    ['dotted', `host."${URL}".ca = "a"\n`, undefined],
  ];
  for (const [what, before, after] of cases) t.equal(putAuthority(before, URL, CA), after, what);
  t.equal(
    putAuthority('# a\nserver = "x"\n[host."y"]\nca = "z"\n', undefined, CA),
    `# a\nserver = "x"\nca = "${CA}"\n[host."y"]\nca = "z"\n`,
  );
});

t.test('taken out again', async (t) => {
  const cases: [what: string, before: string, after: string | undefined][] = [
    ['alone', `${HEAD}  ca = "${CA}" # ours\n  x = 1\n`, `${HEAD}  x = 1\n`],
    ['the only one of a list', `${HEAD}ca = ['${CA}']\n`, HEAD],
    ['first', `${HEAD}ca = ["${CA}", "a"] # b\n`, `${HEAD}ca = ["a"] # b\n`],
    ['last', `${HEAD}ca = ["a", "${CA}" ]\n`, `${HEAD}ca = ["a" ]\n`],
    ['on a line of its own', `${HEAD}ca = [\n  "a", # a\n  "${CA}",\n]\n`, `${HEAD}ca = [\n  "a", # a\n]\n`],
    ['not there', `${HEAD}ca = "a"\n`, `${HEAD}ca = "a"\n`],
    ['inline', `host = { "${URL}" = {ca = "${CA}"} }\n`, undefined],
  ];
  for (const [what, before, after] of cases) t.equal(dropAuthority(before, URL, CA), after, what);
});

t.test('whatever hosts there are: one authority more, the rest is as it was; and back', async () => {
  const ca = fc.oneof(fc.string(), fc.array(fc.string(), { maxLength: 3 }));
  const host = fc.record(
    { capabilities: fc.subarray(['pull', 'push']), skip_verify: fc.boolean(), ca },
    { requiredKeys: [] },
  );
  const urls = fc.domain().map((name) => `https://${name}`);
  const files = fc.record(
    { server: urls, ca, mirror: host, others: fc.dictionary(urls, host) },
    { requiredKeys: ['mirror'] },
  );
  fc.assert(
    fc.property(files, fc.boolean(), ({ mirror, others, ...root }, atServer) => {
      const whose = atServer ? undefined : URL;
      const text = stringify({ ...root, host: { [URL]: mirror, ...others } });
      const after = putAuthority(text, whose, CA);
      ok(after !== undefined, text);
      const [was, is] = [ownOf(text, whose), ownOf(after, whose)];
      deepEqual(is.authorities, [...was.authorities, CA].toSorted());
      deepEqual(is.rest, was.rest);
      const back = dropAuthority(after, whose, CA);
      ok(back !== undefined, after);
      deepEqual(ownOf(back, whose), was);
    }),
  );
});

/** The authorities of a host or of the server, sorted, and all else that the file says. */
function ownOf(text: string, whose: string | undefined): { authorities: string[]; rest: unknown } {
  // The parser makes tables without a prototype.
  const rest = JSON.parse(JSON.stringify(parse(text))) as Own & { host: Record<string, Own> };
  const own = whose === undefined ? rest : rest.host[whose]!;
  const { ca = [] } = own;
  delete own.ca;
  return { authorities: [ca].flat().toSorted(), rest };
}

interface Own {
  ca?: string | string[];
}
