import { deepStrictEqual as deepEqual, ok } from 'node:assert';
import fc from 'fast-check';
import { parse, stringify } from 'smol-toml';
import t from 'tap';
import { insertHost, newHostsToml } from '../../src/setup/hosts-edit.ts';

const URL = 'http://127.0.0.1:65001';
const OURS = `[host."${URL}"]\n  capabilities = ["pull", "resolve"]\n`;

t.test('a new file', async (t) => {
  const own = newHostsToml({ url: URL }, { url: 'https://ghcr.io', ca: '/etc/ca "x".pem' });
  t.match(own, /^# .*\n/);
  t.same(parse(own), {
    server: 'https://ghcr.io',
    ca: '/etc/ca "x".pem',
    host: { [URL]: { capabilities: ['pull', 'resolve'] } },
  });
  t.same(parse(newHostsToml({ url: URL }, undefined)), { host: { [URL]: { capabilities: ['pull', 'resolve'] } } });
});

t.test('with authorities of the mirror', async (t) => {
  const mirror = { url: 'https://10.0.0.9:7000', ca: '/etc/containerd/hawker "ca".crt' };
  const host = { [mirror.url]: { capabilities: ['pull', 'resolve'], ca: mirror.ca } };
  t.same(parse(newHostsToml(mirror, { url: 'https://ghcr.io' })), { server: 'https://ghcr.io', host });
  const edited = insertHost('server = "https://x"\n[host."https://corp"]\nca = "y"\n', mirror);
  t.same(parse(edited!), { server: 'https://x', host: { ...host, 'https://corp': { ca: 'y' } } });
});

t.test('before the first host, with what is said of that', async (t) => {
  const cases: [what: string, before: string, after: string | undefined][] = [
    ['empty', '', OURS],
    ['a server alone', 'server = "https://x"\n', `server = "https://x"\n\n${OURS}`],
    ['without a line break at its end', 'server = "https://x"', `server = "https://x"\n\n${OURS}`],
    [
      'hosts with comments',
      '# all\nserver = "https://x"\n\n# corp\n# goes first\n[host."https://corp"]\n  ca = "y" # z\n',
      `# all\nserver = "https://x"\n\n${OURS}\n# corp\n# goes first\n[host."https://corp"]\n  ca = "y" # z\n`,
    ],
    ['quoted in other ways', "  [ 'host' . 'https://corp' ]\n", `${OURS}\n  [ 'host' . 'https://corp' ]\n`],
    ['a table of a host', '[host."https://a".header]\nx = "y"\n', `${OURS}\n[host."https://a".header]\nx = "y"\n`],
    ['another table', '[header]\nx = "y"\n', `[header]\nx = "y"\n\n${OURS}`],
    ['inline', 'host = { "https://corp" = {} }\n', undefined],
    ['dotted', 'host."https://corp".ca = "x"\n', undefined],
    ['there already, in another way', `[host]\n[host.'${URL}']\nca = "x"\n`, undefined],
    ['in a text', 'x = """\n[host."a"]\n"""\n[host."b"]\n', undefined],
  ];
  for (const [what, before, after] of cases) t.equal(insertHost(before, { url: URL }), after, what);
  t.equal(insertHost('server = "x"\r\n', { url: URL }), `server = "x"\r\n\r\n${OURS.replaceAll('\n', '\r\n')}`, 'CRLF');
});

t.test('whatever hosts there are: the mirror is asked first, the rest is as it was', async () => {
  const host = fc.record(
    { capabilities: fc.subarray(['pull', 'resolve', 'push']), skip_verify: fc.boolean(), ca: fc.string() },
    { requiredKeys: [] },
  );
  const urls = fc.domain().map((name) => `https://${name}`);
  const files = fc.record({ server: urls, host: fc.dictionary(urls, host) }, { requiredKeys: [] });
  fc.assert(
    fc.property(files, (before) => {
      const text = stringify(before);
      const after = insertHost(text, { url: URL });
      ok(after !== undefined, text);
      const { host, ...rest } = plain(parse(after)) as { host: object };
      const { host: old = {}, ...others } = plain(parse(text)) as { host?: object };
      deepEqual(Object.keys(host), [URL, ...Object.keys(old)]);
      deepEqual({ ...host, [URL]: undefined }, { ...old, [URL]: undefined });
      deepEqual(rest, others);
    }),
  );
});

/** The parser makes tables without a prototype. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown;
}
