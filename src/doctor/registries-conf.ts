import { canonicalHost, isHostComponent } from '../registry/reference.ts';
import type { Problem } from './findings.ts';
import { hostPort, type MirrorFaces, parseMirror } from './mirror-faces.ts';
import { readToml, tableOf, type Table } from './toml.ts';

/** One `[[registry]]` of containers-registries.conf(5). */
export interface RegistryEntry {
  /** What it is for: `docker.io`, `docker.io/library`, `*.example`. */
  readonly prefix: string;
  readonly mirrors: readonly RegistryMirror[];
  /** Mirrors are asked for digests only. */
  readonly digestOnly: boolean;
  /** The file that it comes from, or the program that told it. */
  readonly source: string;
}

export interface RegistryMirror {
  readonly location: string;
  readonly insecure: boolean;
  readonly digestOnly: boolean;
}

export function parseRegistriesConf(
  source: string,
  text: string,
): RegistryEntry[] | { readonly line: number; readonly why: string } {
  const read = readToml(text);
  if (!('table' in read)) return read;
  const list = Array.isArray(read.table['registry']) ? (read.table['registry'] as unknown[]) : [];
  return list.map((one) => {
    const { prefix, location, mirror, 'mirror-by-digest-only': digestOnly } = tableOf(one);
    const name = typeof prefix === 'string' && prefix !== '' ? prefix : location;
    const mirrors = (Array.isArray(mirror) ? (mirror as unknown[]) : []).map((entry) => mirrorOf(tableOf(entry)));
    return { prefix: typeof name === 'string' ? name : '', mirrors, digestOnly: digestOnly === true, source };
  });
}

function mirrorOf(table: Table): RegistryMirror {
  return {
    location: typeof table['location'] === 'string' ? table['location'] : '',
    insecure: table['insecure'] === true,
    digestOnly: table['pull-from-mirror'] === 'digest-only',
  };
}

/** `registries` of `podman info --format json`, whose keys are prefixes (and `search`). */
export function parsePodmanRegistries(source: string, registries: unknown): RegistryEntry[] {
  return Object.entries(tableOf(registries)).flatMap(([prefix, value]) => {
    const { Mirrors: mirrors, MirrorByDigestOnly: digestOnly } = tableOf(value);
    if (Array.isArray(value)) return [];
    const list = (Array.isArray(mirrors) ? (mirrors as unknown[]) : []).map((one) => {
      const { Location: location, Insecure: insecure, PullFromMirror: from } = tableOf(one);
      return {
        location: typeof location === 'string' ? location : '',
        insecure: insecure === true,
        digestOnly: from === 'digest-only',
      };
    });
    return [{ prefix, mirrors: list, digestOnly: digestOnly === true, source }];
  });
}

/** The registry's host in a prefix. */
export function hostOfPrefix(prefix: string): string {
  return prefix.split('/')[0]!;
}

/** What one entry means for pulls of its prefix. */
export type EntryLook =
  | { readonly state: 'pointed'; readonly seen: string }
  | { readonly state: 'elsewhere'; readonly seen: string }
  | { readonly state: 'broken'; readonly seen: string; readonly problem: Problem };

export function judgeEntry(entry: RegistryEntry, faces: MirrorFaces): EntryLook {
  const { prefix, mirrors, source } = entry;
  const names = mirrors.map(({ location }) => location).join(', ');
  for (const mirror of mirrors) {
    const named = parseMirror(mirror.location, mirror.insecure ? 'http' : 'https');
    // A port in the path cannot be parsed as a name: looked at by what comes before.
    const face = named && faces.find(named.address);
    if (!named || !face) continue;
    const around = `podman’s pulls of ${prefix} go there directly`;
    const broken = (seen: string, meaning: string, todo: string): EntryLook => {
      return { state: 'broken', seen, problem: { seen: `${source}, ${prefix}: ${seen}`, meaning, todo } };
    };
    if (!mirror.insecure && !face.tls) {
      const seen = `the mirror ${mirror.location} is without insecure = true, and speaks plain HTTP`;
      return broken(
        seen,
        `the mirror is asked by TLS in vain: ${around}`,
        `add insecure = true to that [[registry.mirror]] in ${source}`,
      );
    }
    const host = hostOfPrefix(prefix);
    const rest = prefix.slice(host.length + 1);
    const [first = '', ...others] = named.path.split('/');
    if (/:\d+$/.test(first)) {
      const todo = `give ${host} an address of its own (proxy.listeners: [{ listen: 127.0.0.1:65004, upstream: "${host}" }]), and name that as location`;
      return broken(`${mirror.location} has a port in its path, which no image name can have`, around, todo);
    }
    const prefixed = isHostComponent(first);
    const asked = prefixed ? canonicalHost(first) : face.upstream;
    const askedRest = prefixed ? others.join('/') : named.path;
    const right = face.upstream === canonicalHost(host) ? hostPort(face) : `${hostPort(face)}/${prefix}`;
    if (asked !== canonicalHost(host) || askedRest !== rest) {
      const seen = `by ${mirror.location} the mirror is asked for ${asked}${askedRest === '' ? '' : `/${askedRest}`} instead`;
      return broken(
        seen,
        `the mirror is asked for other images, or has none: ${around}`,
        `write location = "${right}" in ${source}`,
      );
    }
    if (face.bound && face.upstream !== canonicalHost(host)) {
      return broken(
        `${mirror.location} serves ${face.upstream} only`,
        around,
        `write location = "${hostPort(faces.faces[0]!)}/${prefix}" in ${source}`,
      );
    }
    if (mirror.digestOnly || entry.digestOnly) {
      const seen = `the mirror ${mirror.location} is asked for digests only`;
      return broken(
        seen,
        `tags of ${prefix} are read at the registry itself`,
        `take mirror-by-digest-only (pull-from-mirror) out of ${source}`,
      );
    }
    return { state: 'pointed', seen: `${prefix} by ${mirror.location} (${source})` };
  }
  return { state: 'elsewhere', seen: `${prefix}: ${names === '' ? 'no mirror' : names} (${source})` };
}
