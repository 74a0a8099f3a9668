import { join } from 'node:path';
import type { MirrorFace, MirrorFaces } from '../doctor/mirror-faces.ts';
import { hostPort } from '../doctor/mirror-faces.ts';
import { namesIn } from '../doctor/node-files.ts';
import { hostOfPrefix, judgeEntry, parseRegistriesConf, type RegistryEntry } from '../doctor/registries-conf.ts';
import { FileForm, FileInvalid, RegistryRefused, SetupConflict } from './errors.ts';
import { readFileWithin, resolveWithin } from './files.ts';
import { quoted } from './hosts-edit.ts';
import { caEdits, caNotes, certsPath } from './mirror-ca.ts';
import { boundFace, EVERY_REGISTRY, facesOf, fallbackOf, registriesOf } from './registries.ts';
import type { Edit, SetupAround } from './runtime.ts';
import { canonicalHost, defaultUrl } from '../registry/reference.ts';

const SYSTEM = '/etc/containers';
/** Before what an operator calls 99-….conf, which then counts instead. */
const OWN_NAME = '50-hawker.conf';
const HEADER = '# Pulls go to this node’s Hawker first, and to the registry itself where that does not answer.';

/** What registries.conf(5) needs for pulls through the mirror, and the registries that cannot come through it. */
export interface RegistriesPlan {
  readonly edits: readonly Edit[];
  readonly notes: readonly string[];
}

/**
 * The file of registries.conf.d that names the mirror for each registry: for the whole system, or for a user who is not root.
 * An entry for the same registry elsewhere is a conflict, for only one of the two counts (containers-registries.conf.d(5)).
 */
export async function planRegistriesConf(around: SetupAround): Promise<RegistriesPlan> {
  const { root, account } = around;
  const faces = facesOf(around);
  const wanted = registriesOf(around);
  refuseEvery(wanted);
  const dir = account.root ? SYSTEM : join(account.home, '.config/containers');
  const path = join(dir, 'registries.conf.d', OWN_NAME);
  const before = (await readFileWithin(root, path))?.text;
  const own = parse(path, before ?? '');
  const others = await othersEntries(around, dir, path);
  const blocks: string[] = [];
  const portless: string[] = [];
  const used = new Set<MirrorFace>();
  for (const registry of wanted) {
    const face = boundFace(faces, registry) ?? faces.faces[0]!;
    const location = locationOf(face, registry);
    if (location === undefined) {
      portless.push(registry);
      continue;
    }
    used.add(face);
    const there = own.find(({ prefix }) => prefix === registry);
    if (there) refuseBroken(there, faces);
    const other = others.find(
      ({ prefix }) => canonicalHost(hostOfPrefix(prefix)) === registry && prefix === hostOfPrefix(prefix),
    );
    if (other && judgeEntry(other, faces).state === 'pointed') continue;
    if (other) refuseOther(other, location, face);
    if (!there)
      blocks.push(blockOf(registry, { location, insecure: !face.tls, fallback: fallbackLocation(around, registry) }));
  }
  if (portless.length > 0 && around.registries !== undefined) refusePort(portless[0]!);
  const ca: Edit[] = [];
  // containers-certs.d(5): by host and port of whatever is asked, a mirror too.
  for (const face of used) ca.push(...(await caEdits(around, face, certsPath(join(dir, 'certs.d'), face))));
  return {
    edits: [...(blocks.length === 0 ? [] : [{ path, text: appended(path, before, blocks) }]), ...ca],
    notes: [
      ...caNotes(around, faces.faces[0]!),
      ...portless.map(
        (registry) =>
          `${registry} is left out: ${WITH_PORT} (proxy.listeners: [{ listen: 127.0.0.1:65004, upstream: "${registry}" }])`,
      ),
    ],
  };
}

const WITH_PORT = 'the name of an image has no room for its port, so it needs an address of its own';

/** Where the mirror takes requests for a registry that is named in no other way than by the path. */
function locationOf(face: MirrorFace, registry: string): string | undefined {
  if (face.bound) return hostPort(face);
  return /:\d+$/.test(registry) ? undefined : `${hostPort(face)}/${registry}`;
}

/** The registry itself, asked last. */
function fallbackLocation({ config }: SetupAround, registry: string): { location: string; insecure: boolean } {
  const { url } = fallbackOf(config, registry);
  if (url === defaultUrl(registry)) return { location: registry, insecure: false };
  const { host, protocol } = new URL(url);
  return { location: host, insecure: protocol === 'http:' };
}

function blockOf(
  registry: string,
  {
    location,
    insecure,
    fallback,
  }: { location: string; insecure: boolean; fallback: { location: string; insecure: boolean } },
): string {
  return [
    '[[registry]]',
    `prefix = ${quoted(registry)}`,
    `location = ${quoted(fallback.location)}`,
    ...(fallback.insecure ? ['insecure = true'] : []),
    '',
    '[[registry.mirror]]',
    `location = ${quoted(location)}`,
    ...(insecure ? ['insecure = true'] : []),
  ].join('\n');
}

/** The blocks at the end of what is there; everything else stays as it is written. */
function appended(path: string, before: string | undefined, blocks: readonly string[]): string {
  const kept = before?.trimEnd() ?? '';
  const text = `${[kept === '' ? HEADER : kept, ...blocks].join('\n\n')}\n`;
  const entries = parseRegistriesConf(path, text);
  if (Array.isArray(entries)) return text;
  // A list of registries in one line takes no tables after it.
  const why = `line ${entries.line} would be no TOML: ${entries.why}`;
  throw new FileForm({ path, why, lines: blocks.join(' ').replaceAll('\n', ' ') });
}

/** What the other files say, those of later names last. */
async function othersEntries({ root, account }: SetupAround, dir: string, own: string): Promise<RegistryEntry[]> {
  const entries: RegistryEntry[] = [];
  const dirs = account.root ? [SYSTEM] : [SYSTEM, dir];
  for (const one of dirs) {
    const dropIns = join(one, 'registries.conf.d');
    const names = (await namesIn(root, await resolveWithin(root, dropIns))).filter((name) => name.endsWith('.conf'));
    for (const path of [join(one, 'registries.conf'), ...names.map((name) => join(dropIns, name))]) {
      if (path === own) continue;
      const file = await readFileWithin(root, path);
      if (file) entries.push(...parse(path, file.text));
    }
  }
  return entries;
}

function parse(path: string, text: string): RegistryEntry[] {
  const parsed = parseRegistriesConf(path, text);
  if (Array.isArray(parsed)) return parsed;
  throw new FileInvalid({ path, why: `line ${parsed.line} is no TOML: ${parsed.why}` });
}

function refuseBroken(entry: RegistryEntry, faces: MirrorFaces): void {
  const look = judgeEntry(entry, faces);
  if (look.state === 'pointed') return;
  const todo =
    look.state === 'broken'
      ? look.problem.todo
      : `name the mirror in that [[registry]] of ${entry.source}, or take it out; then run this again`;
  throw new SetupConflict({ path: entry.source, seen: look.seen, todo });
}

function refuseOther({ source, prefix }: RegistryEntry, location: string, { tls }: MirrorFace): never {
  throw new SetupConflict({
    path: source,
    seen: `it has a [[registry]] for ${prefix}, and of two for one registry only the one in the later file counts`,
    todo: `add this to that one by hand: [[registry.mirror]] location = ${quoted(location)}${tls ? '' : ', insecure = true'}; or take it out, or leave ${prefix} out (--registry names those to set up)`,
  });
}

function refuseEvery(registries: readonly string[]): void {
  if (!registries.includes(EVERY_REGISTRY)) return;
  const todo =
    'name each of them (--registry ghcr.io --registry quay.io), or leave --registry out: all hosts of the allow-list';
  throw new RegistryRefused({
    registry: EVERY_REGISTRY,
    why: 'registries.conf cannot name a mirror for all registries at once',
    todo,
  });
}

function refusePort(registry: string): never {
  const todo = `add { listen: 127.0.0.1:65004, upstream: "${registry}" } to proxy.listeners, restart the proxy, and run this with its --config`;
  throw new RegistryRefused({ registry, why: WITH_PORT, todo });
}
