import { basename, dirname, join } from 'node:path';
import { configOf, SOCKET } from '../doctor/containerd.ts';
import { namesIn } from '../doctor/node-files.ts';
import { findProgram, runProgram } from '../doctor/programs.ts';
import { readToml, tableAt, tableOf, textsOf, type Table } from '../doctor/toml.ts';
import { socketRefusal } from '../doctor/unix-api.ts';
import { criPlugin, newConfig, section, setConfigPath, versionOf } from './config-path-edit.ts';
import { FileForm, FileInvalid, OldMirrors } from './errors.ts';
import { isThere, readFileWithin, resolveWithin } from './files.ts';
import { inOrder, planHosts } from './hosts-files.ts';
import { caEdits, caNotes, caOf, caPath, isCaFile } from './mirror-ca.ts';
import { EVERY_REGISTRY, facesOf, patternsOf, registriesOf } from './registries.ts';
import type { Activation, Edit, Plan, Pull, Runtime, SetupAround } from './runtime.ts';

const DIR = '/etc/containerd';
const CONFIG = `${DIR}/config.toml`;
/** Where nerdctl looks, and containerd's own docs/hosts.md puts it. */
const USUAL_DIR = '/etc/containerd/certs.d';
const CRI_PLUGINS = [1, 2, 3].map(criPlugin);
const ASK_BOUND_MS = 5000;
const PULL_BOUND_MS = 120_000;
/** Of containerd: what a trial pull brings is in nobody's way there. */
const NAMESPACE = 'hawker-setup';

/** containerd takes mirrors from a hosts.toml a registry, in the directories that its `config_path` names. */
export const containerd: Runtime = { plan, activation, units: ['containerd'], pull };

async function plan(around: SetupAround): Promise<Plan> {
  const faces = facesOf(around);
  const registries = registriesOf(around);
  const { dirs, edit, cri } = await lookAtConfig(around);
  const [face] = faces.faces;
  const ca = await caEdits(around, face!, caPath(DIR));
  const mirrorCa = caOf(around, face!, caPath(DIR));
  const hosts = await planHosts(around, { dirs, registries, faces, client: 'containerd', mirrorCa });
  const patterns = registries.includes(EVERY_REGISTRY) || around.registries ? [] : patternsOf(around.config);
  return {
    edits: [...(edit ? [edit] : []), ...(await inOrder(around.root, { ca, hosts, dirs }))],
    notes: [
      ...caNotes(around, face!),
      ...(cri
        ? []
        : ['its CRI plugin is off, so no config_path is needed: nerdctl looks into that directory by itself']),
      `ctr takes no configuration: ctr images pull --hosts-dir ${dirs[0]} …`,
      ...(patterns.length === 0
        ? []
        : [
            `the patterns among the upstreams (${patterns.join(', ')}) are not in it: name a registry by --registry, or all of them by --registry '*'`,
          ]),
    ],
  };
}

async function activation({ root }: SetupAround, paths: readonly string[]): Promise<Activation> {
  if (paths.every((path) => basename(path) === 'hosts.toml' || isCaFile(path)))
    return { kind: 'none', command: '', why: 'hosts.toml is read at each pull' };
  const refusal = await socketRefusal(join(root, SOCKET), ASK_BOUND_MS);
  if (refusal !== undefined && refusal !== 'EACCES') {
    return {
      kind: 'none',
      command: '',
      why: 'containerd does not run here: it reads its configuration when it starts',
    };
  }
  const command = 'systemctl restart containerd';
  return { kind: 'restart', command, why: 'containerd reads config_path when it starts; containers go on meanwhile' };
}

interface ConfigFile {
  readonly path: string;
  readonly text: string;
  readonly table: Table;
}

/** The directories of hosts.toml files, and what has to be changed so that they are looked through. */
async function lookAtConfig(around: SetupAround): Promise<{ dirs: readonly string[]; edit?: Edit; cri: boolean }> {
  const { root } = around;
  const files = await configFiles(root);
  // What containerd says of itself knows the defaults of its version, but looks at this machine's files, not at those of a root.
  const program = root === '/' ? await findProgram(around, 'containerd') : undefined;
  const effective = await configOf(around, program);
  const registries = files.flatMap(({ path, table }) =>
    CRI_PLUGINS.map((plugin) => ({ path, registry: tableAt(table, 'plugins', plugin, 'registry') })),
  );
  const inFiles = registries.map(({ registry }) => registry['config_path']).filter((path) => typeof path === 'string');
  const dirs = [
    'problem' in effective ? [] : effective.hostsDirs,
    inFiles.flatMap((path) => path.split(':').filter(Boolean)),
  ].find((list) => list.length > 0);
  const off = JSON.stringify(files.map(({ table }) => table['disabled_plugins'] ?? []));
  const cri = !CRI_PLUGINS.some((plugin) => off.includes(`"${plugin}"`));
  if (dirs) return { dirs, cri };
  if (!cri) return { dirs: [USUAL_DIR], cri };
  for (const { path, registry } of registries) refuseOld(path, registry);
  return { dirs: [USUAL_DIR], edit: editOf(files), cri };
}

/** The main file, and those that it imports: whichever comes later and has the plugin's section is what counts. */
function editOf(files: readonly ConfigFile[]): Edit {
  const main = files[0];
  const holder = files.findLast(({ table }) => criPlugin(versionIn(table, main)) in tableOf(table['plugins'])) ?? main;
  if (!holder || holder.text.trim() === '') return { path: holder?.path ?? CONFIG, text: newConfig(USUAL_DIR) };
  const version = versionIn(holder.table, main);
  const text = setConfigPath(holder.text, version, USUAL_DIR);
  if (text !== undefined) return { path: holder.path, text };
  const why = 'the section of the CRI plugin is written in another form than a table of its own';
  throw new FileForm({ path: holder.path, why, lines: section(version, USUAL_DIR).join(' ').replaceAll(/\s+/g, ' ') });
}

/** A file that is imported may leave the version to the one that imports it. */
function versionIn(table: Table, main: ConfigFile | undefined): number {
  return 'version' in table ? versionOf(table) : versionOf(main?.table ?? {});
}

/** With these in a file containerd does not start once there is a config_path (pkg/cri/config, ValidatePluginConfig). */
function refuseOld(path: string, registry: Table): void {
  const mirrors = Object.keys(tableOf(registry['mirrors']));
  const tls = Object.entries(tableOf(registry['configs'])).flatMap(([host, one]) =>
    'tls' in tableOf(one) ? [host] : [],
  );
  if (mirrors.length > 0) throw new OldMirrors({ path, seen: `the old registry.mirrors (${mirrors.join(', ')})` });
  if (tls.length > 0) throw new OldMirrors({ path, seen: `the old registry.configs with tls (${tls.join(', ')})` });
}

async function configFiles(root: string): Promise<ConfigFile[]> {
  const main = await configFile(root, CONFIG);
  if (!main) return [];
  const imported: ConfigFile[] = [];
  for (const pattern of textsOf(main.table['imports']) ?? []) {
    for (const path of await matching(root, pattern.startsWith('/') ? pattern : join(dirname(CONFIG), pattern))) {
      const file = await configFile(root, path);
      if (file) imported.push(file);
    }
  }
  return [main, ...imported];
}

async function configFile(root: string, path: string): Promise<ConfigFile | undefined> {
  const file = await readFileWithin(root, path);
  if (!file) return undefined;
  const read = readToml(file.text);
  if (!('table' in read)) throw new FileInvalid({ path, why: `line ${read.line} is no TOML: ${read.why}` });
  return { path, text: file.text, table: read.table };
}

/** Files by a pattern with `*` in its last part, as imports are mostly written. */
async function matching(root: string, pattern: string): Promise<string[]> {
  const directory = dirname(pattern);
  if (!pattern.includes('*')) return (await isThere(root, pattern)) ? [pattern] : [];
  const words = basename(pattern)
    .split('*')
    .map((word) => word.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`));
  const fits = new RegExp(`^${words.join('.*')}$`);
  const names = await namesIn(root, await resolveWithin(root, directory));
  return names.filter((name) => fits.test(name)).map((name) => join(directory, name));
}

/** By ctr, which brings the bytes and unpacks nothing. */
async function pull(around: SetupAround, image: string): Promise<Pull | string> {
  const { root, environment } = around;
  const ctr = await findProgram(around, 'ctr');
  if (ctr === undefined) return 'there is no ctr on the PATH to pull with';
  const refusal = await socketRefusal(join(root, SOCKET), ASK_BOUND_MS);
  if (refusal !== undefined) return `containerd was not asked: ${SOCKET}: ${refusal}`;
  const { dirs } = await lookAtConfig(around);
  const base = ['--address', join(root, SOCKET), '--namespace', NAMESPACE];
  const run = (...args: string[]) => runProgram(ctr, [...base, ...args], { environment, boundMs: PULL_BOUND_MS });
  const { status, said } = await run('content', 'fetch', '--hosts-dir', join(root, dirs[0]!), image);
  await run('images', 'rm', '--sync', image);
  await run('namespaces', 'rm', NAMESPACE);
  return { failure: status === 0 ? undefined : said };
}
