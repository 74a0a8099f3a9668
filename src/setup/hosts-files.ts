import { basename, dirname, join } from 'node:path';
import { isPattern } from '../config/formats.ts';
import { judgeHostsToml, parseHostsToml } from '../doctor/hosts-toml.ts';
import { parseMirror, urlOf, type MirrorFaces } from '../doctor/mirror-faces.ts';
import { namesIn } from '../doctor/node-files.ts';
import { readToml } from '../doctor/toml.ts';
import { FileForm, FileInvalid, SetupConflict } from './errors.ts';
import { isThere, readFileWithin, resolveWithin } from './files.ts';
import { dropAuthority, putAuthority, type Whose } from './hosts-ca.ts';
import { hostTable, insertHost, newHostsToml, quoted, type HostMirror } from './hosts-edit.ts';
import { EVERY_REGISTRY, fallbackOf } from './registries.ts';
import type { Edit, SetupAround } from './runtime.ts';

const DEFAULT = '_default';
/** What counts where there is no hosts.toml beside it, and no more where there is (containerd, core/remotes/docker/config). */
const CERTIFICATE = /\.(?:crt|cert|key)$/;

/** The file with the mirror's authorities, which is to be named where the mirror is, or no longer. */
export interface MirrorCa {
  readonly path: string;
  readonly trusted: boolean;
}

export interface HostsWish {
  /** The directories of hosts.toml files, in the order in which they are looked through; what is new goes into the first. */
  readonly dirs: readonly string[];
  /** By name, or `*`. */
  readonly registries: readonly string[];
  readonly faces: MirrorFaces;
  readonly client: 'containerd' | 'docker';
  readonly mirrorCa?: MirrorCa | undefined;
  /** Those for which a file is changed where one counts, and none made. */
  readonly onlyThere?: readonly string[];
}

/**
 * The hosts.toml files that have to be written so that pulls from the registries come to the mirror first. What is there is
 * kept. Rejects with SETUP_FILE_INVALID, SETUP_FILE_FORM and SETUP_CONFLICT.
 */
export async function planHosts(around: SetupAround, wish: HostsWish): Promise<Edit[]> {
  const { root, config } = around;
  const { dirs, registries, faces } = wish;
  const ca = wish.mirrorCa?.trusted === true ? wish.mirrorCa.path : undefined;
  const mirror = { url: urlOf(faces.faces[0]!), ca };
  const edits = new Map<string, Edit>();
  for (const registry of await withOwnFiles(around, dirs, registries)) {
    // A registry that has no file of its own keeps whatever the one for all of them says.
    const there = await countingFile(root, dirs, registry);
    const path = there ?? join(dirs[0]!, registry === EVERY_REGISTRY ? DEFAULT : registry, 'hosts.toml');
    if (edits.has(path)) continue;
    const file = await readFileWithin(root, path);
    if (!file && wish.onlyThere?.includes(registry)) continue;
    if (!file) await refuseCertificates(root, path);
    const text = file
      ? changed(file.text, { path, registry, mirror, wish })
      : newHostsToml(mirror, registry === EVERY_REGISTRY ? undefined : fallbackOf(config, registry));
    if (text !== undefined) edits.set(path, { path, text });
  }
  return [...edits.values()];
}

/** The text with the mirror in it, and whom to trust there; undefined where both are in it already. */
function changed(
  text: string,
  { path, registry, mirror, wish }: { path: string; registry: string; mirror: HostMirror; wish: HostsWish },
): string | undefined {
  const read = readToml(text);
  if (!('table' in read)) throw new FileInvalid({ path, why: `line ${read.line} is no TOML: ${read.why}` });
  const { faces, client } = wish;
  const look = judgeHostsToml(text, { registry, path, faces, needsHostTable: true, client });
  if (look.state === 'pointed') return withAuthorities(text, { path, wish });
  if (look.state === 'broken') throw new SetupConflict({ path, seen: look.seen, todo: look.problem!.todo });
  const edited = insertHost(text, mirror);
  if (edited === undefined) {
    const why = 'its hosts are not written as tables of their own';
    throw new FileForm({ path, why, lines: hostTable(mirror) });
  }
  return edited;
}

/** The text with or without the mirror's authorities, as it is wished, wherever it names the mirror; undefined where it is so. */
function withAuthorities(text: string, { path, wish }: { path: string; wish: HostsWish }): string | undefined {
  const { mirrorCa, faces } = wish;
  if (!mirrorCa) return undefined;
  const { path: ca, trusted } = mirrorCa;
  let edited = text;
  for (const whose of securelyNamed(text, faces)) {
    const next = (trusted ? putAuthority : dropAuthority)(edited, whose, ca);
    if (next === undefined) {
      const table = whose === undefined ? 'server' : `[host.${quoted(whose)}]`;
      const why = `the authorities of ${table} are not written on a line of their own`;
      const todo = `take ${ca} out of those of ${table} by hand, then run this again`;
      if (!trusted) throw new SetupConflict({ path, seen: why, todo });
      throw new FileForm({ path, why, lines: `ca = ${quoted(ca)} for ${table}` });
    }
    edited = next;
  }
  return edited === text ? undefined : edited;
}

/** Where a hosts.toml names the mirror to be asked over TLS. */
function securelyNamed(text: string, faces: MirrorFaces): Whose[] {
  const file = parseHostsToml(text);
  if ('why' in file) return [];
  const isSecure = (url: string) => {
    const named = parseMirror(url, 'https');
    return named?.scheme === 'https' && faces.find(named.address)?.tls === true;
  };
  const hosts: Whose[] = file.hosts.map(({ url }) => url).filter((url) => isSecure(url));
  return file.server !== undefined && isSecure(file.server) ? [...hosts, undefined] : hosts;
}

/**
 * Edits of the files of authorities and of the hosts.toml files that name them, so that at no time one is named that is not there:
 * no pull would work then. A file that another hosts.toml in the directories goes on to name stays.
 */
export async function inOrder(
  root: string,
  { ca, hosts, dirs }: { ca: readonly Edit[]; hosts: readonly Edit[]; dirs: readonly string[] },
): Promise<Edit[]> {
  const written = ca.filter(({ text }) => text !== undefined);
  const removed: Edit[] = [];
  for (const edit of ca) {
    if (edit.text === undefined && !(await isNamed(root, edit.path, hosts, dirs))) removed.push(edit);
  }
  return [...written, ...hosts, ...removed];
}

async function isNamed(root: string, path: string, edits: readonly Edit[], dirs: readonly string[]): Promise<boolean> {
  const edited = new Map(edits.map((edit) => [edit.path, edit.text]));
  for (const dir of dirs) {
    for (const name of await namesIn(root, await resolveWithin(root, dir))) {
      const hosts = join(dir, name, 'hosts.toml');
      const text = edited.get(hosts) ?? (await readFileWithin(root, hosts))?.text;
      if (text?.includes(path) === true) return true;
    }
  }
  return false;
}

/** With all registries come those that have a file of their own, for which the one for all does not count. */
async function withOwnFiles(
  { root, config }: SetupAround,
  dirs: readonly string[],
  registries: readonly string[],
): Promise<string[]> {
  if (!registries.includes(EVERY_REGISTRY)) return [...registries];
  const known = Object.keys(config.upstreams).filter((key) => !isPattern(key));
  const own: string[] = [];
  for (const registry of known) {
    const path = await countingFile(root, dirs, registry);
    if (path !== undefined && basename(dirname(path)) !== DEFAULT) own.push(registry);
  }
  return [...new Set([...registries, ...own])];
}

/**
 * The file that counts for a registry: in the first directory that has anything for it, with the port written the one way, then
 * the other, then the one for all registries (containerd, hostPaths). Undefined: there is none.
 */
async function countingFile(root: string, dirs: readonly string[], registry: string): Promise<string | undefined> {
  const [, host, port] = /^(.*):(\d+)$/.exec(registry) ?? [];
  const names = registry === EVERY_REGISTRY ? [] : [...(port === undefined ? [] : [`${host}_${port}_`]), registry];
  for (const dir of dirs) {
    for (const name of names) if (await isThere(root, join(dir, name))) return join(dir, name, 'hosts.toml');
    const forAll = join(dir, DEFAULT, 'hosts.toml');
    if (await isThere(root, forAll)) return forAll;
  }
  return undefined;
}

async function refuseCertificates(root: string, path: string): Promise<void> {
  const directory = await resolveWithin(root, dirname(path));
  const files = (await namesIn(root, directory)).filter((name) => CERTIFICATE.test(name));
  if (files.length === 0) return;
  throw new SetupConflict({
    path: directory,
    seen: `it holds ${files.join(', ')}, which count only as long as there is no hosts.toml beside them`,
    todo: `write ${path} by hand with those certificates in it (server, ca, client: containerd’s docs/hosts.md), then run this again: it adds the mirror; or leave that registry out (--registry)`,
  });
}
