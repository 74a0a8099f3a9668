import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse, stringify } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { runCommand } from '../support/cli.ts';
import { parseManifests, plainManifests, schemaErrors, titleOf, type Manifest } from '../support/manifests.ts';

interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly volumeMounts?: readonly { readonly name: string }[];
  readonly livenessProbe?: { readonly httpGet: { readonly port: string; readonly path: string } };
  readonly readinessProbe?: { readonly httpGet: { readonly port: string; readonly path: string } };
  readonly lifecycle?: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
}

interface Pod {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes: readonly { readonly name: string }[];
  readonly [part: string]: unknown;
}

interface Workload extends Manifest {
  readonly spec: {
    readonly replicas?: number;
    readonly selector: { readonly matchLabels: object };
    readonly template: { readonly metadata: { readonly labels: object }; readonly spec: Pod };
  };
}

const manifests = plainManifests();
const find = (kind: string, name: string) => manifests.find((each) => titleOf(each) === `${kind} ${name}`)!;
const proxy = find('DaemonSet', 'hawker-proxy') as Workload;
const supernode = find('StatefulSet', 'hawker-supernode') as Workload;
const podOf = ({ spec }: Workload) => spec.template.spec;
const containersOf = (workload: Workload) => [...(podOf(workload).initContainers ?? []), ...podOf(workload).containers];
const named = (workload: Workload, name: string) => containersOf(workload).find((each) => each.name === name)!;
const configText = (find('ConfigMap', 'hawker')['data'] as Record<string, string>)['hawker.yaml']!;

function folder(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'hawker-manifests-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return dir;
}

t.test('the manifests are as the schemas of Kubernetes have it', async (t) => {
  t.same(manifests.map(titleOf).toSorted(), [
    'ConfigMap hawker',
    'DaemonSet hawker-proxy',
    'Namespace hawker',
    'NetworkPolicy hawker-supernode',
    'PodDisruptionBudget hawker-supernode',
    'Service hawker-supernode',
    'ServiceAccount hawker',
    'StatefulSet hawker-supernode',
  ]);
  t.same(schemaErrors(manifests), []);
  for (const { kind, metadata } of manifests) t.equal(metadata.namespace, kind === 'Namespace' ? undefined : 'hawker');
});

t.test('what is wrong is found: a field too many, one too few, one of another type', async (t) => {
  const spoil = (from: string, to: string) => {
    const text = stringify(proxy).replace(from, to);
    t.not(text, stringify(proxy));
    return schemaErrors(parseManifests(text));
  };
  t.match(spoil('hostNetwork: true', 'hostNetworking: true'), [/hostNetworking/]);
  t.match(spoil('hostNetwork: true', 'hostNetwork: 1'), [/boolean/]);
  t.match(spoil('selector:', 'selectors:'), [/selector/]);
});

t.test('its parts fit together', async (t) => {
  for (const workload of [proxy, supernode]) {
    const { labels } = workload.spec.template.metadata;
    t.same(workload.spec.selector.matchLabels, labels);
    const volumes = podOf(workload).volumes.map(({ name }) => name);
    const mounted = containersOf(workload).flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name));
    t.same([...new Set(mounted)].toSorted(), volumes.toSorted());
    const [main] = podOf(workload).containers as [Container];
    for (const [probe, path] of [
      [main.livenessProbe, '/livez'],
      [main.readinessProbe, '/readyz'],
    ] as const) {
      t.equal(probe?.httpGet.path, path);
      t.ok(main.ports?.some(({ name }) => name === probe?.httpGet.port));
    }
  }
  const { labels } = supernode.spec.template.metadata;
  const spec = (kind: string) => find(kind, 'hawker-supernode')['spec'] as Record<string, Record<string, unknown>>;
  t.same(spec('Service')['selector'], labels);
  t.same(spec('PodDisruptionBudget')['selector']!['matchLabels'], labels);
  t.same(spec('NetworkPolicy')['podSelector']!['matchLabels'], labels);
});

t.test('containers have no more rights than they need', async (t) => {
  for (const workload of [proxy, supernode]) {
    t.match(podOf(workload), { automountServiceAccountToken: false, enableServiceLinks: false });
    t.match(podOf(workload), { securityContext: { seccompProfile: { type: 'RuntimeDefault' } } });
    for (const { name, securityContext } of containersOf(workload)) {
      const expected = {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      };
      t.match(securityContext, expected, name);
    }
  }
  const asRoot = containersOf(proxy).filter(({ securityContext }) => securityContext['runAsUser'] === 0);
  t.same(
    asRoot.map(({ name }) => name),
    ['store', 'containerd-setup', 'containerd-undo'],
    'what writes to the node; what serves does not',
  );
  t.match(named(proxy, 'proxy').securityContext, { runAsNonRoot: true });
  t.match(podOf(supernode)['securityContext'], { runAsNonRoot: true });
  t.equal(new Set([...containersOf(proxy), ...containersOf(supernode)].map(({ image }) => image)).size, 1);
});

t.test('hawker.yaml is taken by both without a warning, and names every supernode', async (t) => {
  const dir = folder(t);
  const secret = join(dir, 'join-secret');
  writeFileSync(secret, 'x'.repeat(43), { mode: 0o600 });
  const file = join(dir, 'hawker.yaml');
  writeFileSync(file, configText.replaceAll('/etc/hawker/secrets/join-secret', secret));
  const environment = { HAWKER_PEER_LISTEN: '0.0.0.0:65002', HAWKER_PEER_ADVERTISE: '10.0.0.7:65002' };
  const { config, warnings } = await loadConfig({
    file,
    flags: {},
    environment,
    account: { root: false, home: '/' },
    directory: dir,
  });
  t.same(warnings, []);
  t.equal(parse(configText).supernodes.length, supernode.spec.replicas);
  const ports = (name: string, workload: Workload) =>
    workload.spec.template.spec.containers[0]?.ports?.find((port) => port.name === name)?.containerPort;
  t.equal(config.proxy.listen.port, ports('mirror', proxy));
  t.equal(config.peer.listen.port, ports('pieces', proxy));
  t.equal(config.api.listen.port, ports('api', proxy));
  t.equal(config.supernode.listen.port, ports('supernode', supernode));
});

t.test('the init container sets containerd of a node up, and what is run at the end leaves it as it was', async (t) => {
  const root = folder(t);
  const config = join(folder(t), 'hawker.yaml');
  writeFileSync(config, configText);
  for (const dir of ['etc/containerd', 'etc/hawker']) mkdirSync(join(root, dir), { recursive: true });
  const before = 'version = 2\n';
  writeFileSync(join(root, 'etc/containerd/config.toml'), before);
  const argvOf = (args: readonly string[]) =>
    args.map((arg) => (arg === '/host' ? root : arg === '/etc/hawker/hawker.yaml' ? config : arg));
  const around = { account: { root: true, home: '/root' } };

  const files = () => readdirSync(root, { recursive: true, encoding: 'utf8' }).toSorted();
  const untouched = files();
  const done = await runCommand(argvOf(named(proxy, 'containerd-setup').args!), around);
  t.equal(done.status, 0, done.err);
  t.match(
    readFileSync(join(root, 'etc/containerd/config.toml'), 'utf8'),
    /config_path = "\/etc\/containerd\/certs\.d"/,
  );
  t.match(readFileSync(join(root, 'etc/containerd/certs.d/docker.io/hosts.toml'), 'utf8'), 'http://127.0.0.1:65001');
  const again = await runCommand(argvOf(named(proxy, 'containerd-setup').args!), around);
  t.equal(again.status, 0, 'a pod that starts anew');

  const [node, main, ...undo] = named(proxy, 'containerd-undo').lifecycle!.preStop.exec.command;
  t.same([node, main], ['node', '/opt/hawker/dist/main.js']);
  const undone = await runCommand(argvOf(undo), around);
  t.equal(undone.status, 0, undone.err);
  t.same(files(), untouched);
  t.equal(readFileSync(join(root, 'etc/containerd/config.toml'), 'utf8'), before);
  t.equal((await runCommand(argvOf(undo), around)).status, 0, 'nothing left to undo');
});
