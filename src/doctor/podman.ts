import { join } from 'node:path';
import { standsFor } from '../config/formats.ts';
import { canonicalHost } from '../registry/reference.ts';
import type { Around } from './check.ts';
import { isSetByHand } from './configured-upstreams.ts';
import type { Problem } from './findings.ts';
import { hostPort, MirrorFaces } from './mirror-faces.ts';
import { namesIn, readNodeFile } from './node-files.ts';
import { findProgram, runProgram } from './programs.ts';
import {
  hostOfPrefix,
  judgeEntry,
  parsePodmanRegistries,
  parseRegistriesConf,
  type RegistryEntry,
} from './registries-conf.ts';
import { absent, type RuntimeLook } from './runtime-look.ts';
import { tableOf } from './toml.ts';
import { socketRefusal } from './unix-api.ts';

/** It opens its storage, which takes a moment on a slow disk. */
const BOUND_MS = 10_000;
/** All of them read registries.conf (containers/image). */
const PROGRAMS = ['podman', 'crio', 'buildah', 'skopeo'];
const CRIO_SOCKET = '/var/run/crio/crio.sock';
const SYSTEM = '/etc/containers';

/** Whether podman, and what else reads registries.conf, pulls through the mirror. */
export async function lookAtPodman(around: Around): Promise<RuntimeLook> {
  const { root, config } = around;
  const found = (await Promise.all(PROGRAMS.map((name) => findProgram(around, name)))).map((path, index) =>
    path === undefined ? [] : [PROGRAMS[index]!],
  );
  const programs = found.flat();
  if (programs.length === 0) return absent('podman', `no ${PROGRAMS.join(', ')} on the PATH`);
  const crio = (await socketRefusal(join(root, CRIO_SOCKET), BOUND_MS)) === undefined;
  const faces = new MirrorFaces(config);
  const files = await entriesOfFiles(around);
  const asked = await askPodman(around);
  const entries = asked.entries ?? [...files.entries.values()];
  const looks = entries.map((entry) => ({ entry, look: judgeEntry(entry, faces) }));
  const pointed = looks.filter(({ look }) => look.state === 'pointed');
  const elsewhere = looks.filter(({ look, entry }) => look.state === 'elsewhere' && entry.mirrors.length > 0);
  const broken = looks.flatMap(({ look }) => (look.state === 'broken' ? [look.problem] : []));
  const covered = new Set(pointed.map(({ entry }) => hostOfPrefix(entry.prefix)));
  const named = pointed.length > 0 || broken.length > 0;
  return {
    runtime: 'podman',
    seen: [
      `installed: ${programs.join(', ')}${crio ? ' (CRI-O runs)' : ''}`,
      asked.said,
      pointed.length === 0
        ? `no mirror in ${files.paths.join(', ') || SYSTEM} is this node’s`
        : pointed.map(({ look }) => look.seen).join(', '),
      ...elsewhere.map(({ look }) => look.seen),
    ],
    state: pointed.length > 0 ? 'pointed' : 'elsewhere',
    inUse: crio || elsewhere.length > 0,
    problems: [
      ...files.problems,
      ...broken,
      ...(named
        ? gaps(
            around,
            looks.map(({ entry }) => entry),
            covered,
          )
        : []),
    ],
    todo: `run \`hawker setup podman\`; or write into ${SYSTEM}/registries.conf.d/50-hawker.conf: [[registry]] prefix = "docker.io", location = "docker.io", and below it [[registry.mirror]] location = "${hostPort(faces.faces[0]!)}/docker.io"${faces.faces[0]!.tls ? '' : ', insecure = true'}; the same for each other registry`,
  };
}

/** Registries that somebody has set in Hawker's configuration, and that have no mirror here. One that is written wrong has its own problem. */
function gaps({ config }: Around, entries: readonly RegistryEntry[], covered: ReadonlySet<string>): Problem[] {
  const known = new Set([...covered].map(canonicalHost));
  const written = entries.filter(({ mirrors }) => mirrors.length > 0).map(({ prefix }) => hostOfPrefix(prefix));
  const missing = Object.keys(config.upstreams).filter(
    (key) =>
      !key.includes('*') &&
      isSetByHand(config, key) &&
      !known.has(canonicalHost(key)) &&
      !written.some((host) => standsFor(host, key)),
  );
  return missing.map((key) => ({
    seen: `no [[registry.mirror]] for ${key}`,
    meaning: `podman’s pulls from ${key} go there directly, although upstreams."${key}" is set`,
    todo: `run \`hawker setup podman --registry ${key}\`; or add a [[registry]] with prefix = "${key}" and this node’s mirror to ${SYSTEM}/registries.conf.d/50-hawker.conf`,
  }));
}

interface FilesLook {
  readonly paths: readonly string[];
  /** By prefix: a later file takes the place of an earlier one's (containers-registries.conf.d(5)). */
  readonly entries: ReadonlyMap<string, RegistryEntry>;
  readonly problems: readonly Problem[];
}

async function entriesOfFiles({ root, environment }: Around): Promise<FilesLook> {
  const home = environment['HOME'];
  const own = home === undefined ? undefined : `${home}/.config/containers`;
  const chosen = environment['CONTAINERS_REGISTRIES_CONF'];
  const mains =
    chosen === undefined
      ? [...(own === undefined ? [] : [`${own}/registries.conf`]), `${SYSTEM}/registries.conf`]
      : [chosen];
  const looks = await Promise.all(mains.map((path) => readNodeFile(root, withoutRoot(root, path))));
  const main = looks.find(({ kind }) => kind !== 'absent');
  const dropIns: string[] = [];
  for (const dir of [`${SYSTEM}/registries.conf.d`, ...(own === undefined ? [] : [`${own}/registries.conf.d`])]) {
    const names = (await namesIn(root, dir)).filter((name) => name.endsWith('.conf'));
    dropIns.push(...names.map((name) => join(dir, name)));
  }
  const all = [...(main ? [main] : []), ...(await Promise.all(dropIns.map((path) => readNodeFile(root, path))))];
  const entries = new Map<string, RegistryEntry>();
  const problems: Problem[] = [];
  const paths: string[] = [];
  for (const look of all) {
    if (look.kind !== 'text') continue;
    paths.push(look.path);
    const parsed = parseRegistriesConf(look.path, look.text);
    if (Array.isArray(parsed)) for (const entry of parsed) entries.set(entry.prefix, entry);
    else
      problems.push({
        seen: `${look.path}, line ${parsed.line}: no TOML: ${parsed.why}`,
        meaning: 'podman, CRI-O, buildah and skopeo pull nothing at all while it is so',
        todo: `mend line ${parsed.line} of ${look.path}`,
      });
  }
  return { paths, entries, problems };
}

/** A variable's path is the node's own, whose root may be seen from elsewhere. */
function withoutRoot(root: string, path: string): string {
  return root !== '/' && path.startsWith(`${root}/`) ? path.slice(root.length) : path;
}

/** What podman itself makes of its files; it has no daemon that could still have an older state. */
async function askPodman(around: Around): Promise<{ entries?: RegistryEntry[]; said: string }> {
  const program = await findProgram(around, 'podman');
  if (program === undefined) return { said: 'podman is not there to be asked: by the files' };
  const { environment } = around;
  const { status, output, said } = await runProgram(program, ['info', '--format', 'json'], {
    environment,
    boundMs: BOUND_MS,
  });
  if (status !== 0) return { said: `podman info failed (${said}): by the files` };
  try {
    const info = tableOf(JSON.parse(output));
    return { entries: parsePodmanRegistries('podman info', info['registries']), said: 'asked: podman info' };
  } catch {
    return { said: 'podman info printed no JSON: by the files' };
  }
}
