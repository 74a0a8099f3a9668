import { parseDigest, type Digest } from '../base/digest.ts';
import { withoutUserinfo } from '../base/userinfo.ts';
import { isHostComponent, isHostLike, isRepositoryName, isTag } from '../registry/reference.ts';
import { DigestInvalid, NameInvalid, NamespaceInvalid, PathUnknown, TagInvalid, UrlTooLong } from './errors.ts';

/** The longest URL in characters; continuation tokens of tag lists are the longest that registries make. */
export const MAX_URL_LENGTH = 8192;

/** Longest host and name together (OCI distribution spec, "Pulling manifests"). */
const MAX_NAME_LENGTH = 255;

/** What the path is for. A digest of an algorithm that is not known here is passed through (`through`), never kept. */
export type Target =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'manifest'; readonly reference: { readonly tag: string } | { readonly digest: Digest } }
  | { readonly kind: 'blob'; readonly digest: Digest }
  /** Another read: `rest` follows the name, as in `tags/list`. */
  | { readonly kind: 'through'; readonly rest: string };

/** A request as its URL spells it; which registry it means is for `namespace.ts` to say. */
export interface RequestPath {
  readonly target: Target;
  /** The components of the name; the first may be a registry's host. Empty for `base` and `catalog`. */
  readonly name: readonly string[];
  /** The host in front of `/v2/`: docker's mirrors with a path, containerd without `override_path`. */
  readonly outerHost: string | undefined;
  /** `?ns=`, as containerd's resolver sends it. */
  readonly ns: string | undefined;
  /** The rest of the query, as it came, without `ns`. */
  readonly query: string;
}

/** Any digest that the OCI image spec's grammar allows, of whatever algorithm. */
const ANY_DIGEST = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;
/** Components behind a name that begin at one with an underscore (OCI distribution spec, extensions). */
const EXTENSION_COMPONENT = /^_?[A-Za-z0-9]+(?:[._:-][A-Za-z0-9]+)*$/;

/**
 * Parses the raw target of a request line: nothing has decoded or normalised it, and nothing redirects (Go clients follow a
 * redirect, but lose their method or credentials on the way). Names may contain `blobs`, `manifests` and `tags`, so it is
 * read from the right. Throws the coded errors of bad requests.
 */
export function parseRequestPath(url: string): RequestPath {
  if (url.length > MAX_URL_LENGTH) throw new UrlTooLong({ length: url.length, most: MAX_URL_LENGTH });
  // Absolute form, as sent to a forward proxy, must be understood too (RFC 9112, section 3.2.2).
  const target = url.replace(/^https?:\/\/[^/?#]*/i, '');
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const { ns, query } = parseQuery(mark < 0 ? '' : target.slice(mark + 1));
  const [root, ...segments] = path.split('/').map(decodeSegment);
  if (root !== '') throw new PathUnknown({ seen: seen(path) });
  if (segments[0] === 'v2') return { ...parseApiPath(segments.slice(1), path), outerHost: undefined, ns, query };
  if (segments[1] === 'v2' && isHostComponent(segments[0]!)) {
    return { ...parseApiPath(segments.slice(2), path), outerHost: segments[0]!, ns, query };
  }
  throw new PathUnknown({ seen: seen(path) });
}

/** Clients may escape `:` in digests, and the brackets of IPv6 hosts; no other escape can stand for anything legal. */
function decodeSegment(segment: string): string {
  if (!segment.includes('%')) return segment;
  return segment.replaceAll(/%3a/gi, ':').replaceAll(/%5b/gi, '[').replaceAll(/%5d/gi, ']');
}

function parseApiPath(segments: readonly string[], path: string): Pick<RequestPath, 'target' | 'name'> {
  if (segments.length === 0 || (segments.length === 1 && segments[0] === ''))
    return { target: { kind: 'base' }, name: [] };
  if (segments.length === 1 && segments[0] === '_catalog') return { target: { kind: 'catalog' }, name: [] };
  const { length, target } = parseTarget(segments, path);
  const name = segments.slice(0, length);
  const [first, ...rest] = name;
  const plain = rest.length > 0 && isHostComponent(first!) ? rest.join('/') : name.join('/');
  if (name.join('/').length > MAX_NAME_LENGTH || !isRepositoryName(plain)) throw new NameInvalid({ seen: seen(path) });
  return { name, target };
}

/** The target at the right end, and how many segments before it make the name. */
function parseTarget(segments: readonly string[], path: string): { length: number; target: Target } {
  const last = segments.at(-1)!;
  const verb = segments.at(-2);
  const length = segments.length - 2;
  if (verb === 'manifests') return { length, target: parseManifest(last) };
  if (verb === 'blobs') return { length, target: parseBlob(last) };
  if (verb === 'tags' && last === 'list') return { length, target: { kind: 'through', rest: 'tags/list' } };
  if (verb === 'referrers') return { length, target: { kind: 'through', rest: `referrers/${anyDigest(last)}` } };
  const extension = segments.findIndex((segment, index) => index > 0 && segment.startsWith('_'));
  const rest = segments.slice(extension);
  if (extension > 0 && rest.every((segment) => EXTENSION_COMPONENT.test(segment))) {
    return { length: extension, target: { kind: 'through', rest: rest.join('/') } };
  }
  if (isRepositoryName(segments.join('/'))) throw new PathUnknown({ seen: seen(path) });
  throw new NameInvalid({ seen: seen(path) });
}

function parseManifest(text: string): Target {
  if (!text.includes(':')) {
    if (!isTag(text)) throw new TagInvalid({ seen: seen(text) });
    return { kind: 'manifest', reference: { tag: text } };
  }
  const digest = parseDigest(anyDigest(text));
  return digest ? { kind: 'manifest', reference: { digest } } : { kind: 'through', rest: `manifests/${text}` };
}

function parseBlob(text: string): Target {
  const digest = parseDigest(anyDigest(text));
  return digest ? { kind: 'blob', digest } : { kind: 'through', rest: `blobs/${text}` };
}

/** A digest of any algorithm; of those known here it must be a right one. */
function anyDigest(text: string): string {
  const known = /^sha(?:256|512):/.test(text);
  if (known ? !parseDigest(text) : !ANY_DIGEST.test(text)) throw new DigestInvalid({ seen: seen(text) });
  return text;
}

function parseQuery(query: string): { ns: string | undefined; query: string } {
  let ns: string | undefined;
  const others: string[] = [];
  for (const pair of query.split('&')) {
    if (!/^ns(?:=|$)/.test(pair)) {
      others.push(pair);
      continue;
    }
    const value = decodeValue(pair.slice(3));
    if (ns !== undefined || value === undefined || !isHostLike(value)) throw new NamespaceInvalid({ seen: seen(pair) });
    ns = value;
  }
  return { ns, query: others.filter((pair) => pair !== '').join('&') };
}

function decodeValue(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** As much of what a client sent as an error shows. */
function seen(text: string): string {
  // Whoever writes a password before a registry's host sees it nowhere again.
  const shown = withoutUserinfo(text);
  return JSON.stringify(shown.length > 200 ? `${shown.slice(0, 200)}…` : shown);
}
