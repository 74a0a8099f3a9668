import { isDeepStrictEqual } from 'node:util';
import { readToml, tableAt, tableOf } from '../doctor/toml.ts';
import { plain, quoted } from './hosts-edit.ts';

/** Whose authorities: those of the host with that URL, as the file writes it; undefined: of `server`, above all tables. */
export type Whose = string | undefined;

const TABLE = /^[ \t]*\[/;
const SERVER = /^[ \t]*(?:server|"server"|'server')[ \t]*=/;
/** What stands before the value; one text, or how a list begins; the rest. */
const CA = /^([ \t]*(?:ca|"ca"|'ca')[ \t]*=[ \t]*)("(?:[^"\\]|\\.)*"|'[^']*'|\[[ \t]*\]|\[)[ \t]*(.*)$/;

/**
 * A hosts.toml with the file `ca` among those whose authorities are trusted at a host (containerd, docs/hosts.md: one, or a list,
 * beside those of the system). Everything else stays as it is written, other authorities too. The same text where it is among
 * them; undefined where the file is written in a form into which it cannot be put. `text` must be valid.
 */
export function putAuthority(text: string, whose: Whose, ca: string): string | undefined {
  const there = authoritiesOf(text, whose);
  if (there?.includes(ca) === true) return text;
  return there && rewritten(text, whose, [...there, ca], (lines, from) => [withAuthority(lines, from, { whose, ca })]);
}

/** A hosts.toml without the file `ca` among those of a host; else as `putAuthority`. */
export function dropAuthority(text: string, whose: Whose, ca: string): string | undefined {
  const there = authoritiesOf(text, whose);
  if (there?.includes(ca) === false) return text;
  const left = there?.filter((one) => one !== ca);
  return left && rewritten(text, whose, left, (lines, from) => withoutAuthority(lines, from, ca));
}

/** Undefined: `ca` is no text and no list of texts. */
function authoritiesOf(text: string, whose: Whose): string[] | undefined {
  const { ca = [] } = ownTable(text, whose);
  const all: unknown[] = Array.isArray(ca) ? ca : [ca];
  return all.every((one) => typeof one === 'string') ? all : undefined;
}

function ownTable(text: string, whose: Whose): Record<string, unknown> {
  const read = readToml(text);
  if (!('table' in read)) return {};
  return { ...(whose === undefined ? read.table : tableAt(read.table, 'host', whose)) };
}

/** The first of the texts that are tried in which those are the authorities, and all else is as it was. */
function rewritten(
  text: string,
  whose: Whose,
  wanted: readonly string[],
  tries: (lines: readonly string[], from: number) => (readonly string[] | undefined)[],
): string | undefined {
  const eol = text.includes('\r\n') ? '\r\n' : '\n';
  const lines = text.split(eol);
  for (const from of beginnings(lines, whose)) {
    for (const tried of tries(lines, from)) {
      const after = tried?.join(eol);
      if (after === undefined || !isDeepStrictEqual(authoritiesOf(after, whose)?.toSorted(), wanted.toSorted()))
        continue;
      if (isDeepStrictEqual(rest(after, whose), rest(text, whose))) return after;
    }
  }
  return undefined;
}

/** All but the authorities. */
function rest(text: string, whose: Whose): unknown {
  const read = readToml(text);
  if (!('table' in read)) return undefined;
  if (whose === undefined) return plain({ ...read.table, ca: undefined });
  const { [whose]: own, ...others } = tableOf(read.table['host']);
  return plain({ ...read.table, host: { ...others, [whose]: { ...tableOf(own), ca: undefined } } });
}

/** The lines behind which the keys stand: the header of the host's table, in whatever quotes. One may lie within a text. */
function beginnings(lines: readonly string[], whose: Whose): number[] {
  if (whose === undefined) return [0];
  return lines.flatMap((line, i) => {
    if (!TABLE.test(line)) return [];
    const own = tableOf(ownTable(line, undefined)['host'])[whose];
    return own !== undefined && Object.keys(tableOf(own)).length === 0 ? [i + 1] : [];
  });
}

/** Where the next table begins. */
function endOf(lines: readonly string[], from: number): number {
  const length = lines.slice(from).findIndex((line) => TABLE.test(line));
  return length === -1 ? lines.length : from + length;
}

function lineOf(lines: readonly string[], from: number, what: RegExp): number | undefined {
  const at = lines.slice(from, endOf(lines, from)).findIndex((line) => what.test(line));
  return at === -1 ? undefined : from + at;
}

function withAuthority(lines: readonly string[], from: number, { whose, ca }: { whose: Whose; ca: string }): string[] {
  const at = lineOf(lines, from, CA);
  if (at !== undefined) {
    const [, key = '', value = '', behind = ''] = CA.exec(lines[at]!)!;
    const list = value === '[' ? `[${quoted(ca)},` : `[${value.startsWith('[') ? '' : `${value}, `}${quoted(ca)}]`;
    return lines.with(at, `${key}${list}${behind === '' ? '' : ` ${behind}`}`);
  }
  if (whose === undefined) return lines.toSpliced((lineOf(lines, from, SERVER) ?? -1) + 1, 0, `ca = ${quoted(ca)}`);
  // Behind the keys that take a line each; what comes after them may take several.
  let end = from;
  while (end < lines.length && !TABLE.test(lines[end]!) && Object.keys(ownTable(lines[end]!, undefined)).length > 0)
    end += 1;
  const indent = /^[ \t]*/.exec(lines[end - 1]!)![0] + (end === from ? '  ' : '');
  return lines.toSpliced(end, 0, `${indent}ca = ${quoted(ca)}`);
}

/** The line itself, a line of a list, a part of a line, by what is there. */
function withoutAuthority(lines: readonly string[], from: number, ca: string): (string[] | undefined)[] {
  const at = lineOf(lines, from, CA);
  if (at === undefined) return [];
  const written = [quoted(ca), `'${ca}'`];
  const line = lines.findIndex((one, i) => i >= at && written.some((it) => one.includes(it)));
  if (line === -1) return [lines.toSpliced(at, 1)];
  const parts = written.flatMap((it) => [`${it}, `, `${it},`, `, ${it}`, `,${it}`, it]);
  return [
    lines.toSpliced(line, 1),
    ...parts.map((part) =>
      lines.with(
        line,
        lines[line]!.replace(part, () => ''),
      ),
    ),
  ];
}
