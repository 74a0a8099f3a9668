import { canonicalHost, isHostComponent } from '../registry/reference.ts';
import type { Problem } from './findings.ts';
import {
  type MirrorFace,
  type MirrorFaces,
  parseMirror,
  type NamedMirror,
  schemeOf,
  speaks,
  urlOf,
} from './mirror-faces.ts';
import { readToml, tableOf, textsOf } from './toml.ts';

/** One `[host."URL"]` of a hosts.toml, in the order in which they are asked. */
export interface HostEntry {
  readonly url: string;
  /** Undefined: all. */
  readonly capabilities: readonly string[] | undefined;
  readonly overridePath: boolean;
}

/** A hosts.toml (containerd, docs/hosts.md). */
export interface HostsFile {
  /** Asked last; undefined: the registry itself. */
  readonly server: string | undefined;
  readonly hosts: readonly HostEntry[];
}

export function parseHostsToml(text: string): HostsFile | { readonly line: number; readonly why: string } {
  const read = readToml(text);
  if (!('table' in read)) return read;
  const { server, host } = read.table;
  const hosts = Object.entries(tableOf(host)).map(([url, entry]) => {
    const { capabilities, override_path: overridePath } = tableOf(entry);
    return { url, capabilities: textsOf(capabilities), overridePath: overridePath === true };
  });
  return { server: typeof server === 'string' ? server : undefined, hosts };
}

/** What a hosts.toml means for pulls from one registry. */
export interface HostsLook {
  readonly state: 'pointed' | 'elsewhere' | 'broken';
  readonly seen: string;
  readonly problem?: Problem;
}

export interface HostsContext {
  /** The registry that is pulled from. */
  readonly registry: string;
  readonly path: string;
  readonly faces: MirrorFaces;
  /** containerd 1.x takes a file without any `[host]` for a mistake, and ignores it. */
  readonly needsHostTable: boolean;
  readonly client: 'containerd' | 'docker';
}

/** Whether pulls from `registry` come to this node's mirror by the text of its hosts.toml. */
export function judgeHostsToml(text: string, context: HostsContext): HostsLook {
  const { registry, path, faces, needsHostTable, client } = context;
  const around = `${client}’s pulls from ${registry} go there directly`;
  const broken = (seen: string, meaning: string, todo: string): HostsLook => {
    return { state: 'broken', seen, problem: { seen: `${path}: ${seen}`, meaning, todo } };
  };
  const file = parseHostsToml(text);
  if ('why' in file) {
    return broken(
      `line ${file.line} is no TOML: ${file.why}`,
      `${client} ignores the whole file: ${around}`,
      `mend line ${file.line} of ${path} (no restart is needed)`,
    );
  }
  const { server, hosts } = file;
  const found = hosts.map((entry) => ({ entry, ...faceOf(faces, entry.url) }));
  const index = found.findIndex(({ face }) => face !== undefined);
  if (index === -1) {
    const byServer = server === undefined ? undefined : faceOf(faces, server);
    if (byServer?.face && hosts.length === 0 && needsHostTable) {
      const seen = 'it has server only, and no [host] table';
      return broken(
        seen,
        `containerd before 2.0 ignores such a file: ${around}`,
        `add [host."${urlOf(byServer.face)}"] to it`,
      );
    }
    if (byServer?.face) return { state: 'pointed', seen: `${path}: the mirror is the server, asked last` };
    const names = hosts.map(({ url }) => url).join(', ');
    return { state: 'elsewhere', seen: `${path} names ${names === '' ? 'no host' : names}, not this node’s mirror` };
  }
  const { entry, named, face } = found[index]! as { entry: HostEntry; named: NamedMirror; face: MirrorFace };
  if (named.scheme !== schemeOf(face)) {
    const seen = `it names ${entry.url}, and ${speaks(face)}`;
    return broken(
      seen,
      `the mirror is asked ${face.tls ? 'in clear' : 'by TLS'} in vain: ${around}`,
      `write [host."${urlOf(face)}"] in ${path}`,
    );
  }
  const lacking = ['pull', 'resolve'].filter((one) => entry.capabilities?.includes(one) === false);
  if (lacking.length > 0) {
    const seen = `the mirror’s capabilities lack ${lacking.join(' and ')}`;
    const meaning = lacking.includes('pull')
      ? around
      : `tags are looked up at ${registry} itself, not through this node`;
    return broken(seen, meaning, `write capabilities = ["pull", "resolve"] for the mirror in ${path}`);
  }
  const wrongWay = wrongPath(named.path, entry.overridePath, face, registry);
  if (wrongWay)
    return broken(
      `${entry.url}: ${wrongWay}`,
      around,
      `write [host."${urlOf(face)}"], without a path and without override_path, in ${path}`,
    );
  const before = hosts.slice(0, index).map(({ url }) => url);
  const order = before.length === 0 ? '' : `, asked after ${before.join(', ')}`;
  const last = server ?? `https://${registry === 'docker.io' ? 'registry-1.docker.io' : registry}`;
  return { state: 'pointed', seen: `${path} names ${entry.url}${order}, and falls back to ${last}` };
}

/** containerd takes what has no scheme for https. */
function faceOf(faces: MirrorFaces, url: string): { named?: NamedMirror | undefined; face?: MirrorFace | undefined } {
  const named = parseMirror(url, 'https');
  return named ? { named, face: faces.find(named.address) } : {};
}

/** containerd adds `/v2` to a path unless it ends in it, or override_path is set; the mirror takes a registry's host before or after it. */
function wrongPath(path: string, overridePath: boolean, face: MirrorFace, registry: string): string | undefined {
  const parts = path.split('/').filter(Boolean);
  const api = parts.indexOf('v2');
  if (overridePath && api === -1) return 'override_path without /v2 in the path leads to no registry API';
  const hosts = parts.filter((part) => isHostComponent(part));
  if (parts.length - hosts.length > (api === -1 ? 0 : 1)) return `the mirror has nothing at /${path}`;
  const other = hosts.find((host) => canonicalHost(host) !== canonicalHost(registry));
  if (other !== undefined) return `the path says ${other}, but the pull is from ${registry}`;
  if (face.bound && face.upstream !== registry)
    return `that address serves ${face.upstream} only, and refuses ${registry}`;
  return undefined;
}
