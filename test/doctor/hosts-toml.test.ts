import fc from 'fast-check';
import t from 'tap';
import { judgeHostsToml, parseHostsToml, type HostsContext } from '../../src/doctor/hosts-toml.ts';
import { MirrorFaces } from '../../src/doctor/mirror-faces.ts';
import { aroundWith } from './node-rig.ts';

const PATH = '/etc/containerd/certs.d/docker.io/hosts.toml';

async function context(t: Parameters<typeof aroundWith>[0], more: Partial<HostsContext> = {}, proxy: object = {}) {
  const { config } = await aroundWith(t, '/', { proxy });
  return {
    registry: 'docker.io',
    path: PATH,
    faces: new MirrorFaces(config),
    needsHostTable: true,
    client: 'containerd',
    ...more,
  } as const;
}

const host = (url: string, more = 'capabilities = ["pull", "resolve"]') => `[host."${url}"]\n${more}\n`;

t.test('a file that names the mirror', async (t) => {
  const here = await context(t);
  const text = `server = "https://registry-1.docker.io"\n${host('http://127.0.0.1:65001')}`;
  const look = judgeHostsToml(text, here);
  t.match(look, { state: 'pointed', seen: /falls back to https:\/\/registry-1\.docker\.io/ });
  t.equal(judgeHostsToml(host('http://localhost:65001'), here).state, 'pointed', 'by another name of loopback');
  t.equal(judgeHostsToml(host('http://127.0.0.1:65001', ''), here).state, 'pointed', 'without capabilities: all');
  t.equal(judgeHostsToml(host('http://127.0.0.1:65001/v2'), here).state, 'pointed');
  t.equal(
    judgeHostsToml(host('http://127.0.0.1:65001/docker.io'), here).state,
    'pointed',
    'with its own registry in the path',
  );
  t.equal(judgeHostsToml(host('http://127.0.0.1:65001/v2', 'override_path = true'), here).state, 'pointed');
  const second = judgeHostsToml(`${host('https://other.test')}${host('http://127.0.0.1:65001')}`, here);
  t.match(second, { state: 'pointed', seen: /asked after https:\/\/other\.test/ });
});

t.test('a file that names others', async (t) => {
  const here = await context(t);
  t.match(judgeHostsToml(host('http://127.0.0.1:65000'), here), { state: 'elsewhere', seen: /65000/ });
  t.equal(judgeHostsToml('server = "https://registry-1.docker.io"', here).state, 'elsewhere');
  t.equal(judgeHostsToml('', here).state, 'elsewhere');
});

t.test('a file that names the mirror in vain', async (t) => {
  const here = await context(t);
  const cases: [string, RegExp, Partial<HostsContext>?][] = [
    [host('https://127.0.0.1:65001'), /plain HTTP/],
    [host('127.0.0.1:65001'), /plain HTTP/],
    [host('http://127.0.0.1:65001', 'capabilities = ["resolve"]'), /lack pull/],
    [host('http://127.0.0.1:65001', 'capabilities = ["pull"]'), /lack resolve/],
    [host('http://127.0.0.1:65001', 'override_path = true'), /override_path/],
    [host('http://127.0.0.1:65001/ghcr.io'), /says ghcr\.io/],
    [host('http://127.0.0.1:65001/some/where'), /has nothing at/],
    ['server = "http://127.0.0.1:65001"', /no \[host\] table/],
    ['server = "x"\n[host\n', /line 2 is no TOML/],
  ];
  for (const [text, seen, more] of cases) {
    const look = judgeHostsToml(text, { ...here, ...more });
    t.match(look, { state: 'broken', problem: { seen, meaning: /./, todo: /./ } }, text);
  }
  t.equal(
    judgeHostsToml('server = "http://127.0.0.1:65001"', { ...here, needsHostTable: false }).state,
    'pointed',
    'containerd 2',
  );
});

t.test('a listener of one registry serves that one only', async (t) => {
  const listeners = [{ listen: '127.0.0.1:65004', upstream: 'ghcr.io' }];
  const here = await context(t, {}, { listeners });
  t.match(judgeHostsToml(host('http://127.0.0.1:65004'), here), {
    state: 'broken',
    problem: { seen: /serves ghcr\.io only/ },
  });
  t.equal(judgeHostsToml(host('http://127.0.0.1:65004'), { ...here, registry: 'ghcr.io' }).state, 'pointed');
});

t.test('a mirror that listens on all addresses is reached by this machine’s', async (t) => {
  const here = await context(t, {}, { listen: '0.0.0.0:65001' });
  t.equal(judgeHostsToml(host('http://127.0.0.1:65001'), here).state, 'pointed');
  t.equal(judgeHostsToml(host('http://192.0.2.77:65001'), here).state, 'elsewhere', 'another machine');
});

t.test('any text is judged, none throws', async (t) => {
  const here = await context(t);
  const word = fc.constantFrom(
    '[host',
    '."http://127.0.0.1:65001"]',
    '\n',
    'server',
    ' = ',
    '"',
    "'",
    'capabilities',
    '[1, "pull"]',
    'true',
    '{',
    '}',
    '#',
    '=',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(word).map((words) => words.join('')),
      ),
      (text) => {
        return ['pointed', 'elsewhere', 'broken'].includes(judgeHostsToml(text, here).state);
      },
    ),
  );
  const url = fc.webUrl();
  fc.assert(
    fc.property(fc.uniqueArray(url, { maxLength: 5 }), (urls) => {
      const file = parseHostsToml(urls.map((one) => `[host.${JSON.stringify(one)}]\n`).join(''));
      return 'hosts' in file && file.hosts.map((entry) => entry.url).join(' ') === urls.join(' ');
    }),
  );
});
