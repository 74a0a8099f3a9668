import { chmod, link, lstat, mkdir, readlink, rm, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { deepStrictEqual } from 'node:assert';
import fc from 'fast-check';
import { stringify as toToml } from 'smol-toml';
import t from 'tap';
import { stringify as toYaml } from 'yaml';
import { RUNTIME_NAMES, type RuntimeName } from '../../src/setup/runtime.ts';
import { temporaryDirectory } from '../store/temporary.ts';
import { rigAt, setupRig, type SetupRig } from './rig.ts';

const URL = 'http://127.0.0.1:65001';
const HUB = ['--registry', 'docker.io'];
const DAEMON = '/etc/docker/daemon.json';
const CONFIG = '/etc/containerd/config.toml';
const HUB_HOSTS = '/etc/containerd/certs.d/docker.io/hosts.toml';
const CONF = '/etc/containers/registries.conf.d/50-hawker.conf';
const K3S = '/etc/rancher/k3s/registries.yaml';
const FILES: Readonly<Record<RuntimeName, string>> = {
  docker: DAEMON,
  containerd: HUB_HOSTS,
  podman: CONF,
  crio: CONF,
  k3s: K3S,
};

t.test('each runtime on a system without any file of it: set up, nothing to do, undone', async (t) => {
  for (const name of RUNTIME_NAMES) {
    const rig = await setupRig(t);
    await mkdir(join(rig.root, 'etc'));
    const before = await rig.tree();
    const first = await rig.setup([name, '--yes', ...HUB]);
    t.match(first, { status: 0, err: '' }, name);
    t.match(first.out, `--- /dev/null\n+++ ${FILES[name]}\n@@`, name);
    t.match(await rig.read(FILES[name]), '127.0.0.1:65001');
    const done = await rig.tree();
    const again = await rig.setup([name, '--yes', ...HUB]);
    t.same(again, { status: 0, out: `Nothing to do: ${name} is set up for this mirror.\n`, err: '' });
    t.same(await rig.tree(), done, `${name}: the second time nothing changes`);
    t.match(await rig.setup([name, '--undo', '--yes']), { status: 0, err: '' });
    t.same(await rig.tree(), before, `${name}: as before`);
    t.match(await rig.setup([name, '--undo', '--yes']), { status: 0, out: /^Nothing to undo/ });
  }
});

t.test('by default: each host of the allow-list, and a word on its patterns', async (t) => {
  const rig = await setupRig(t);
  const { out } = await rig.setup(['containerd', '--dry-run']);
  t.match(out, '+++ /etc/containerd/certs.d/docker.io/hosts.toml');
  t.match(out, '+server = "https://registry-1.docker.io"');
  t.match(out, '+++ /etc/containerd/certs.d/ghcr.io/hosts.toml');
  t.match(out, /patterns among the upstreams \(\*\.gcr\.io/);
  t.same(await rig.tree(), {}, 'a dry run writes nothing');
  const podman = await rig.setup(['podman', '--dry-run']);
  t.match(podman.out, '+location = "127.0.0.1:65001/quay.io"');
});

t.test('for all registries at once: one file, and those that have their own', async (t) => {
  const rig = await setupRig(t);
  await rig.write('/etc/containerd/certs.d/ghcr.io/hosts.toml', '[host."https://corp.example"]\n');
  await rig.write(
    CONFIG,
    'version = 3\n[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/etc/containerd/certs.d"\n',
  );
  t.match(await rig.setup(['containerd', '--yes', '--registry', '*']), { status: 0 });
  t.notMatch(await rig.read('/etc/containerd/certs.d/_default/hosts.toml'), 'server');
  t.match(await rig.read('/etc/containerd/certs.d/ghcr.io/hosts.toml'), new RegExp(`^\\[host\\."${URL}"\\]`));
  t.match(await rig.setup(['containerd', '--yes']), { out: /^Nothing to do/ }, 'which counts for each of them');
  t.match(await rig.setup(['k3s', '--yes', '--registry', '*']), { status: 0 });
  t.match(await rig.read(K3S), '"*":');
  t.match(await rig.setup(['podman', '--yes', '--registry', '*']), {
    status: 1,
    err: /SETUP_REGISTRY: \* cannot be set up/,
  });
});

t.test('a registry keeps what the file for all of them says', async (t) => {
  const rig = await setupRig(t);
  await rig.write('/etc/containerd/certs.d/_default/hosts.toml', '[host."https://corp.example"]\n');
  t.match(await rig.setup(['containerd', '--yes', ...HUB]), { status: 0 });
  t.match(await rig.read('/etc/containerd/certs.d/_default/hosts.toml'), /65001[^]*corp/);
  t.notOk(Object.keys(await rig.tree()).some((path) => path.includes('docker.io')));
});

t.test('what is in the files stays, with its mode; backups lie beside them', async (t) => {
  const rig = await setupRig(t);
  const text = '{\n    "bip": "10.1.0.1/24",\n    "registry-mirrors": [\n        "https://corp.example"\n    ]\n}\n';
  await rig.write(DAEMON, text);
  await chmod(join(rig.root, DAEMON), 0o640);
  const before = await rig.tree();
  const { mtimeMs, ino } = await stat(join(rig.root, DAEMON));
  const { out } = await rig.setup(['docker', '--yes']);
  t.match(out, 'As it was: /etc/docker/daemon.json.before-hawker.');
  t.match(out, 'docker pull 127.0.0.1:65001/ghcr.io/OWNER/NAME', 'docker mirrors Docker Hub only');
  t.equal(await rig.read(DAEMON), text.replace('[\n', `[\n        "${URL}",\n`));
  t.equal(await rig.read(`${DAEMON}.before-hawker`), text);
  t.equal((await stat(join(rig.root, DAEMON))).mode & 0o777, 0o640);
  await rig.setup(['docker', '--undo', '--yes']);
  t.same(await rig.tree(), before);
  const after = await stat(join(rig.root, DAEMON));
  t.same([after.mtimeMs, after.ino], [mtimeMs, ino], 'it is the very file');
});

t.test('undo: later edits of others survive, or it is refused', async (t) => {
  const rig = await setupRig(t);
  await rig.write(DAEMON, '{\n  "a": 1\n}\n');
  await rig.setup(['docker', '--yes']);
  const done = await rig.read(DAEMON);
  await rig.write(DAEMON, done.replace('"a": 1', '"z": 0,\n  "y": 0,\n  "x": 0,\n  "w": 0,\n  "a": 1'));
  t.match(
    await rig.setup(['docker', '--undo', '--yes']),
    { status: 1, err: /SETUP_UNDO_CONFLICT/ },
    'where they touch',
  );
  t.match(await rig.read(DAEMON), '65001', 'nothing is changed then');
  await rig.write(DAEMON, done);
  await rig.setup(['docker', '--undo', '--yes']);

  await rig.write(
    K3S,
    '# mine\nmirrors:\n  quay.io:\n    endpoint:\n      - https://q.example\nconfigs:\n  a:\n    tls: {}\n  b:\n    tls: {}\n',
  );
  await rig.setup(['k3s', '--yes', ...HUB]);
  await rig.write(K3S, `# later\n${await rig.read(K3S)}  c:\n    tls: {}\n`);
  t.match(await rig.setup(['k3s', '--undo', '--yes']), { status: 0 });
  t.equal(
    await rig.read(K3S),
    '# later\n# mine\nmirrors:\n  quay.io:\n    endpoint:\n      - https://q.example\nconfigs:\n  a:\n    tls: {}\n  b:\n    tls: {}\n  c:\n    tls: {}\n',
  );

  await rig.setup(['podman', '--yes', ...HUB]);
  await rig.write(CONF, `${await rig.read(CONF)}\n[[registry]]\nprefix = "quay.io"\nlocation = "q.example"\n`);
  t.match(await rig.setup(['podman', '--undo', '--yes']), { status: 0 });
  t.equal(await rig.read(CONF), '\n[[registry]]\nprefix = "quay.io"\nlocation = "q.example"\n', 'a file that was made');

  await rig.setup(['containerd', '--yes', ...HUB]);
  await rm(join(rig.root, HUB_HOSTS));
  t.match(await rig.setup(['containerd', '--undo', '--yes']), { status: 0 }, 'a file that somebody has removed');
  t.notOk(Object.keys(await rig.tree()).some((path) => path.startsWith('etc/containerd')));
});

t.test('undo: without its lines the file would be wrong', async (t) => {
  const rig = await setupRig(t);
  await rig.setup(['docker', '--yes']);
  const done = await rig.read(DAEMON);
  await rig.write(DAEMON, `{"b": 1,\n${done.slice(2)}`);
  const { status, err, out } = await rig.setup(['docker', '--undo', '--yes']);
  t.equal(status, 1);
  t.match(err, /SETUP_UNDO_CONFLICT/);
  t.match(out, '+  "registry-mirrors"', 'the change as it was made is shown');
  t.match(await rig.setup(['docker', '--undo', '--forget']), { status: 0, out: /^Forgotten/ });
  t.match(await rig.setup(['docker', '--undo', '--yes']), { status: 1, err: /SETUP_NO_RECORD.*not there/ });
  t.match(await rig.read(DAEMON), '65001');
});

t.test('set up twice for more registries, undone at once; the last to go takes the directories', async (t) => {
  const rig = await setupRig(t);
  await rig.write(CONF, '# mine\n[[registry]]\nprefix = "a.example"\nlocation = "a.example"\n');
  const before = await rig.tree();
  await rig.setup(['podman', '--yes', ...HUB]);
  await rig.setup(['podman', '--yes', '--registry', 'ghcr.io']);
  await rig.setup(['k3s', '--yes', ...HUB]);
  t.match(await rig.read(CONF), /^# mine[^]*docker\.io[^]*ghcr\.io/);
  t.match(await rig.setup(['podman', '--undo', '--yes']), { status: 0 });
  t.equal(await rig.read(CONF), '# mine\n[[registry]]\nprefix = "a.example"\nlocation = "a.example"\n');
  await rig.setup(['k3s', '--undo', '--yes']);
  t.same(await rig.tree(), before);
});

t.test('a file that is not right is left alone', async (t) => {
  const cases: [name: RuntimeName, path: string, text: string, err: RegExp][] = [
    ['docker', DAEMON, '{"a": 1,\n}', /SETUP_FILE_INVALID: .*daemon\.json .*no JSON, line 2/],
    ['docker', DAEMON, '[]', /SETUP_FILE_INVALID: .*no JSON object/],
    ['docker', DAEMON, '{"registry-mirrors": "x"}', /SETUP_FILE_INVALID: .*no list/],
    ['docker', DAEMON, '\uFEFF{}', /SETUP_FILE_INVALID/],
    ['containerd', HUB_HOSTS, '[host\n', /SETUP_FILE_INVALID: .*line 1/],
    ['containerd', HUB_HOSTS, 'host = {"https://a" = {}}\n', /SETUP_FILE_FORM: .*by hand: \[host\./],
    ['containerd', HUB_HOSTS, `[host."https://127.0.0.1:65001"]\n`, /SETUP_CONFLICT: .*plain HTTP.*Write \[host\./],
    ['containerd', CONFIG, 'version = \n', /SETUP_FILE_INVALID: .*config\.toml/],
    ['containerd', CONFIG, '[plugins.cri]\nregistry = {}\n', /SETUP_FILE_FORM: .*config_path/],
    [
      'containerd',
      CONFIG,
      '[plugins.cri.registry.mirrors."docker.io"]\nendpoint = ["x"]\n',
      /SETUP_OLD_MIRRORS: .*docker\.io/,
    ],
    ['containerd', CONFIG, '[plugins.cri.registry.configs."a".tls]\nca_file = "x"\n', /SETUP_OLD_MIRRORS: .*tls \(a\)/],
    ['containerd', '/etc/containerd/certs.d/docker.io/ca.crt', 'x', /SETUP_CONFLICT: .*docker\.io: it holds ca\.crt/],
    ['podman', CONF, '[[registry]\n', /SETUP_FILE_INVALID/],
    ['podman', CONF, 'registry = []\n', /SETUP_FILE_FORM: .*by hand: \[\[registry\]\] prefix = "docker\.io"/],
    ['podman', CONF, '[[registry]]\nlocation = "docker.io"\nblocked = true\n', /SETUP_CONFLICT: .*50-hawker/],
    [
      'podman',
      CONF,
      '[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "127.0.0.1:65001/docker.io"\n',
      /SETUP_CONFLICT: .*insecure/,
    ],
    [
      'podman',
      '/etc/containers/registries.conf.d/00-a.conf',
      '[[registry]]\nlocation = "docker.io"\n',
      /SETUP_CONFLICT: .*00-a\.conf.*later file counts/,
    ],
    [
      'crio',
      '/etc/containers/registries.conf',
      '[[registry]]\nprefix = "docker.io"\nlocation = "x"\n',
      /SETUP_CONFLICT: .*registries\.conf/,
    ],
    ['k3s', K3S, 'a: [', /SETUP_FILE_INVALID: .*no YAML/],
    ['k3s', K3S, 'mirrors: []', /SETUP_FILE_FORM: .*mirrors is no map/],
  ];
  for (const [name, path, text, err] of cases) {
    const rig = await setupRig(t);
    await rig.write(path, text);
    const before = await rig.tree();
    const result = await rig.setup([name, '--yes', ...HUB]);
    t.match(result, { status: 1, err }, `${path}: ${text}`);
    t.same(await rig.tree(), before);
  }
});

t.test('a mirror that is named elsewhere already is no conflict', async (t) => {
  const rig = await setupRig(t);
  await rig.write(
    '/etc/containers/registries.conf',
    '[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "localhost:65001/docker.io"\ninsecure = true\n',
  );
  t.match(await rig.setup(['podman', '--yes', ...HUB]), { status: 0, out: /^Nothing to do/ });
  await rig.write(DAEMON, '{"registry-mirrors": ["http://localhost:65001/"]}');
  t.match(await rig.setup(['docker', '--yes']), { status: 0, out: /^Nothing to do/ });
});

t.test('containerd: where config_path is set', async (t) => {
  const rig = await setupRig(t);
  const imported = '[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "x"\n';
  await rig.write(CONFIG, 'version = 2\nimports = ["conf.d/*.toml", "/etc/other.toml"]\n');
  await rig.write('/etc/containerd/conf.d/cri.toml', imported);
  await rig.write('/etc/containerd/conf.d/cri.toml.old', 'no TOML');
  await rig.setup(['containerd', '--yes', ...HUB]);
  t.equal(await rig.read(CONFIG), 'version = 2\nimports = ["conf.d/*.toml", "/etc/other.toml"]\n');
  t.match(await rig.read('/etc/containerd/conf.d/cri.toml'), /sandbox_image = "x"\n\n\[.*registry\]\n {2}config_path/);
  await rig.setup(['containerd', '--undo', '--yes']);

  await rig.write(
    '/etc/containerd/conf.d/cri.toml',
    `${imported}[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/a/b:/c"\n`,
  );
  const { out } = await rig.setup(['containerd', '--dry-run', ...HUB]);
  t.match(out, '+++ /a/b/docker.io/hosts.toml', 'where it is set already');
  await mkdir(join(rig.root, 'c/docker.io'), { recursive: true });
  t.match(
    (await rig.setup(['containerd', '--dry-run', ...HUB])).out,
    '+++ /c/docker.io/hosts.toml',
    'in the directory that counts',
  );
  await rig.write(CONFIG, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
  const off = await rig.setup(['containerd', '--dry-run', ...HUB]);
  t.match(off.out, 'its CRI plugin is off');
  t.notMatch(off.out, '+++ /etc/containerd/config.toml');
});

t.test('a registry with a port', async (t) => {
  const rig = await setupRig(t);
  const registry = 'registry.example:5000';
  await rig.write('/hawker.yaml', `upstreams: {'${registry}': {url: 'http://10.0.0.1:5000', ca: /ca.pem}}\n`);
  const with5000 = ['--registry', registry, '--config', join(rig.root, 'hawker.yaml')];
  await mkdir(join(rig.root, 'etc/containerd/certs.d/registry.example_5000_'), { recursive: true });
  await rig.setup(['containerd', '--yes', ...with5000]);
  t.match(
    await rig.read('/etc/containerd/certs.d/registry.example_5000_/hosts.toml'),
    /^# .*\nserver = "http:\/\/10\.0\.0\.1:5000"\nca = "\/ca\.pem"\n/,
    'it falls back to where Hawker’s configuration says that it is',
  );
  t.match(await rig.setup(['podman', '--yes', ...with5000]), { status: 1, err: /SETUP_REGISTRY: .*proxy\.listeners/ });
  t.match(await rig.setup(['podman', '--dry-run', ...with5000.slice(2)]), {
    status: 0,
    out: /registry\.example:5000 is left out/,
  });
  await rig.write(
    '/hawker.yaml',
    `${await rig.read('/hawker.yaml')}proxy: {listeners: [{listen: '127.0.0.1:7001', upstream: '${registry}'}]}\n`,
  );
  await rig.setup(['podman', '--yes', ...with5000]);
  t.match(
    await rig.read(CONF),
    'prefix = "registry.example:5000"\nlocation = "10.0.0.1:5000"\ninsecure = true\n\n[[registry.mirror]]\nlocation = "127.0.0.1:7001"\n',
  );
});

t.test('the address of the mirror', async (t) => {
  const rig = await setupRig(t);
  const config = async (text: string) => {
    await rig.write('/hawker.yaml', text);
    return ['--config', join(rig.root, 'hawker.yaml'), '--dry-run'];
  };
  t.match(
    (await rig.setup(['docker', ...(await config('proxy: {listen: 0.0.0.0:7000}'))])).out,
    '"http://127.0.0.1:7000"',
  );
  const other = await rig.setup(['docker', '--mirror', 'http://10.0.0.9:7000', '--dry-run']);
  t.match(other.out, '"registry-mirrors": ["http://10.0.0.9:7000"]');
  t.match(other.out, '"insecure-registries": ["10.0.0.9:7000"]', 'plain HTTP beyond loopback');
  t.match(await rig.setup(['docker', ...(await config('proxy: {listen: 127.0.0.1:0}'))]), {
    status: 1,
    err: /SETUP_MIRROR_ADDRESS: .*port 0/,
  });
  const quay = 'proxy: {defaultUpstream: quay.io';
  t.match(await rig.setup(['docker', ...(await config(`${quay}}`))]), {
    status: 1,
    err: /SETUP_MIRROR_ADDRESS: .*quay\.io.*proxy\.listeners/,
  });
  const bound = await rig.setup([
    'docker',
    ...(await config(`${quay}, listeners: [{listen: '127.0.0.1:7002', upstream: docker.io}]}`)),
  ]);
  t.match(bound.out, '"http://127.0.0.1:7002"');
  for (const mirror of ['https://x', 'https://x:1/path', 'ftp://x:1', 'https://x:0']) {
    t.match(await rig.setup(['docker', '--mirror', mirror]), { status: 2, err: /^hawker: USAGE: .*Allowed: http/ });
  }
  t.match(await rig.setup(['docker', '--config', '/nope']), { status: 2 });
  t.match(await rig.setup(['rkt']), { status: 2, err: /^hawker: USAGE: .*docker, containerd, podman, crio, k3s/ });
  t.match(await rig.setup(['docker', '--registry', 'ghcr.io']), {
    status: 1,
    err: /SETUP_REGISTRY: ghcr\.io .*docker pull 127\.0\.0\.1:65001\/ghcr\.io\//,
  });
  t.match(await rig.setup(['podman', '--registry', 'x.example']), {
    status: 1,
    err: /SETUP_REGISTRY: x\.example .*upstreams/,
  });
  t.match(await rig.setup(['podman', '--registry', '-x']), { status: 1, err: /SETUP_REGISTRY: -x .*no host/ });
});

t.test('a mirror over TLS: each runtime is told, and whom it is to trust', async (t) => {
  const CA = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  const KEY = '-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n';
  const rig = await setupRig(t);
  await rig.write('/ca.pem', CA);
  await rig.write('/key.pem', CA + KEY);
  await rig.write('/none.pem', 'nothing');
  await rig.write(
    '/etc/rancher/k3s/registries.yaml',
    '# ours\nconfigs:\n  "corp:5000":\n    tls:\n      ca_file: /x # y\n',
  );
  const mirror = ['--mirror', 'https://10.0.0.9:7000', '--registry', 'docker.io'];
  const ca = ['--mirror-ca', join(rig.root, 'ca.pem')];
  const before = await rig.tree();
  const expected = {
    docker: {
      '/etc/docker/daemon.json': /"registry-mirrors": \["https:\/\/10\.0\.0\.9:7000"\](?![^]*insecure)/,
      '/etc/docker/certs.d/10.0.0.9:7000/hawker-ca.crt': CA,
    },
    containerd: {
      '/etc/containerd/certs.d/docker.io/hosts.toml':
        /\[host\."https:\/\/10\.0\.0\.9:7000"\]\n {2}capabilities = \["pull", "resolve"\]\n {2}ca = "\/etc\/containerd\/hawker-ca\.crt"\n/,
      '/etc/containerd/hawker-ca.crt': CA,
    },
    podman: {
      '/etc/containers/registries.conf.d/50-hawker.conf': /location = "10\.0\.0\.9:7000\/docker\.io"\n$/,
      '/etc/containers/certs.d/10.0.0.9:7000/hawker-ca.crt': CA,
    },
    crio: {
      '/etc/containers/registries.conf.d/50-hawker.conf': /location = "10\.0\.0\.9:7000\/docker\.io"\n$/,
      '/etc/containers/certs.d/10.0.0.9:7000/hawker-ca.crt': CA,
    },
    k3s: {
      '/etc/rancher/k3s/registries.yaml':
        /^# ours\n[^]*"corp:5000":\n {4}tls:\n {6}ca_file: \/x # y\n[^]*"?10\.0\.0\.9:7000"?:\n {4}tls:\n {6}ca_file: "\/etc\/rancher\/k3s\/hawker-ca\.crt"\n[^]*- "https:\/\/10\.0\.0\.9:7000"/,
      '/etc/rancher/k3s/hawker-ca.crt': CA,
    },
  } as const;
  for (const [runtime, files] of Object.entries(expected)) {
    const done = await rig.setup([runtime, ...mirror, ...ca, '--yes', '--no-verify']);
    t.match(done, { status: 0, err: '' }, runtime);
    for (const [path, text] of Object.entries(files)) t.match(await rig.read(path), text, path);
    const again = await rig.setup([runtime, ...mirror, ...ca, '--yes', '--no-verify']);
    t.match(again.out, /^Nothing to do/, `${runtime} again`);
    t.match(await rig.setup([runtime, '--undo', '--yes']), { status: 0, err: '' });
    t.same(await rig.tree(), before, `${runtime}: all is as it was`);
    const without = await rig.setup([runtime, ...mirror, '--dry-run']);
    t.match(without.out, /Note: the mirror speaks TLS: .*--mirror-ca FILE/);
    t.notMatch(without.out, 'hawker-ca.crt');
  }
  const refused = (file: string) => rig.setup(['docker', ...mirror, '--mirror-ca', join(rig.root, file)]);
  t.match(await refused('none.pem'), { status: 1, err: /SETUP_MIRROR_ADDRESS: .*no certificate/ });
  t.match(await refused('key.pem'), { status: 1, err: /SETUP_MIRROR_ADDRESS: .*private key/ });
  t.match(await refused('nowhere.pem'), { status: 1, err: /SETUP_MIRROR_ADDRESS: .*ENOENT/ });
  t.match(await rig.setup(['docker', ...ca]), { status: 2, err: /USAGE: --mirror-ca .* for a mirror over TLS/ });
  await rig.write('/hawker.yaml', 'proxy: { tls: { cert: /c.pem, key: /k.pem } }');
  const own = await rig.setup(['docker', '--config', join(rig.root, 'hawker.yaml'), '--dry-run']);
  t.match(own.out, '"registry-mirrors": ["https://127.0.0.1:65001"]', 'this node’s own mirror, where it speaks TLS');
});

t.test('authorities of the mirror that come, change and go with a later setup', async (t) => {
  const [ONE, TWO] = ['AAAA', 'BBBB'].map(
    (text) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`,
  );
  const MIRROR = 'https://10.0.0.9:7000';
  const mirror = ['--mirror', MIRROR, '--yes', '--no-verify', '--registry', 'docker.io'];
  const files: Readonly<Record<RuntimeName, string>> = {
    docker: '/etc/docker/certs.d/10.0.0.9:7000/hawker-ca.crt',
    containerd: '/etc/containerd/hawker-ca.crt',
    podman: '/etc/containers/certs.d/10.0.0.9:7000/hawker-ca.crt',
    crio: '/etc/containers/certs.d/10.0.0.9:7000/hawker-ca.crt',
    k3s: '/etc/rancher/k3s/hawker-ca.crt',
  };
  for (const name of RUNTIME_NAMES) {
    const rig = await setupRig(t);
    await rig.write('/one.pem', ONE!);
    await rig.write('/two.pem', TWO!);
    await mkdir(join(rig.root, 'etc'));
    const untouched = await rig.tree();
    const withCa = (file: string) => rig.setup([name, ...mirror, '--mirror-ca', join(rig.root, file)]);
    const withoutCa = () => rig.setup([name, ...mirror, '--no-mirror-ca']);
    const etc = async () => {
      const tree = Object.entries(await rig.tree()).filter(
        ([path]) => !path.startsWith('etc/hawker') && !path.endsWith('.d'),
      );
      return Object.fromEntries(tree.filter(([, what]) => !what.endsWith(' directory')));
    };
    t.match(await rig.setup([name, ...mirror]), { status: 0, err: '' }, name);
    const before = await etc();
    t.match((await withoutCa()).out, /^Nothing to do/);
    const came = await withCa('one.pem');
    t.match(came, { status: 0, err: '' });
    if (name === 'containerd') {
      t.match(came.out, '+  ca = "/etc/containerd/hawker-ca.crt"', 'it is shown first');
      t.match(
        came.out,
        /\+{3} \/etc\/containerd\/hawker-ca\.crt[^]*\+{3} .*hosts\.toml/,
        'none is named before it is there',
      );
    }
    t.equal(await rig.read(files[name]), ONE);
    const after = await etc();
    t.match((await withCa('one.pem')).out, /^Nothing to do/);
    t.match((await rig.setup([name, ...mirror])).out, /^Nothing to do/, 'nothing is said of them: they stay');
    t.match(await withCa('two.pem'), { status: 0, out: /-AAAA\n\+BBBB\n/ }, 'another');
    t.equal(await rig.read(files[name]), TWO);
    t.match(await withCa('one.pem'), { status: 0 });
    t.same(await etc(), after);
    const went = await withoutCa();
    if (name === 'containerd')
      t.match(went.out, /\+{3} .*hosts\.toml[^]*-{3} .*hawker-ca\.crt/, 'nor after it has gone');
    t.match(went, { status: 0, out: new RegExp(`Removed ${files[name]}\\.`), err: '' });
    t.same(await etc(), before, 'as if they had never been there');
    t.match((await withoutCa()).out, /^Nothing to do/);
    t.match(await rig.setup([name, '--undo', '--yes']), { status: 0, err: '' });
    t.same(await rig.tree(), untouched, `${name}: undone`);
    await withCa('one.pem');
    await rig.setup([name, '--undo', '--forget']);
    const kept = await etc();
    await withoutCa();
    t.notOk(files[name].slice(1) in (await etc()));
    t.match(await rig.setup([name, '--undo', '--yes']), { status: 0, err: '' });
    t.same(await etc(), kept, `${name}: what was taken away comes back`);
  }
});

t.test('authorities of the mirror in a hosts.toml of the user’s own', async (t) => {
  const rig = await setupRig(t);
  const CA = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  const FILE = '/etc/containerd/hawker-ca.crt';
  const own = (ca: string) => `# mine
server = "https://10.0.0.9:7000/v2/docker.io"

[host.'https://10.0.0.9:7000']
  ${ca} # ours
  skip_verify = false
  [host.'https://10.0.0.9:7000'.header]
    x-team = "a"

[host."https://corp.example"]
  ca = "/corp.pem"
`;
  await rig.write('/ca.pem', CA);
  await rig.write(HUB_HOSTS, own('ca = "/own.pem"'));
  const mirror = ['--mirror', 'https://10.0.0.9:7000', '--yes', '--no-verify', ...HUB];
  const withCa = ['containerd', ...mirror, '--mirror-ca', join(rig.root, 'ca.pem')];
  t.match(await rig.setup(withCa), { status: 0, err: '', out: `As it was: ${HUB_HOSTS}.before-hawker` });
  t.equal(
    await rig.read(HUB_HOSTS),
    own(`ca = ["/own.pem", "${FILE}"]`).replace('docker.io"\n', `docker.io"\nca = "${FILE}"\n`),
  );
  const other = '/etc/containerd/certs.d/quay.io/hosts.toml';
  await rig.write(other, `[host."https://10.0.0.9:7000"]\nca = "${FILE}"\n`);
  const gone = await rig.setup(['containerd', ...mirror, '--no-mirror-ca']);
  t.match(gone, { status: 0, err: '' });
  t.notMatch(gone.out, 'Removed', 'a hosts.toml that is not looked at here goes on to name it');
  t.equal(await rig.read(FILE), CA);
  t.equal(await rig.read(HUB_HOSTS), own('ca = ["/own.pem"]'));
  t.match(await rig.setup(['containerd', '--undo', '--yes']), { status: 0, err: '' });
  t.equal(await rig.read(HUB_HOSTS), own('ca = "/own.pem"'), 'the very text');

  await rig.write(HUB_HOSTS, 'host = {"https://10.0.0.9:7000" = {}}\n');
  t.match(await rig.setup(withCa), { status: 1, err: /SETUP_FILE_FORM: .*\[host\."https:.*by hand: ca = "/ });
  await rig.write(HUB_HOSTS, `host = {"https://10.0.0.9:7000" = {ca = "${FILE}"}}\n`);
  t.match((await rig.setup(withCa)).status, 0, 'it is named there');
  t.match(await rig.setup(['containerd', ...mirror, '--no-mirror-ca']), {
    status: 1,
    err: /SETUP_CONFLICT: .*Take \/etc\/containerd\/hawker-ca\.crt out/,
  });
  t.equal(await rig.read(FILE), CA);
  // Somebody has put another in its place since.
  await rig.write(HUB_HOSTS, own('ca = "/own.pem"'));
  await rm(join(rig.root, other));
  await rig.setup(['containerd', ...mirror, '--no-mirror-ca']);
  await rig.write(FILE, 'theirs');
  t.match(await rig.setup(['containerd', '--undo', '--yes']), { status: 0, err: '' });
  t.equal(await rig.read(FILE), 'theirs');
  await rig.setup(['containerd', ...mirror, '--no-mirror-ca']);
  await rig.write(FILE, 'theirs again\n');
  t.match(await rig.setup(['containerd', '--undo', '--yes']), {
    status: 1,
    err: /SETUP_UNDO_CONFLICT: .*another file/,
  });
  t.equal(await rig.read(FILE), 'theirs again\n', 'the two are not mixed');
});

t.test('links lead where the system itself would go, and stay links', async (t) => {
  const rig = await setupRig(t);
  await rig.write('/data/docker/daemon.json', '{}\n');
  await mkdir(join(rig.root, 'etc'));
  await symlink('/data/docker', join(rig.root, 'etc/docker'));
  await rig.write('/data/k3s.yaml', 'configs: {}\n');
  await mkdir(join(rig.root, 'etc/rancher/k3s'), { recursive: true });
  await symlink('../../../data/k3s.yaml', join(rig.root, K3S));
  const before = await rig.tree();
  await rig.setup(['docker', '--yes']);
  await rig.setup(['k3s', '--yes', ...HUB]);
  t.match(await rig.read('/data/docker/daemon.json'), '65001', 'an absolute one within the root');
  t.match(await rig.read('/data/k3s.yaml'), '65001');
  t.ok((await lstat(join(rig.root, K3S))).isSymbolicLink());
  t.equal(await readlink(join(rig.root, 'etc/docker')), '/data/docker');
  await rig.setup(['docker', '--undo', '--yes']);
  await rig.setup(['k3s', '--undo', '--yes']);
  t.same(await rig.tree(), before);
  await rm(join(rig.root, 'data/docker/daemon.json'));
  await symlink('daemon.json', join(rig.root, 'data/docker/daemon.json'));
  t.match(await rig.setup(['docker', '--yes']), { status: 1, err: /SETUP_FILE_REFUSED: .*circle/ });
});

t.test('what is no file, or cannot be written', async (t) => {
  const rig = await setupRig(t);
  await mkdir(join(rig.root, DAEMON), { recursive: true });
  t.match(await rig.setup(['docker', '--yes']), {
    status: 1,
    err: /SETUP_FILE_REFUSED: .*cannot be read: it is no file/,
  });
  await rig.write('/etc/rancher', 'a file');
  const before = await rig.tree();
  t.match(await rig.setup(['k3s', '--yes', ...HUB]), { status: 1, err: /SETUP_FILE_REFUSED: .*cannot be written/ });
  t.same(await rig.tree(), before, 'and nothing is left of it');
});

t.test('a backup never takes the place of a file', async (t) => {
  const rig = await setupRig(t);
  await rig.write(DAEMON, '{}');
  await rig.write(`${DAEMON}.before-hawker`, 'older');
  await link(join(rig.root, DAEMON), join(rig.root, 'other-name'));
  const before = await rig.tree();
  t.match(await rig.setup(['docker', '--yes']), { out: /As it was: \/etc\/docker\/daemon\.json\.before-hawker-2\./ });
  t.equal(await rig.read('other-name'), '{}');
  await rig.setup(['docker', '--undo', '--yes']);
  t.same(await rig.tree(), before);
});

t.test('a user who is not root has a file of their own', async (t) => {
  const rig = await setupRig(t);
  const me = { account: { root: false, home: '/home/me' } };
  await rig.setup(['podman', '--yes', ...HUB], me);
  t.match(await rig.read('/home/me/.config/containers/registries.conf.d/50-hawker.conf'), '127.0.0.1:65001/docker.io');
  await rig.setup(['podman', '--undo', '--yes'], me);
  t.same(await rig.tree(), {});
});

/** Each runtime with a file of it, as anybody might have written it. */
function arbitraryFile(): fc.Arbitrary<{ name: RuntimeName; path: string; text: string }> {
  const host = fc.domain();
  const values = fc.oneof(fc.string(), fc.boolean(), fc.integer({ min: 0, max: 99 }));
  const mirrors = fc.array(
    host.map((name) => `https://${name}`),
    { maxLength: 3 },
  );
  const space = fc.constantFrom(0, 2, 4, '\t');
  const daemon = fc.record(
    { 'registry-mirrors': mirrors, 'log-opts': fc.dictionary(fc.string(), values), bip: fc.string() },
    { requiredKeys: [] },
  );
  const hosts = fc.record(
    {
      server: host,
      host: fc.dictionary(
        host.map((name) => `https://${name}`),
        fc.record({ ca: fc.string(), skip_verify: fc.boolean() }, { requiredKeys: [] }),
      ),
    },
    { requiredKeys: [] },
  );
  const conf = fc.record(
    {
      'short-name-mode': fc.string(),
      registry: fc.array(
        host.map((name) => ({ prefix: name, location: name })),
        { maxLength: 3 },
      ),
    },
    { requiredKeys: [] },
  );
  const entry = fc.record(
    { endpoint: mirrors, rewrite: fc.dictionary(fc.string(), fc.string()) },
    { requiredKeys: [] },
  );
  const k3s = fc.record(
    {
      mirrors: fc.dictionary(fc.oneof(host, fc.constant('docker.io')), entry),
      configs: fc.dictionary(host, fc.dictionary(fc.string(), fc.string())),
    },
    { requiredKeys: [] },
  );
  return fc.oneof(
    fc.tuple(daemon, space).map(([value, indent]) => ({
      name: 'docker' as const,
      path: DAEMON,
      text: JSON.stringify(value, undefined, indent),
    })),
    hosts.map((value) => ({ name: 'containerd' as const, path: HUB_HOSTS, text: toToml(value) })),
    conf
      .map(({ registry = [], ...value }) => (registry.length === 0 ? value : { ...value, registry }))
      .map((value) => ({ name: 'podman' as const, path: CONF, text: toToml(value) })),
    fc.tuple(k3s, fc.constantFrom(2, 4)).map(([value, indent]) => ({
      name: 'k3s' as const,
      path: K3S,
      text: toYaml(JSON.parse(JSON.stringify(value)), { indent }),
    })),
  );
}

t.test('whatever file there is: undoing gives it back, twice is once, a line that is added later stays', async (t) => {
  const parent = await temporaryDirectory(t);
  let count = 0;
  const comments: Partial<Record<RuntimeName, string>> = {
    containerd: '# later\n',
    podman: '# later\n',
    k3s: '# later\n',
  };
  const must = async (rig: SetupRig, ...argv: string[]) => {
    const { status, err } = await rig.setup(argv);
    if (status !== 0) throw new Error(err);
  };
  await fc.assert(
    fc.asyncProperty(arbitraryFile(), async ({ name, path, text }) => {
      const rig = rigAt(join(parent, String((count += 1))));
      await rig.write(path, text);
      const before = await rig.tree();
      await must(rig, name, '--yes', ...HUB);
      const once = await rig.tree();
      await must(rig, name, '--yes', ...HUB);
      deepStrictEqual(await rig.tree(), once);
      await must(rig, name, '--undo', '--yes');
      deepStrictEqual(await rig.tree(), before);
      const comment = comments[name];
      if (comment === undefined) return;
      await must(rig, name, '--yes', ...HUB);
      await rig.write(path, `${comment}${await rig.read(path)}`);
      const { status } = await rig.setup([name, '--undo', '--yes']);
      const now = await rig.read(path);
      // Refused, or only our part is gone: the later line is there in any case.
      deepStrictEqual(status === 0 ? now : now.slice(0, comment.length), status === 0 ? `${comment}${text}` : comment);
    }),
    { numRuns: 40 },
  );
});
