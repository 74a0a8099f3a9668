import { isDeepStrictEqual } from 'node:util';
import { isMap, isScalar, isSeq, parseDocument, Scalar, YAMLMap, YAMLSeq, type Document } from 'yaml';

/** What puts the mirror in front of one registry's endpoints in registries.yaml. */
export interface EndpointWish {
  readonly registry: string;
  readonly url: string;
  /** Whether an endpoint that is there is the mirror already. */
  readonly isOurs: (endpoint: string) => boolean;
}

/** Why a document has no place for an endpoint: what stands in the way. */
export class NoPlace extends Error {}

/**
 * The mirror in front of the endpoints of each registry (k3s, registries.yaml); undefined where it is there. Lines are put in,
 * and nothing else changes; only what is written in one line (`{ … }`, `[ … ]`) is written anew by the YAML library, which keeps
 * comments. Throws `NoPlace`. `text` must be one valid document.
 */
export function putEndpoints(text: string, wishes: readonly EndpointWish[]): string | undefined {
  let edited = text;
  for (const wish of wishes) edited = putEndpoint(edited, wish);
  return edited === text ? undefined : edited;
}

/**
 * The file with the authorities of a host (`configs`); undefined where it is named there. Throws `NoPlace` where another is.
 */
export function putAuthority(text: string, host: string, file: string): string | undefined {
  const document = parseDocument(text);
  const root = mapOrNothing(document.contents, 'it');
  const configs = mapOrNothing(root?.get('configs', true), 'configs');
  const config = mapOrNothing(configs?.get(host, true), `configs."${host}"`);
  const tls = mapOrNothing(config?.get('tls', true), `configs."${host}".tls`);
  const there: unknown = tls?.get('ca_file');
  if (there === file) return undefined;
  if (there !== undefined) throw new NoPlace(`configs."${host}".tls names another ca_file`);
  const hasConfigs = root?.has('configs') === true;
  document.setIn(['configs', host, 'tls', 'ca_file'], quotedScalar(file));
  const expected: unknown = document.toJS();
  if (!hasConfigs && root?.flow !== true) {
    const eol = text.includes('\r\n') ? '\r\n' : '\n';
    const lines = ['configs:', `  "${host}":`, '    tls:', `      ca_file: "${file}"`];
    const byLines = insert(text, text.length, lines, eol);
    if (isDeepStrictEqual(valueOf(byLines), expected)) return byLines;
  }
  return document.toString({ lineWidth: 0 });
}

/** The file with the authorities of a host taken out again; undefined where it is not named there. Throws `NoPlace`. */
export function dropAuthority(text: string, host: string, file: string): string | undefined {
  const document = parseDocument(text);
  const path = ['configs', host, 'tls', 'ca_file'];
  if (document.getIn(path) !== file) return undefined;
  // With whatever stood there for its sake alone.
  let length = path.length;
  while (length > 1) {
    const outer: unknown = document.getIn(path.slice(0, length - 1));
    if (!isMap(outer) || outer.items.length > 1) break;
    length -= 1;
  }
  const holder: unknown = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1));
  const key = isMap(holder)
    ? holder.items.find((item) => isScalar(item.key) && item.key.value === path[length - 1])?.key
    : undefined;
  const [from, to] = [rangeOf(key)?.[0], rangeOf(document.getIn(path, true))?.[1]];
  document.deleteIn(path.slice(0, length));
  const expected: unknown = document.toJS();
  if (from !== undefined && to !== undefined) {
    const end = text.indexOf('\n', to);
    const byLines = text.slice(0, lineStart(text, from)) + (end === -1 ? '' : text.slice(end + 1));
    if (isDeepStrictEqual(valueOf(byLines) ?? {}, expected)) return byLines;
  }
  return document.toString({ lineWidth: 0 });
}

function putEndpoint(text: string, wish: EndpointWish): string {
  const document = parseDocument(text);
  const at = placeOf(document, wish.registry);
  if (at.endpoints?.items.some((item) => isScalar(item) && typeof item.value === 'string' && wish.isOurs(item.value))) {
    return text;
  }
  const byLines = insertLines(text, wish, at);
  put(document, wish, at);
  const expected: unknown = document.toJS();
  if (byLines !== undefined && isDeepStrictEqual(valueOf(byLines), expected)) return byLines;
  return document.toString({ lineWidth: 0 });
}

function valueOf(text: string): unknown {
  const document = parseDocument(text);
  return document.errors.length > 0 ? undefined : document.toJS();
}

/** The parts of the document on the way to a registry's endpoints, as far as they are there. */
interface Place {
  readonly root: YAMLMap | undefined;
  readonly mirrors: YAMLMap | undefined;
  readonly entry: YAMLMap | undefined;
  readonly endpoints: YAMLSeq | undefined;
}

function placeOf({ contents }: Document, registry: string): Place {
  const root = mapOrNothing(contents, 'it');
  const mirrors = mapOrNothing(root?.get('mirrors', true), 'mirrors');
  const entry = mapOrNothing(mirrors?.get(registry, true), `mirrors."${registry}"`);
  const endpoints: unknown = entry?.get('endpoint', true);
  if (isNothing(endpoints)) return { root, mirrors, entry, endpoints: undefined };
  if (!isSeq(endpoints)) throw new NoPlace(`mirrors."${registry}".endpoint is no list`);
  return { root, mirrors, entry, endpoints };
}

function mapOrNothing(node: unknown, what: string): YAMLMap | undefined {
  if (isNothing(node)) return undefined;
  if (isMap(node)) return node;
  // An alias stands for another registry's entry, too.
  throw new NoPlace(`${what} is no map of its own`);
}

function isNothing(node: unknown): boolean {
  return node === undefined || node === null || (isScalar(node) && node.value === null);
}

/** By the library: everything that is missing is made. */
function put(document: Document, { registry, url }: EndpointWish, { root, mirrors, entry, endpoints }: Place): void {
  const first = quotedScalar(url);
  if (endpoints) {
    endpoints.items.unshift(first);
    return;
  }
  const list = new YAMLSeq();
  list.add(first);
  if (entry) {
    entry.set('endpoint', list);
    return;
  }
  const made = new YAMLMap();
  made.set('endpoint', list);
  if (mirrors) {
    mirrors.set(quotedScalar(registry), made);
    return;
  }
  const all = new YAMLMap();
  all.set(quotedScalar(registry), made);
  if (root) root.set('mirrors', all);
  else {
    document.contents = new YAMLMap();
    (document.contents as YAMLMap).set('mirrors', all);
  }
}

function quotedScalar(text: string): Scalar<string> {
  const scalar = new Scalar(text);
  scalar.type = Scalar.QUOTE_DOUBLE;
  return scalar;
}

/** By lines, where what is around them is written in blocks; undefined where it is not. */
function insertLines(text: string, { registry, url }: EndpointWish, place: Place): string | undefined {
  const eol = text.includes('\r\n') ? '\r\n' : '\n';
  const { root, mirrors, entry, endpoints } = place;
  const entryLines = (indent: string) => [`${indent}"${registry}":`, `${indent}  endpoint:`, `${indent}    - "${url}"`];
  if (endpoints) {
    const start = endpoints.flow === true ? undefined : rangeOf(endpoints.items[0])?.[0];
    if (start === undefined) return undefined;
    const from = lineStart(text, start);
    const dash = /^[ ]*- +/.exec(text.slice(from, start));
    return dash ? insert(text, from, [`${dash[0]}"${url}"`], eol) : undefined;
  }
  if (entry) {
    const last = endOfBlock(text, entry);
    return last && insert(text, last.at, [`${last.indent}endpoint:`, `${last.indent}  - "${url}"`], eol);
  }
  if (mirrors) {
    const last = endOfBlock(text, mirrors);
    return last && insert(text, last.at, entryLines(last.indent), eol);
  }
  if (root?.has('mirrors')) return undefined;
  if (root?.flow === true) return undefined;
  return insert(text, text.length, ['mirrors:', ...entryLines('  ')], eol);
}

/** Behind the last line of a map in blocks, and the indentation of its keys. */
function endOfBlock(text: string, map: YAMLMap): { at: number; indent: string } | undefined {
  if (map.flow === true) return undefined;
  const keyStart = rangeOf(map.items[0]?.key)?.[0];
  const end = rangeOf(map.items.at(-1)?.value)?.[1];
  if (keyStart === undefined || end === undefined) return undefined;
  const indent = text.slice(lineStart(text, keyStart), keyStart);
  if (!/^ *$/.test(indent)) return undefined;
  const next = text.indexOf('\n', Math.max(0, end - 1));
  return { at: next === -1 ? text.length : next + 1, indent };
}

function insert(text: string, at: number, lines: readonly string[], eol: string): string {
  const before = text.slice(0, at);
  const joint = before === '' || before.endsWith('\n') ? '' : eol;
  return `${before}${joint}${lines.join(eol)}${eol}${text.slice(at)}`;
}

function lineStart(text: string, at: number): number {
  return text.lastIndexOf('\n', at - 1) + 1;
}

function rangeOf(node: unknown): readonly [number, number, number] | undefined {
  return (node as { range?: [number, number, number] | null } | null | undefined)?.range ?? undefined;
}
