import { join } from 'node:path';
import type { Around } from './check.ts';
import { configuredUpstreams, isSetByHand } from './configured-upstreams.ts';
import type { Problem } from './findings.ts';
import { judgeHostsToml, type HostsLook } from './hosts-toml.ts';
import { MirrorFaces, urlOf } from './mirror-faces.ts';
import { readNodeFile, textOf } from './node-files.ts';
import { findProgram, runProgram } from './programs.ts';
import { absent, type RuntimeLook } from './runtime-look.ts';
import { readToml, tableAt, type Table } from './toml.ts';
import { socketRefusal } from './unix-api.ts';

const BOUND_MS = 5000;
const CONFIG = '/etc/containerd/config.toml';
export const SOCKET = '/run/containerd/containerd.sock';
/** Where nerdctl, ctr's users and docs/hosts.md put it. */
const USUAL_HOSTS_DIR = '/etc/containerd/certs.d';
const K3S = '/etc/rancher/k3s/registries.yaml';
/** The part that pulls for Kubernetes, by the version of the configuration: 1, 2 and 3. */
const CRI_PLUGINS = ['cri', 'io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images'];

/** What containerd's configuration says, as far as registries go. */
export interface ContainerdConfig {
  readonly source: string;
  /** Of the file's format: 3 with containerd 2. */
  readonly version: number;
  /** Empty: not set. */
  readonly hostsDirs: readonly string[];
  readonly cri: boolean;
  /** Registries in the deprecated `registry.mirrors`. */
  readonly oldMirrors: readonly string[];
}

/** Whether containerd on this node pulls through the mirror: its configuration, and the hosts.toml of each registry. */
export async function lookAtContainerd(around: Around): Promise<RuntimeLook> {
  const { root } = around;
  const program = await findProgram(around, 'containerd');
  const refusal = await socketRefusal(join(root, SOCKET), BOUND_MS);
  const runs = refusal === undefined || refusal === 'EACCES';
  const k3s =
    (await readNodeFile(root, K3S)).kind === 'absent'
      ? []
      : [`k3s has a registries of its own in ${K3S}, which is not looked at`];
  if (!program && !runs && (await readNodeFile(root, CONFIG)).kind === 'absent') {
    return absent('containerd', ['no containerd on the PATH, no socket, no configuration', ...k3s].join('; '));
  }
  const config = await configOf(around, program);
  const running = runs ? 'it runs' : `it does not run (${SOCKET}: ${refusal})`;
  if ('problem' in config) {
    const seen = [running, config.problem.seen, ...k3s];
    return {
      runtime: 'containerd',
      seen,
      state: 'elsewhere',
      inUse: runs,
      problems: [config.problem],
      todo: config.problem.todo,
    };
  }
  const faces = new MirrorFaces(around.config);
  const dirs = config.hostsDirs.length > 0 ? config.hostsDirs : [USUAL_HOSTS_DIR];
  const looks = await lookAtHosts(around, { dirs, faces, needsHostTable: config.version < 3 });
  const pointed = looks.filter(({ look }) => look.state === 'pointed');
  const named = pointed.length > 0 || looks.some(({ look }) => look.state === 'broken');
  const problems = [
    ...distinct(looks.flatMap(({ look }) => look.problem ?? [])),
    ...(named ? [...criProblems(config), ...gaps(around, looks, dirs[0]!)] : []),
  ];
  const cri = config.cri
    ? `config_path is ${config.hostsDirs.length === 0 ? 'not set' : config.hostsDirs.join(':')}`
    : 'its CRI plugin is off';
  return {
    runtime: 'containerd',
    seen: [running, `${config.source}: ${cri}`, ...summary(looks), 'ctr needs --hosts-dir', ...k3s],
    state: pointed.length > 0 ? 'pointed' : 'elsewhere',
    inUse: runs,
    problems,
    todo: `run \`hawker setup containerd\`; or write ${dirs[0]}/_default/hosts.toml with [host."${urlOf(faces.faces[0]!)}"] and capabilities = ["pull", "resolve"]${config.hostsDirs.length > 0 || !config.cri ? '' : `, and set config_path = "${USUAL_HOSTS_DIR}" in ${CONFIG}`}`,
  };
}

/** By `containerd config dump`, which knows the defaults and imports of its version; else by the file. */
export async function configOf(
  { root, environment }: Pick<Around, 'root' | 'environment'>,
  program: string | undefined,
): Promise<ContainerdConfig | { readonly problem: Problem }> {
  const file = await readNodeFile(root, CONFIG);
  if (program !== undefined) {
    const args = ['--config', join(root, CONFIG), 'config', 'dump'];
    const dump = await runProgram(program, args, { environment, boundMs: BOUND_MS });
    const read = dump.status === 0 ? readToml(dump.output) : undefined;
    if (read && 'table' in read) return parseConfig('containerd config dump', read.table);
  }
  if (file.kind === 'absent') return parseConfig(`${CONFIG} is not there`, {});
  if (file.kind === 'refused') {
    return parseConfig(`${CONFIG} may not be read (${file.why})`, {});
  }
  const read = readToml(file.text);
  if ('table' in read) return parseConfig(CONFIG, read.table);
  return {
    problem: {
      seen: `${CONFIG}, line ${read.line}: no TOML: ${read.why}`,
      meaning: 'containerd does not start, or not again, with it',
      todo: `mend line ${read.line} of ${CONFIG}, then systemctl restart containerd`,
    },
  };
}

function parseConfig(source: string, table: Table): ContainerdConfig {
  const registries = CRI_PLUGINS.map((plugin) => tableAt(table, 'plugins', plugin, 'registry'));
  const paths = registries.map((registry) => registry['config_path']).filter((path) => typeof path === 'string');
  const disabled = JSON.stringify(table['disabled_plugins'] ?? []);
  return {
    source,
    version: typeof table['version'] === 'number' ? table['version'] : 1,
    hostsDirs: paths.flatMap((path) => path.split(':')).filter(Boolean),
    cri: !CRI_PLUGINS.some((plugin) => disabled.includes(`"${plugin}"`)),
    oldMirrors: registries.flatMap((registry) => Object.keys(tableAt(registry, 'mirrors'))),
  };
}

/** hosts.toml is there, but what pulls for Kubernetes does not look at it. */
function criProblems({ cri, hostsDirs, oldMirrors, source }: ContainerdConfig): Problem[] {
  if (!cri || hostsDirs.length > 0) return [];
  const old =
    oldMirrors.length === 0
      ? ''
      : ` (it has the deprecated registry.mirrors for ${oldMirrors.join(', ')}, to be taken out then)`;
  return [
    {
      seen: `${source}: config_path is not set${old}`,
      meaning:
        'what Kubernetes pulls goes to the registries directly; only ctr --hosts-dir and nerdctl read hosts.toml',
      todo: `set config_path = "${USUAL_HOSTS_DIR}" in ${CONFIG}, in the registry section of the CRI plugin, then systemctl restart containerd`,
    },
  ];
}

interface RegistryLook {
  readonly registry: string;
  readonly look: HostsLook;
}

async function lookAtHosts(
  { root, config }: Around,
  { dirs, faces, needsHostTable }: { dirs: readonly string[]; faces: MirrorFaces; needsHostTable: boolean },
): Promise<RegistryLook[]> {
  const { chosen, builtIn } = configuredUpstreams(config);
  return await Promise.all(
    [...chosen, ...builtIn].map(async (registry) => {
      const found = await hostsTomlOf(root, dirs, registry);
      if (!found)
        return { registry, look: { state: 'elsewhere', seen: `no hosts.toml for ${registry}` } satisfies HostsLook };
      return {
        registry,
        look: judgeHostsToml(found.text, { registry, path: found.path, faces, needsHostTable, client: 'containerd' }),
      };
    }),
  );
}

/** The directories that containerd tries, in its order (core/remotes/docker/config, hostPaths): with the port first, then the default. */
async function hostsTomlOf(
  root: string,
  dirs: readonly string[],
  registry: string,
): Promise<{ path: string; text: string } | undefined> {
  const [, host = registry, port] = /^(.*):(\d+)$/.exec(registry) ?? [];
  const names = [...(port === undefined ? [] : [`${host}_${port}_`]), registry, '_default'];
  for (const dir of dirs) {
    for (const name of names) {
      const path = join(dir, name, 'hosts.toml');
      const text = await textOf(root, path);
      if (text !== undefined) return { path, text };
    }
  }
  return undefined;
}

/** Registries that somebody has set in Hawker's configuration, and that containerd pulls from without it. */
function gaps({ config }: Around, looks: readonly RegistryLook[], dir: string): Problem[] {
  const missing = looks.filter(({ registry, look }) => look.state === 'elsewhere' && isSetByHand(config, registry));
  return missing.map(({ registry, look }) => ({
    seen: look.seen,
    meaning: `containerd’s pulls from ${registry} go there directly, although upstreams."${registry}" is set`,
    todo: `run \`hawker setup containerd --registry ${registry}\`; or write ${dir}/${registry}/hosts.toml, or ${dir}/_default/hosts.toml for all registries`,
  }));
}

function summary(looks: readonly RegistryLook[]): string[] {
  const through = looks.filter(({ look }) => look.state === 'pointed');
  const rest = looks.filter(({ look }) => look.state === 'elsewhere').map(({ registry }) => registry);
  const told = [...new Set(through.map(({ look }) => look.seen))];
  return [
    ...told.slice(0, 4),
    through.length === 0
      ? 'no hosts.toml names this node’s mirror'
      : `through it: ${through.map(({ registry }) => registry).join(', ')}`,
    ...(through.length === 0 || rest.length === 0 ? [] : [`not through it: ${rest.join(', ')}`]),
  ];
}

function distinct(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [problem.seen, problem])).values()];
}
