import { basename, dirname, join } from 'node:path';
import { isPattern } from '../config/formats.ts';
import { judgeHostsToml } from '../doctor/hosts-toml.ts';
import { urlOf, type MirrorFaces } from '../doctor/mirror-faces.ts';
import { namesIn } from '../doctor/node-files.ts';
import { readToml } from '../doctor/toml.ts';
import { FileForm, FileInvalid, SetupConflict } from './errors.ts';
import { isThere, readFileWithin, resolveWithin } from './files.ts';
import { hostTable, insertHost, newHostsToml, type HostMirror } from './hosts-edit.ts';
import { EVERY_REGISTRY, fallbackOf } from './registries.ts';
import type { Edit, SetupAround } from './runtime.ts';

const DEFAULT = '_default';
/** What counts where there is no hosts.toml beside it, and no more where there is (containerd, core/remotes/docker/config). */
const CERTIFICATE = /\.(?:crt|cert|key)$/;

export interface HostsWish {
  /** The directories of hosts.toml files, in the order in which they are looked through; what is new goes into the first. */
  readonly dirs: readonly string[];
  /** By name, or `*`. */
  readonly registries: readonly string[];
  readonly faces: MirrorFaces;
  readonly client: 'containerd' | 'docker';
  /** The file with the mirror's authorities; undefined: those that the client trusts anyway. */
  readonly mirrorCa?: string | undefined;
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
  const mirror = { url: urlOf(faces.faces[0]!), ca: wish.mirrorCa };
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

/** The text with the mirror in it; undefined where it is in it already. */
function changed(
  text: string,
  { path, registry, mirror, wish }: { path: string; registry: string; mirror: HostMirror; wish: HostsWish },
): string | undefined {
  const read = readToml(text);
  if (!('table' in read)) throw new FileInvalid({ path, why: `line ${read.line} is no TOML: ${read.why}` });
  const { faces, client } = wish;
  const look = judgeHostsToml(text, { registry, path, faces, needsHostTable: true, client });
  if (look.state === 'pointed') return undefined;
  if (look.state === 'broken') throw new SetupConflict({ path, seen: look.seen, todo: look.problem!.todo });
  const edited = insertHost(text, mirror);
  if (edited === undefined) {
    const why = 'its hosts are not written as tables of their own';
    throw new FileForm({ path, why, lines: hostTable(mirror) });
  }
  return edited;
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
