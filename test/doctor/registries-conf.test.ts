import fc from 'fast-check';
import t from 'tap';
import { MirrorFaces } from '../../src/doctor/mirror-faces.ts';
import { judgeEntry, parsePodmanRegistries, parseRegistriesConf } from '../../src/doctor/registries-conf.ts';
import { aroundWith } from './node-rig.ts';

const entry = (prefix: string, location: string, more = 'insecure = true', top = '') =>
  `[[registry]]\nprefix = "${prefix}"\nlocation = "${prefix}"\n${top}\n[[registry.mirror]]\nlocation = "${location}"\n${more}\n`;

async function facesOf(t: Parameters<typeof aroundWith>[0], proxy: object = {}) {
  return new MirrorFaces((await aroundWith(t, '/', { proxy, upstreams: { 'registry.example:5000': {} } })).config);
}

function judge(text: string, faces: MirrorFaces) {
  const entries = parseRegistriesConf('/etc/containers/registries.conf', text);
  if (!Array.isArray(entries)) throw new Error(entries.why);
  return entries.map((one) => judgeEntry(one, faces));
}

t.test('mirrors that are right', async (t) => {
  const faces = await facesOf(t, { listeners: [{ listen: '127.0.0.1:65004', upstream: 'registry.example:5000' }] });
  for (const [prefix, location] of [
    ['docker.io', '127.0.0.1:65001/docker.io'],
    ['docker.io', '127.0.0.1:65001'],
    ['docker.io', 'localhost:65001/docker.io'],
    ['docker.io/library', '127.0.0.1:65001/docker.io/library'],
    ['docker.io/library', '127.0.0.1:65001/library'],
    ['ghcr.io', '127.0.0.1:65001/ghcr.io'],
    ['registry.example:5000', '127.0.0.1:65004'],
  ]) {
    t.match(judge(entry(prefix!, location!), faces), [{ state: 'pointed' }], `${prefix} by ${location}`);
  }
});

t.test('mirrors that are wrong', async (t) => {
  const faces = await facesOf(t, { listeners: [{ listen: '127.0.0.1:65004', upstream: 'ghcr.io' }] });
  const cases: [string, RegExp][] = [
    [entry('docker.io', '127.0.0.1:65001/docker.io', ''), /without insecure/],
    [entry('ghcr.io', '127.0.0.1:65001'), /asked for docker\.io instead/],
    [entry('ghcr.io', '127.0.0.1:65001/docker.io'), /asked for docker\.io instead/],
    [entry('docker.io/library', '127.0.0.1:65001/docker.io'), /asked for docker\.io instead/],
    [entry('registry.example:5000', '127.0.0.1:65001/registry.example:5000'), /port in its path/],
    [entry('docker.io', '127.0.0.1:65004/docker.io'), /serves ghcr\.io only/],
    [
      entry('docker.io', '127.0.0.1:65001/docker.io', 'insecure = true\npull-from-mirror = "digest-only"'),
      /digests only/,
    ],
    [
      entry('docker.io', '127.0.0.1:65001/docker.io', 'insecure = true', 'mirror-by-digest-only = true'),
      /digests only/,
    ],
  ];
  for (const [text, seen] of cases) {
    t.match(judge(text, faces), [{ state: 'broken', problem: { seen, meaning: /./, todo: /./ } }], text);
  }
  t.match(judge(entry('docker.io', '127.0.0.1:65000/docker.io'), faces), [{ state: 'elsewhere', seen: /65000/ }]);
  t.match(judge('[[registry]]\nlocation = "docker.io"\n', faces), [
    { state: 'elsewhere', seen: /docker\.io: no mirror/ },
  ]);
});

t.test('as podman info tells it', async (t) => {
  const faces = await facesOf(t);
  const mirror = { Location: '127.0.0.1:65001/docker.io', Insecure: true, PullFromMirror: '' };
  const told = {
    'docker.io': { Prefix: 'docker.io', Mirrors: [mirror], MirrorByDigestOnly: false },
    search: ['docker.io'],
  };
  t.match(
    parsePodmanRegistries('podman info', told).map((one) => judgeEntry(one, faces)),
    [{ state: 'pointed' }],
  );
  t.same(parsePodmanRegistries('podman info', null), []);
});

t.test('any text is read or refused with its line', async (t) => {
  t.match(parseRegistriesConf('x', 'a = 1\n[[registry]\n'), { line: 2 });
  fc.assert(
    fc.property(fc.string(), (text) => {
      const read = parseRegistriesConf('x', text);
      return Array.isArray(read) || read.line >= 1;
    }),
  );
});
