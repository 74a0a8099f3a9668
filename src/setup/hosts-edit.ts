import { isDeepStrictEqual } from 'node:util';
import { readToml, tableOf } from '../doctor/toml.ts';

/** One `[host."URL"]` of a hosts.toml. */
const HOST_TABLE = /^[ \t]*\[[ \t]*(?:host|"host"|'host')[ \t]*[.\]]/;
const CAPABILITIES = ['pull', 'resolve'];

/** The mirror as a hosts.toml names it. */
export interface HostMirror {
  readonly url: string;
  /** A file with certificates to trust there. */
  readonly ca?: string | undefined;
}

/**
 * A new hosts.toml (containerd, docs/hosts.md): the mirror first, the registry itself where the mirror does not answer. `server`
 * is left out for all registries at once, each of which then falls back to itself.
 */
export function newHostsToml(mirror: HostMirror, fallback: { url: string; ca?: string } | undefined): string {
  const lines = [
    '# Pulls go to this node’s Hawker first, and to the registry itself where that does not answer.',
    ...(fallback ? [`server = ${quoted(fallback.url)}`] : []),
    ...(fallback?.ca === undefined ? [] : [`ca = ${quoted(fallback.ca)}`]),
    ...(fallback ? [''] : []),
    hostTable(mirror),
  ];
  return `${lines.join('\n')}\n`;
}

/** The lines for the mirror, without the last line break. Without capabilities containerd would push to it, too. */
export function hostTable({ url, ca }: HostMirror): string {
  const trust = ca === undefined ? '' : `\n  ca = ${quoted(ca)}`;
  return `[host.${quoted(url)}]\n  capabilities = ["pull", "resolve"]${trust}`;
}

/**
 * The mirror in front of the hosts that a hosts.toml names, which are asked in the order of its lines; everything else stays
 * as it is written. Undefined where the file is written in a form into which no table can be put. `text` must be valid.
 */
export function insertHost(text: string, mirror: HostMirror): string | undefined {
  const eol = text.includes('\r\n') ? '\r\n' : '\n';
  const block = hostTable(mirror).split('\n');
  const lines = text.split(eol);
  let at = lines.findIndex((line) => HOST_TABLE.test(line));
  if (at === -1) {
    // At the end, behind a blank line.
    while (lines.length > 0 && lines.at(-1)!.trim() === '') lines.pop();
    lines.push(...(lines.length > 0 ? [''] : []), ...block, '');
  } else {
    // What is said of the first host stays above it.
    while (at > 0 && /^[ \t]*#/.test(lines[at - 1]!)) at -= 1;
    lines.splice(at, 0, ...block, '');
  }
  const edited = lines.join(eol);
  return isRight(text, edited, mirror) ? edited : undefined;
}

/** The mirror has come in front, and nothing else has changed. */
function isRight(before: string, after: string, { url, ca }: HostMirror): boolean {
  const [old, now] = [readToml(before), readToml(after)];
  if (!('table' in old) || !('table' in now)) return false;
  const { host: oldHosts, ...oldRest } = old.table;
  const { host: nowHosts, ...nowRest } = now.table;
  const entries = Object.entries(tableOf(nowHosts));
  const expected = [
    [url, { capabilities: CAPABILITIES, ...(ca !== undefined && { ca }) }],
    ...Object.entries(tableOf(oldHosts)),
  ];
  return isDeepStrictEqual(plain(entries), plain(expected)) && isDeepStrictEqual(plain(nowRest), plain(oldRest));
}

/** Tables of the parser have no prototype; dates and large numbers come out as texts that differ where they do. */
export function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? String(one) : one)),
  ) as unknown;
}

/** A basic string of TOML, whose escapes are those of JSON. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}
