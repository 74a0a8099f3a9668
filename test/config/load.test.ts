import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CodedError, describeError } from '../../src/base/errors.ts';
import { GiB } from '../../src/base/units.ts';
import { isConfigError } from '../../src/config/errors.ts';
import { loadConfig, type ConfigSources, type LoadedConfig } from '../../src/config/load.ts';
import { ROOT, SETTINGS, type SchemaNode } from '../../src/config/settings.ts';
import { parseYaml } from '../../src/config/yaml.ts';

const NOTHING: ConfigSources = {
  file: undefined,
  flags: {},
  environment: {},
  account: { root: false, home: '/home/me' },
  directory: '/nowhere',
};
// From test/config or .build*/test/config.
const SHIPPED = ['../../config/hawker.yaml', '../../../config/hawker.yaml']
  .map((path) => new URL(path, import.meta.url))
  .map((url) => {
    try {
      return readFileSync(url, 'utf8');
    } catch {
      return '';
    }
  })
  .find((text) => text !== '')!;

function load(sources: Partial<ConfigSources> = {}): Promise<LoadedConfig> {
  return loadConfig({ ...NOTHING, ...sources });
}

/** The one line that a person sees. */
async function refusal(sources: Partial<ConfigSources>): Promise<string> {
  try {
    await load(sources);
  } catch (error) {
    if (!(error instanceof CodedError) || !isConfigError(error)) throw error;
    const line = `${error.code}: ${describeError(error)}. ${error.todo}`;
    if (line.includes('\n')) throw new Error(`more than one line: ${line}`);
    return line;
  }
  return 'it was taken';
}

function secretIn(t: Test): string {
  const path = join(t.testdir({}), 'secret');
  writeFileSync(path, 'x'.repeat(32), { mode: 0o600 });
  return path;
}

function sourcesOf(t: Test, yaml: string, more: Record<string, string> = {}): Partial<ConfigSources> {
  const directory = t.testdir({ 'h.yaml': yaml, ...more });
  return { file: 'h.yaml', directory };
}

t.test('with nothing said, the defaults of the design', async (t) => {
  const { config, warnings } = await load();
  t.same(config.proxy, {
    listen: { host: '127.0.0.1', port: 65_001 },
    listeners: [],
    defaultUpstream: 'docker.io',
    staleTagsMs: 86_400_000,
    names: [],
    tls: { cert: undefined, key: undefined, clientCa: undefined },
    usersFile: undefined,
    login: false,
    rules: [],
  });
  t.same(config.peer, {
    listen: { host: '127.0.0.1', port: 65_002 },
    advertise: [],
    zone: undefined,
    uploadBytesPerSecond: undefined,
    downloadBytesPerSecond: undefined,
    uploadSlots: 4,
  });
  t.same(config.api, { listen: { host: '127.0.0.1', port: 65_003 } });
  t.same(config.supernode, { listen: { host: '127.0.0.1', port: 6789 }, heartbeatMs: 5000 });
  t.same(config.supernodes, ['http://127.0.0.1:6789']);
  const elsewhere = await load({ flags: { 'supernode-listen': '127.0.0.1:7000' } });
  t.same(
    elsewhere.config.supernodes,
    ['http://127.0.0.1:7000'],
    'the one on this machine is meant where none is named',
  );
  t.same(config.cluster, { secretFile: undefined, operatorTokenFile: undefined });
  t.same(config.store, { dir: '/home/me/.local/share/hawker', quotaBytes: 20 * GiB, containerd: undefined });
  t.same(config.audit, { file: undefined });
  t.same(config.log, { level: 'info', format: 'auto' });
  t.same(config.upstreams['docker.io'], { url: 'https://registry-1.docker.io', insecure: false, allow: [] });
  t.same(config.upstreams['ghcr.io'], { insecure: false, allow: [] });
  t.ok(config.upstreams['*.dkr.ecr.*.amazonaws.com']);
  t.same(warnings, []);
  t.throws(() => ((config.store as { dir: string }).dir = '/x'), TypeError, 'frozen');
  t.throws(() => (config.upstreams['ghcr.io']!.allow as string[]).push('x'), TypeError, 'to the bottom');
});

t.test('the data directory is one of the account', async (t) => {
  const dir = async (sources: Partial<ConfigSources>) => (await load(sources)).config.store.dir;
  t.equal(
    await dir({ account: { root: true, home: '/root' }, environment: { XDG_DATA_HOME: '/x' } }),
    '/var/lib/hawker',
  );
  t.equal(await dir({ environment: { XDG_DATA_HOME: '/data' } }), '/data/hawker');
  t.equal(await dir({ environment: { XDG_DATA_HOME: 'relative' } }), '/home/me/.local/share/hawker');
  t.equal(await dir({ environment: { XDG_DATA_HOME: '' } }), '/home/me/.local/share/hawker');
  t.equal(await dir({ flags: { 'store-dir': 'here' }, directory: '/work' }), '/work/here');
});

t.test('flag > variable > file > default', async (t) => {
  const sources = sourcesOf(
    t,
    'store: {quota: 1GiB}\nlog: {level: warn}\nproxy: {listen: "localhost:1", staleTags: 1h}',
  );
  const environment = { HAWKER_STORE_QUOTA: '2GiB', HAWKER_LOG_LEVEL: 'error', HAWKER_PROXY_STALE_TAGS: '' };
  const { config } = await load({ ...sources, environment, flags: { 'store-quota': '3GiB' } });
  t.equal(config.store.quotaBytes, 3 * GiB);
  t.equal(config.log.level, 'error');
  t.equal(config.proxy.staleTagsMs, 3_600_000, 'an empty variable counts as not set');
  t.same(config.proxy.listen, { host: 'localhost', port: 1 });
  t.equal(config.log.format, 'auto');
});

t.test('every setting can be made by its variable and its flag', async (t) => {
  const SECRET = secretIn(t);
  const samples: Record<string, string> = {
    'proxy.listen': '[::1]:1',
    'proxy.listeners': '[{listen: "localhost:2", upstream: ghcr.io}]',
    'proxy.defaultUpstream': 'quay.io',
    'proxy.staleTags': '5m',
    'proxy.names': 'mirror.example,node-7',
    'proxy.tls.cert': SECRET,
    'proxy.tls.key': SECRET,
    'proxy.tls.clientCa': SECRET,
    'proxy.usersFile': SECRET,
    'proxy.login': 'true',
    'proxy.rules': '[{users: [alice], repositories: ["quay.io/**"]}]',
    'peer.listen': 'localhost:4',
    'peer.advertise': '10.0.0.5:65002,[fd00::5]:65002',
    'peer.zone': 'rack-1',
    'peer.uploadLimit': '100MB',
    'peer.downloadLimit': '200MB',
    'peer.uploadSlots': '8',
    'api.listen': 'localhost:3',
    'supernode.listen': 'localhost:5',
    'supernode.heartbeat': '1s',
    supernodes: 'https://a:6789,https://b',
    'cluster.secretFile': SECRET,
    'cluster.operatorTokenFile': SECRET,
    'cluster.tls.cert': '/tls.crt',
    'cluster.tls.key': '/tls.key',
    'cluster.tls.ca': '/ca.crt',
    'store.dir': '/d',
    'store.quota': '1TB',
    'store.containerd': '/var/lib/containerd',
    upstreams: '{"r.example:5000": {"url": "http://10.0.0.1:5000", "allow": ["10.0.0.0/8"], "insecure": true}}',
    'audit.file': '/var/log/hawker/audit',
    'files.allow': 'https://a.example/**,http://10.0.0.1:8080/x/*',
    'files.ca': SECRET,
    'log.level': 'trace',
    'log.format': 'json',
  };
  t.same(
    Object.keys(samples),
    SETTINGS.map((s) => s.key),
  );
  const environment = Object.fromEntries(SETTINGS.map((s) => [s.variable, samples[s.key]!]));
  const { config } = await load({ environment });
  t.same(config.proxy, {
    listen: { host: '::1', port: 1 },
    listeners: [{ listen: { host: 'localhost', port: 2 }, upstream: 'ghcr.io', login: false, tls: true }],
    defaultUpstream: 'quay.io',
    staleTagsMs: 300_000,
    names: ['mirror.example', 'node-7'],
    tls: { cert: SECRET, key: SECRET, clientCa: SECRET },
    usersFile: SECRET,
    login: true,
    rules: [{ users: ['alice'], repositories: ['quay.io/**'] }],
  });
  t.same(config.peer, {
    listen: { host: 'localhost', port: 4 },
    advertise: ['10.0.0.5:65002', '[fd00::5]:65002'],
    zone: 'rack-1',
    uploadBytesPerSecond: 1e8,
    downloadBytesPerSecond: 2e8,
    uploadSlots: 8,
  });
  t.same(config.supernode, { listen: { host: 'localhost', port: 5 }, heartbeatMs: 1000 });
  t.same([config.supernodes, config.cluster.secretFile], [['https://a:6789', 'https://b'], SECRET]);
  t.same(config.cluster.tls, { cert: '/tls.crt', key: '/tls.key', ca: '/ca.crt' });
  t.same(config.store, { dir: '/d', quotaBytes: 1e12, containerd: '/var/lib/containerd' });
  t.same(config.upstreams['r.example:5000'], { url: 'http://10.0.0.1:5000', allow: ['10.0.0.0/8'], insecure: true });
  t.same(config.files, { allow: ['https://a.example/**', 'http://10.0.0.1:8080/x/*'], ca: SECRET });
  const flags = Object.fromEntries(SETTINGS.filter((s) => s.flag).map((s) => [s.flag!, samples[s.key]!]));
  const byFlag = (await load({ flags })).config;
  const withoutFlag = { listeners: [], login: false, rules: [] };
  t.same({ ...byFlag.proxy, ...withoutFlag }, { ...config.proxy, ...withoutFlag });
  for (const section of ['peer', 'api', 'supernode', 'supernodes', 'cluster', 'store', 'log'] as const)
    t.same(byFlag[section], config[section]);
  t.same(byFlag.files, { ...config.files, ca: undefined });
});

t.test('upstreams: what is written adds to the built-in list, false takes off', async (t) => {
  const upstreams = async (yaml: string) => (await load(sourcesOf(t, yaml))).config.upstreams;
  const all = await upstreams('upstreams: {docker.io: {egressProxy: "http://p:3128"}, my.example: {}}');
  t.equal(all['docker.io']?.url, 'https://registry-1.docker.io', 'one setting leaves the others');
  t.equal(all['docker.io']?.egressProxy, 'http://p:3128');
  t.ok(all['my.example'] && all['ghcr.io']);
  t.notOk('ghcr.io' in (await upstreams('upstreams: {ghcr.io: false}')));
  const only = 'upstreams: {mine.example: {}, "*": false}\nproxy: {defaultUpstream: mine.example}';
  t.same(Object.keys(await upstreams(only)), ['mine.example']);
  const both = await load({
    ...sourcesOf(t, 'upstreams: {mine.example: {}}'),
    environment: { HAWKER_UPSTREAMS: '{"mine.example": false}' },
  });
  t.notOk('mine.example' in both.config.upstreams, 'a later layer takes off what an earlier one added');
});

t.test('paths in a file start at its directory', async (t) => {
  const directory = t.testdir({ etc: { 'h.yaml': 'store: {dir: d}\nupstreams: {a.b: {ca: ca.pem}}', 'ca.pem': '' } });
  const { config } = await load({ file: 'etc/h.yaml', directory });
  t.equal(config.store.dir, join(directory, 'etc/d'));
  t.equal(config.upstreams['a.b']?.ca, join(directory, 'etc/ca.pem'));
});

t.test('what is wrong is one line: the key, its place, what is allowed', async (t) => {
  const lines: [yaml: string, line: RegExp][] = [
    [
      'pxory: {}',
      /^CONFIG_UNKNOWN_KEY: pxory is not a setting \(h\.yaml:1:1\)\. did you mean proxy\? allowed here: proxy, peer, api, /,
    ],
    ['proxy:\n  listn: x', /^CONFIG_UNKNOWN_KEY: proxy\.listn is .* \(h\.yaml:2:3\)\. did you mean proxy\.listen\? /],
    ['quota: 1GiB', /quota is not a setting .*did you mean store\.quota\?/],
    ['zzz: 1', /zzz is not a setting \(h\.yaml:1:1\)\. allowed here/],
    ['__proto__: {}', /CONFIG_UNKNOWN_KEY: __proto__/],
    ['upstreams: {a.b: {urll: x}}', /upstreams\.a\.b\.urll is .*did you mean upstreams\.a\.b\.url\?/],
    [
      'store: {quota: 20 gigs}',
      /^CONFIG_INVALID: store\.quota is "20 gigs", which is not a size \(h\.yaml:1:16\)\. allowed: .*GiB/,
    ],
    ['store: {quota: 20}', /store\.quota is "20", which is not a size/],
    ['proxy: {staleTags: 1 day}', /proxy\.staleTags is "1 day", which is not a time .*\. allowed: .*24h/],
    ['proxy: {listen: 65001}', /proxy\.listen is "65001", which is not an address/],
    ['proxy: {listen: true}', /proxy\.listen is true, which/],
    ['proxy: {listen: }', /proxy\.listen is empty, which .*\(h\.yaml:1:17\)/],
    ['proxy: {listen: [a]}', /proxy\.listen is a list, which/],
    [`proxy: {listen: ${'x'.repeat(200)}}`, /proxy\.listen is "x{59}…, which/],
    ['proxy: {listeners: {}}', /proxy\.listeners is a map, which is not a list of listeners/],
    [
      'proxy: {listeners: [{upstream: "a"}]}',
      /proxy\.listeners\[0\]\.listen is missing \(h\.yaml:1:21\)\. allowed: host:port/,
    ],
    [
      'proxy: {listeners: [{listen: "a:1", upstream: "*.a"}]}',
      /proxy\.listeners\[0\]\.upstream is "\*\.a", which is not a registry/,
    ],
    ['proxy: {tls: {cert: h.yaml}}', /proxy\.tls\.cert is set without proxy\.tls\.key \(h\.yaml/],
    ['proxy: {tls: {clientCa: h.yaml}}', /proxy\.tls\.clientCa is set without proxy\.tls\.cert/],
    ['proxy: {tls: {crt: h.yaml}}', /proxy\.tls\.crt is not a setting .*did you mean proxy\.tls\.cert\?/],
    ['proxy: {login: true}', /proxy\.login is true, and proxy\.usersFile, .* is not set \(h\.yaml:1:16\)/],
    [
      'proxy: {listeners: [{listen: "a:1", login: true}]}',
      /proxy\.listeners\[0\]\.login is true, and proxy\.usersFile/,
    ],
    [
      'proxy: {rules: [{users: [loopback, alice], repositories: ["**"]}]}',
      /proxy\.rules\[0\]\.users\[1\] is alice, and nobody can log in/,
    ],
    [
      'proxy: {rules: [{users: [loopback], repositories: [nginx]}]}',
      /proxy\.rules\[0\]\.repositories\[0\] is "nginx", which is not a pattern of repositories .*docker\.io\/library\/nginx/,
    ],
    ['proxy: {rules: [{users: [loopback]}]}', /proxy\.rules\[0\]\.repositories is missing/],
    ['proxy: {usersFile: nope}', /^CONFIG_REFUSED: proxy\.usersFile is \S+nope, which cannot be read \(ENOENT\)/],
    ['proxy: []', /proxy is a list, which is not a section .*\. allowed: a map with listen, listeners/],
    ['- a', /^CONFIG_INVALID: the configuration is a list/],
    ['just text', /^CONFIG_INVALID: the configuration is a text, which is not/],
    ['log: {level: loud}', /log\.level is "loud", .* allowed: trace, debug, info, warn, error, fatal, silent/],
    ['log: {format: xml}', /log\.format is "xml", .* allowed: auto, json, pretty/],
    ['upstreams: {GHCR.io: {}}', /upstreams\.GHCR\.io is not a registry host or a pattern \(h\.yaml:1:13\)/],
    ['upstreams: {index.docker.io: {}}', /docker\.io for Docker Hub/],
    ['upstreams: {ghcr.io: }', /upstreams\.ghcr\.io is empty, .*\{\} for none/],
    [
      'upstreams: {nope.example: false}',
      /upstreams\.nope\.example is false, but no such entry is on the list .*ghcr\.io/,
    ],
    ['upstreams: {a.b: {insecure: "yes"}}', /insecure is "yes", which is not true or false/],
    ['upstreams: {a.b: {allow: [x, 10.0.0.0/64]}}', /upstreams\.a\.b\.allow\[1\] is "10\.0\.0\.0\/64"/],
    ['upstreams: {a.b: {username: ""}}', /username is "", .* allowed: a text that is not empty/],
    ['upstreams: {a.b: {username: me}}', /upstreams\.a\.b\.username is set without passwordFile \(h\.yaml:1:29\)/],
    ['upstreams: {a.b: {passwordFile: h.yaml}}', /passwordFile is set without username/],
    [
      'upstreams: {a.b: {dockerConfig: h.yaml, credentialHelper: x}}',
      /credentialHelper is set, and so is dockerConfig/,
    ],
    ['upstreams: {a.b: {ca: nope.pem}}', /upstreams\.a\.b\.ca is \S+\/nope\.pem, which cannot be read \(ENOENT\)/],
    ['upstreams: {a.b: {ca: .}}', /cannot be read \(EISDIR\)/],
    ['upstreams: {"*.b": {url: "http://a"}}', /upstreams\.\*\.b\.url is set for a pattern/],
    ['upstreams: {"*.b": {allow: [a]}}', /upstreams\.\*\.b\.allow is set for a pattern/],
    [
      'api: {listen: 0.0.0.0:65003}',
      /^CONFIG_REFUSED: api\.listen is 0\.0\.0\.0:65003, which other machines can reach.*loopback/,
    ],
    [
      'proxy: {listen: 127.0.0.1:65003}',
      /^CONFIG_INVALID: api\.listen is 127\.0\.0\.1:65003, and so is proxy\.listen at h\.yaml:1:17/,
    ],
    [
      'proxy: {defaultUpstream: nope.example}',
      /^CONFIG_INVALID: proxy\.defaultUpstream is nope\.example, which is not among .*docker\.io, ghcr/,
    ],
    [
      'upstreams: {ghcr.io: false}\nproxy: {listeners: [{listen: "a:1", upstream: ghcr.io}]}',
      /proxy\.listeners\[0\]\.upstream is ghcr\.io, which/,
    ],
    ['upstreams: {"*": false}', /proxy\.defaultUpstream is docker\.io, .*\(the default\)\. allowed: none/],
    [
      'supernode: {listen: 0.0.0.0:6789}',
      /^CONFIG_REFUSED: supernode\.listen is 0\.0\.0\.0:6789, which other machines can reach, and neither cluster\.secretFile nor cluster\.tls is set .*hawker token/,
    ],
    ['peer: {listen: 10.0.0.5:65002}', /^CONFIG_REFUSED: peer\.listen is 10\.0\.0\.5:65002, .*hawker token/],
    [
      'cluster: {tls: {cert: a.pem, ca: b.pem}}',
      /^CONFIG_INVALID: cluster\.tls\.key is not set, and cluster\.tls\.cert and cluster\.tls\.ca is .*cert, key and ca, or none/,
    ],
    [
      'cluster: {tls: {cert: a, key: b, ca: c}}\nsupernodes: ["https://a:1", "http://sn:6789"]',
      /^CONFIG_INVALID: supernodes\[1\] is http:\/\/sn:6789, and cluster\.tls is set.*\(h\.yaml:2:\d+\)\. allowed: https:\/\/sn:6789/,
    ],
    ['cluster: {tls: {crt: a}}', /^CONFIG_UNKNOWN_KEY: cluster\.tls\.crt .*did you mean cluster\.tls\.cert/],
    ['peer: {advertise: [10.0.0.5]}', /peer\.advertise\[0\] is "10\.0\.0\.5", which is not an address that others can/],
    ['peer: {advertise: [10.0.0.5:0]}', /peer\.advertise\[0\] is .*with a real port/],
    ['peer: {advertise: [0.0.0.0:1]}', /peer\.advertise\[0\] is/],
    ['peer: {advertise: 10.0.0.5:1}', /peer\.advertise is "10\.0\.0\.5:1", which is not a list/],
    [`peer: {advertise: [${'a:1,'.repeat(9)}]}`, /^CONFIG_INVALID: peer\.advertise is a list/],
    ['peer: {uploadSlots: 0}', /peer\.uploadSlots is "0", .*from 1 to 1000/],
    ['peer: {uploadLimit: 100}', /peer\.uploadLimit is "100", which is not a rate/],
    [`peer: {zone: ${'z'.repeat(65)}}`, /peer\.zone is .*at most 64/],
    ['supernode: {heartbeat: 2h}', /supernode\.heartbeat is "2h", .*from 100ms to 60m/],
    ['supernodes: [http://a/path]', /supernodes\[0\] is a text, which is not the URL of a supernode .*without a path/],
    ['supernodes: [a:6789]', /supernodes\[0\] is/],
    ['supernode: {listen: 127.0.0.1:65002}', /supernode\.listen is .*, and so is peer\.listen at the default/],
    [
      'cluster: {secretFile: nope}',
      /^CONFIG_REFUSED: cluster\.secretFile is \S+\/nope, .*ENOENT.*hawker token --secret-file/,
    ],
    [
      'cluster: {operatorTokenFile: nope}',
      /^CONFIG_REFUSED: cluster\.operatorTokenFile is \S+\/nope, .*ENOENT.*hawker token --operator --secret-file/,
    ],
    ['a: [', /^CONFIG_SYNTAX: h\.yaml:1:5: /],
    ['log: {}\nlog: {}', /^CONFIG_SYNTAX: h\.yaml:2:1: log is there twice/],
  ];
  for (const [yaml, line] of lines) t.match(await refusal(sourcesOf(t, yaml)), line, yaml.slice(0, 60));
});

t.test('a mistake in a variable or flag names it', async (t) => {
  t.match(await refusal({ flags: { 'store-quota': 'x' } }), /store\.quota is "x", .* \(--store-quota\)/);
  const open = { HAWKER_API_LISTEN: '127.0.0.1:1' };
  t.match(
    await refusal({ environment: open, flags: { 'api-listen': '0.0.0.0:1' } }),
    /api\.listen is 0\.0\.0\.0:1, .*\(--api-listen\)/,
    'the place that counts',
  );
  t.match(await refusal({ environment: { HAWKER_STORE_QUOTA: 'x' } }), /store\.quota .* \(HAWKER_STORE_QUOTA\)/);
  t.match(
    await refusal({ environment: { HAWKER_PROXY_LISTENERS: '[{}]' } }),
    /listeners\[0\]\.listen is missing \(HAWKER_PROXY_LISTENERS:1:2\)/,
  );
  t.match(await refusal({ environment: { HAWKER_UPSTREAMS: '{a.b: {x: 1}}' } }), /\(HAWKER_UPSTREAMS:1:8\)/);
  t.match(await refusal({ environment: { HAWKER_UPSTREAMS: '[' } }), /^CONFIG_SYNTAX: HAWKER_UPSTREAMS:1:/);
  t.match(await refusal({ environment: { HAWKER_UPSTREAMS: 'no' } }), /upstreams is a text, which is not a map/);
  t.match(
    await refusal({ environment: { HAWKER_STORE_QOUTA: '1GiB' } }),
    /^CONFIG_UNKNOWN_KEY: HAWKER_STORE_QOUTA is .*did you mean HAWKER_STORE_QUOTA\?/,
  );
  t.match(
    await refusal({ environment: { HAWKER_X: '1' } }),
    /HAWKER_X is not a setting \(environment\)\. allowed: HAWKER_PROXY_LISTEN,/,
  );
});

t.test("Kubernetes' own variables for a Service called hawker are not taken for settings", async (t) => {
  await load({
    environment: {
      HAWKER_PORT: 'tcp://10.0.0.1:65001',
      HAWKER_SERVICE_HOST: '10.0.0.1',
      HAWKER_SERVICE_PORT_HTTP: '65001',
      HAWKER_PORT_65001_TCP_ADDR: '10.0.0.1',
      HAWKER_SUPERNODE_PORT_6789_TCP: 'tcp://10.0.0.1:6789',
      HAWKER_SUPERNODE_SERVICE_PORT: '6789',
    },
  });
  t.match(await refusal({ environment: { HAWKER_API_PORT_X: '1' } }), /HAWKER_API_PORT_X is not a setting/);
});

t.test('no credential gets into a message', async (t) => {
  const yaml = 'upstreams: {a.b: {egressProxy: "http://me:hunter2@proxy/path"}}';
  t.notMatch(await refusal(sourcesOf(t, yaml)), /hunter2/);
  t.notMatch(await refusal(sourcesOf(t, 'upstreams: {a.b: {url: "http://me:hunter2@host"}}')), /hunter2/);
});

t.test('a secret file must be for its owner alone; commands that use no file do not look at any', async (t) => {
  const secret = secretIn(t);
  const open = { 'supernode-listen': '0.0.0.0:6789', 'peer-listen': '10.0.0.5:1', 'cluster-secret-file': secret };
  t.equal((await load({ flags: open })).config.cluster.secretFile, secret, 'with it, ports may be open');
  for (const all of ['[::]:1', '0.0.0.0:1']) {
    const { config } = await load({ flags: { ...open, 'peer-listen': all } });
    t.same(config.peer.advertise, [], 'all nodes may have the same settings: the node finds its address itself');
    t.equal(await refusal({ flags: { ...open, 'peer-listen': all, 'peer-advertise': 'node-1:1' } }), 'it was taken');
    t.match(
      await refusal({ flags: { 'peer-listen': all } }),
      /^CONFIG_REFUSED: peer\.listen is \S+, which other machines can reach/,
    );
  }
  chmodSync(secret, 0o640);
  t.match(
    await refusal({ flags: open }),
    /^CONFIG_REFUSED: cluster\.secretFile is \S+, which others .*mode 0640.*--cluster-secret-file\)\. chmod 0600 \//,
  );
  const yaml = 'cluster: {secretFile: nope}\nupstreams: {a.b: {ca: nope.pem}}';
  t.ok(await load({ ...sourcesOf(t, yaml), withoutFiles: true }));
});

t.test('a list of texts: with commas, or as YAML or JSON; empty', async (t) => {
  const supernodes = async (text: string) => (await load({ flags: { supernodes: text } })).config.supernodes;
  t.same(await supernodes('http://a:1'), ['http://a:1']);
  t.same(await supernodes(' http://a:1 , http://b:1'), ['http://a:1', 'http://b:1']);
  t.same(await supernodes('["http://a:1", http://b]'), ['http://a:1', 'http://b']);
  t.same(await supernodes(''), []);
  t.same(await supernodes('[]'), []);
  const { config } = await load({ environment: { HAWKER_PEER_ADVERTISE: '[::1]:1,[::2]:2' } });
  t.same(config.peer.advertise, ['[::1]:1', '[::2]:2'], 'brackets of an address are not those of a list');
  t.match(await refusal({ flags: { supernodes: 'http://a,' } }), /supernodes\[1\] is .*\(--supernodes\)/);
  t.notMatch(await refusal({ flags: { supernodes: 'http://me:hunter2@a' } }), /hunter2/);
  for (const none of ['', '0B']) {
    t.equal((await load({ flags: { 'peer-upload-limit': none } })).config.peer.uploadBytesPerSecond, undefined);
  }
});

t.test('a file that cannot be used', async (t) => {
  const directory = t.testdir({ big: 'a'.repeat(256 * 1024 + 1), latin1: Buffer.from([0x61, 0xe9, 0x3a]), dir: {} });
  t.match(
    await refusal({ file: 'nope', directory }),
    /^CONFIG_UNREADABLE: the configuration nope cannot be read: there is no such file\./,
  );
  t.match(await refusal({ file: 'dir', directory }), /it is a directory/);
  t.match(await refusal({ file: 'big', directory }), /it is larger than 262144 bytes/);
  t.match(await refusal({ file: 'big/x', directory }), /ENOTDIR/);
  writeFileSync(join(directory, 'latin1'), Buffer.from([0x61, 0xe9, 0x3a]));
  t.match(await refusal({ file: 'latin1', directory }), /^CONFIG_SYNTAX: latin1: it is not UTF-8 text/);
});

t.test('a password file that others can read is a warning', async (t) => {
  const sources = sourcesOf(t, 'upstreams: {a.b: {username: me, passwordFile: pw}}', { pw: 'hunter2\n' });
  const file = join(sources.directory!, 'pw');
  chmodSync(file, 0o640);
  const { warnings } = await load(sources);
  t.match(warnings, [{ code: 'PASSWORD_FILE_OPEN', key: 'upstreams.a.b.passwordFile', message: /mode 0640/ }]);
  chmodSync(file, 0o600);
  t.same((await load(sources)).warnings, []);
});

t.test('ports that the system chooses never collide', async (t) => {
  const flags = { 'proxy-listen': '127.0.0.1:0', 'api-listen': '127.0.0.1:0' };
  t.equal((await load({ flags })).config.api.listen.port, 0);
});

t.test('config/hawker.yaml says the defaults, and names every setting', async (t) => {
  t.same((await load(sourcesOf(t, SHIPPED))).config, (await load()).config);
  const written = parseYaml(SHIPPED, 'hawker.yaml').value;
  for (const { path, key } of SETTINGS) {
    const found = path.reduce<unknown>((here, step) => (here as Record<string, unknown> | undefined)?.[step], written);
    t.not(found, undefined, `${key} is there, not only in an example`);
  }
});

t.test('the examples of config/hawker.yaml load, and show every key of a registry and a listener', async (t) => {
  const yaml = SHIPPED.replaceAll(/^( *)#(?! \S|$)/gm, '$1').replaceAll(
    /^ *(?:listeners|advertise|names|rules|allow): \[\]\n/gm,
    '',
  );
  const { value } = parseYaml(yaml, 'hawker.yaml') as { value: { upstreams: Record<string, object> } };
  const shown = new Set(Object.values(value.upstreams).flatMap((upstream) => Object.keys(upstream)));
  const upstreamNode = ROOT.properties!['upstreams']!.additionalProperties as SchemaNode;
  t.same([...shown].sort(), Object.keys(upstreamNode.properties!).sort());
  const here = t.testdir({ x: '' });
  const files = yaml
    .replaceAll(/\b(passwordFile|dockerConfig|ca): [^'\s]+/g, `$1: ${here}/x`)
    .replace(/\busersFile: \S+/, `usersFile: ${here}/x`);
  const { config } = await load(sourcesOf(t, files, { x: '' }));
  t.same(config.peer.advertise, ['10.0.0.5:65002']);
  t.match(config.proxy.listeners, [{ listen: { port: 65_011 }, upstream: 'ghcr.io' }, { login: true }]);
  t.same(config.proxy.rules[0]?.users, ['alice', 'ci-*']);
  t.equal(config.upstreams['*.dkr.ecr.*.amazonaws.com']?.credentialHelper, 'ecr-login');
  t.notOk('registry.gitlab.com' in config.upstreams);
  t.equal(config.files.allow.length, 3);
});

t.test('TLS within the cluster: paths, ports beyond loopback, the URL of the own supernode', async (t) => {
  const directory = t.testdir({ etc: { 'h.yaml': 'cluster: {tls: {cert: a.crt, key: a.key, ca: /ca.crt}}' } });
  const flags = { 'supernode-listen': '0.0.0.0:6789', 'peer-listen': '10.0.0.5:65002' };
  const { config } = await load({ file: 'etc/h.yaml', directory, flags });
  const at = (name: string) => join(directory, 'etc', name);
  t.same(config.cluster.tls, { cert: at('a.crt'), key: at('a.key'), ca: '/ca.crt' });
  t.same(config.supernodes, ['https://127.0.0.1:6789']);
  t.equal((await load()).config.cluster.tls, undefined);
});
