/** The Helm chart, rendered by the engine that Helm has: what it gives is what config/kubernetes has, and its values do what they say. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { parseManifests, plainManifests, ROOT, schemaErrors, titleOf, type Manifest } from '../support/manifests.ts';
import { must } from './support/programs.ts';
import { e2e, missing, type Rig } from './support/rig.ts';

const CHART = join(ROOT, 'config/helm/hawker');
const RENDERER = join(ROOT, 'test/e2e/support/helm/render.go');
/** Helm itself is in no package of Debian: what renders in its place is compared with it where somebody has installed it. */
const KUBE_VERSION = '1.30';
/** Where Debian's packages keep the sources of Go libraries. */
const GO_SOURCES = '/usr/share/gocode';
const RELEASE = { Name: 'hawker', Namespace: 'hawker', Service: 'Helm' };
const BUILD_BOUND_MS = 300_000;

type Values = Readonly<Record<string, unknown>>;

/** Where a Secret with the certificates of cluster.tls is. */
const TLS = '/etc/hawker/tls';
const CERTIFICATES = {
  extraVolumes: [{ name: 'tls', secret: { secretName: 'hawker-tls', defaultMode: 0o440 } }],
  extraVolumeMounts: [{ name: 'tls', mountPath: TLS, readOnly: true }],
};
/** Each other than the chart's own. */
const OTHER_VALUES: Values = {
  image: { repository: 'registry.test:5000/team/hawker', tag: 'v7' },
  imagePullSecrets: [{ name: 'login' }],
  secret: { existing: 'mine' },
  config: {
    log: { level: 'debug' },
    store: { quota: '1GiB' },
    cluster: { tls: { cert: `${TLS}/tls.crt`, key: `${TLS}/tls.key`, ca: `${TLS}/ca.crt` } },
  },
  store: { hostPath: '/data/hawker' },
  containerd: { setup: false },
  proxy: {
    nodeSelector: { pool: 'gpu' },
    tolerations: [],
    priorityClassName: '',
    maxUnavailable: 3,
    ...CERTIFICATES,
  },
  supernode: { replicas: 3, tolerations: [{ operator: 'Exists' }], ...CERTIFICATES },
  podDisruptionBudget: { enabled: false },
  networkPolicy: { nodeNetworks: ['10.0.0.0/16', 'fd00::/64'] },
};

const yamlOf = (name: string) => parse(readFileSync(join(CHART, name), 'utf8')) as Record<string, unknown>;
const ajv = new Ajv({ allowUnionTypes: true });
const isValid = ajv.compile(JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8')) as object);

/** As Helm does: a map goes into a map, anything else takes the other's place. */
function merged(base: unknown, over: unknown): unknown {
  const isMap = (value: unknown): value is Values =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isMap(base) || !isMap(over)) return over;
  const keys = [...new Set([...Object.keys(base), ...Object.keys(over)])];
  return Object.fromEntries(keys.map((key) => [key, key in over ? merged(base[key], over[key]) : base[key]]));
}

async function renderer(rig: Rig): Promise<(values?: Values) => Manifest[]> {
  const binary = join(rig.dir, 'render');
  const env = rig.environment({ GO111MODULE: 'off', GOPATH: GO_SOURCES, GOFLAGS: '', GOTOOLCHAIN: 'local' });
  await must('go', ['build', '-o', binary, RENDERER], { env, boundMs: BUILD_BOUND_MS });
  const chart = yamlOf('Chart.yaml');
  const about = { Name: chart['name'], Version: chart['version'], AppVersion: chart['appVersion'] };
  return (values = {}) => {
    const all = merged(yamlOf('values.yaml'), values);
    if (!isValid(all)) throw new Error(ajv.errorsText(isValid.errors));
    const input = JSON.stringify({ Values: all, Release: RELEASE, Chart: about });
    const { status, stdout, stderr } = spawnSync(binary, [CHART], { input, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    if (stdout.includes('<no value>')) throw new Error(`a value that nobody gave:\n${stdout}`);
    return parseManifests(stdout);
  };
}

/** Without what says that Helm made it. */
function plain(manifest: Manifest): unknown {
  const own = /^(?:helm\.sh\/chart|app\.kubernetes\.io\/(?:instance|version|managed-by))$/;
  return JSON.parse(
    JSON.stringify(manifest, (key, value: unknown) =>
      own.test(key) || (key === 'annotations' && 'checksum/config' in (value as object)) ? undefined : value,
    ),
  );
}

const byTitle = (manifests: readonly Manifest[]) => new Map(manifests.map((each) => [titleOf(each), each]));

function pod(manifests: readonly Manifest[], title: string) {
  const { spec } = byTitle(manifests).get(title) as unknown as {
    spec: { template: { spec: Record<string, { name: string }[]>; metadata: { annotations: Values } } };
  };
  return spec.template;
}

const namesIn = (list: readonly { name: string }[] | undefined) => (list ?? []).map(({ name }) => name);

t.test('values: the schema takes those of the chart, and refuses what is no value', async (t) => {
  const values = yamlOf('values.yaml');
  t.ok(isValid(values), ajv.errorsText(isValid.errors));
  for (const wrong of [
    { imagePullPolicy: 'Always' },
    { image: { pullPolicy: 'Sometimes' } },
    { store: { quota: '20 gigs' } },
    { supernode: { replicas: 0 } },
    { networkPolicy: { nodeNetworks: ['10.0.0.1'] } },
    { proxy: { resources: { limits: { memory: '512 megs' } } } },
  ]) {
    t.notOk(isValid(merged(values, wrong)), JSON.stringify(wrong));
  }
  const { version, appVersion } = yamlOf('Chart.yaml');
  const { version: own } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  t.same([version, appVersion], [own, own]);
});

e2e(t, 'rendered, it is what config/kubernetes has; its values do what they say', ['go'], async (t, rig) => {
  const render = await renderer(rig);
  const usual = byTitle(render());
  const expected = plainManifests().filter(({ kind }) => kind !== 'Namespace');
  t.same([...usual.keys()].toSorted(), [...expected.map(titleOf), 'Secret hawker'].toSorted());
  for (const manifest of expected) t.same(plain(usual.get(titleOf(manifest))!), manifest, titleOf(manifest));
  t.same(schemaErrors([...usual.values()]), []);
  const { data } = usual.get('Secret hawker') as unknown as { data: Record<string, string> };
  t.same(Object.keys(data).toSorted(), ['join-secret', 'operator-token']);
  for (const each of Object.values(data)) t.match(Buffer.from(each, 'base64').toString(), /^[A-Za-z0-9]{43}$/);
  checkValues(t, render);
  if (missing(['helm'])) t.comment('Helm itself is not installed: not compared with what it renders');
  else for (const values of [{}, OTHER_VALUES]) await asHelm(t, rig, render(values), values);
});

/** Helm finds no fault with the chart, and renders the same. */
async function asHelm(t: Test, rig: Rig, rendered: readonly Manifest[], values: Values): Promise<void> {
  const file = join(rig.dir, 'values.json');
  writeFileSync(file, JSON.stringify(values));
  await must('helm', ['lint', '--strict', CHART, '--values', file]);
  const where = ['--namespace', RELEASE.Namespace, '--kube-version', KUBE_VERSION];
  const text = await must('helm', ['template', RELEASE.Name, CHART, ...where, '--values', file]);
  const own = byTitle(parseManifests(text));
  t.same([...own.keys()].toSorted(), rendered.map(titleOf).toSorted());
  // Helm writes lists in hawker.yaml without indentation, and what is in the secret is random.
  const compared = (manifest: Manifest) =>
    JSON.stringify(plain(manifest), (key, value: unknown) => (key === 'hawker.yaml' ? parse(value as string) : value));
  for (const each of rendered.filter(({ kind }) => kind !== 'Secret')) {
    t.equal(compared(own.get(titleOf(each))!), compared(each), `Helm's ${titleOf(each)}`);
  }
}

function checkValues(t: Test, render: (values?: Values) => Manifest[]): void {
  const other = render(OTHER_VALUES);
  t.same(schemaErrors(other), []);
  const titles = new Set(other.map(titleOf));
  t.notOk(titles.has('Secret hawker'));
  t.notOk(titles.has('PodDisruptionBudget hawker-supernode'));
  const proxy = pod(other, 'DaemonSet hawker-proxy');
  t.same(namesIn(proxy.spec['initContainers']), ['store']);
  t.same(namesIn(proxy.spec['containers']), ['proxy']);
  t.match(proxy.spec, { imagePullSecrets: [{ name: 'login' }], nodeSelector: { pool: 'gpu' } });
  t.notOk('tolerations' in proxy.spec);
  t.notOk('priorityClassName' in proxy.spec);
  t.match(proxy.spec['containers'], [{ image: 'registry.test:5000/team/hawker:v7' }]);
  t.match(JSON.stringify(proxy.spec['volumes']), /"secretName":"mine".*"path":"\/data\/hawker"/);
  const { data } = byTitle(other).get('ConfigMap hawker') as unknown as { data: Record<string, string> };
  t.match(parse(data['hawker.yaml']!), {
    log: { level: 'debug' },
    store: { quota: '1GiB', dir: '/var/lib/hawker' },
    cluster: { secretFile: '/etc/hawker/secrets/join-secret', tls: { cert: `${TLS}/tls.crt` } },
    supernodes: [0, 1, 2].map((i) => `https://hawker-supernode-${i}.hawker-supernode.hawker.svc:6789`),
  });
  const supernode = pod(other, 'StatefulSet hawker-supernode');
  for (const probe of ['livenessProbe', 'readinessProbe'])
    t.match(supernode.spec['containers'], [{ [probe]: { httpGet: { scheme: 'HTTPS' } } }]);
  for (const { spec } of [proxy, supernode]) {
    t.ok(namesIn(spec['volumes']).includes('tls'));
    const [{ volumeMounts }] = spec['containers'] as unknown as [{ volumeMounts: { name: string }[] }];
    t.same(volumeMounts.at(-1), CERTIFICATES.extraVolumeMounts[0]);
  }
  const policy = JSON.stringify(byTitle(other).get('NetworkPolicy hawker-supernode'));
  t.equal(policy.split('"cidr":"fd00::/64"').length - 1, 2, 'who comes, and where it goes');
  const annotations = (manifests: readonly Manifest[]) => pod(manifests, 'DaemonSet hawker-proxy').metadata.annotations;
  t.not(annotations(other)['checksum/config'], annotations(render())['checksum/config'], 'a change rolls the pods');
}
