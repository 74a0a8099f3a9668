import { isDeepStrictEqual } from 'node:util';
import { readToml, tableAt, tableOf, type Table } from '../doctor/toml.ts';
import { quoted } from './hosts-edit.ts';

/** The plugin that pulls for Kubernetes, by the version of a configuration file (containerd, docs/cri/config.md). */
const PLUGINS: Readonly<Record<number, string>> = {
  1: 'cri',
  2: 'io.containerd.grpc.v1.cri',
  3: 'io.containerd.cri.v1.images',
};
const NEWEST = 3;
const KEY = /^([ \t]*)(?:config_path|"config_path"|'config_path')[ \t]*=[ \t]*(?:""|'')(.*)$/;
const ANY_TABLE = /^[ \t]*\[/;

/** The plugin whose `registry` a file of this version has; a file without one is of version 1. */
export function criPlugin(version: number): string {
  return PLUGINS[Math.min(version, NEWEST)] ?? PLUGINS[1]!;
}

/** The version that a file says it is of. */
export function versionOf(table: Table): number {
  return typeof table['version'] === 'number' ? table['version'] : 1;
}

/** A new /etc/containerd/config.toml. Version 2 is what every containerd since 1.3 takes, 2.x too. */
export function newConfig(dir: string): string {
  return `version = 2\n\n${section(2, dir).join('\n')}\n`;
}

export function section(version: number, dir: string): string[] {
  const name = criPlugin(version);
  return [`[plugins.${/^\w+$/.test(name) ? name : quoted(name)}.registry]`, `  config_path = ${quoted(dir)}`];
}

/**
 * A configuration of containerd with `config_path` set for the part that pulls for Kubernetes; everything else stays as it is
 * written. Undefined where it is written in a form into which the line cannot be put. `text` must be valid.
 */
export function setConfigPath(text: string, version: number, dir: string): string | undefined {
  const eol = text.includes('\r\n') ? '\r\n' : '\n';
  const lines = text.split(eol);
  const header = headerOf(criPlugin(version));
  const at = lines.findIndex((line) => header.test(line));
  if (at === -1) {
    while (lines.length > 0 && lines.at(-1)!.trim() === '') lines.pop();
    lines.push(...(lines.length > 0 ? [''] : []), ...section(version, dir), '');
  } else {
    const next = lines.findIndex((line, index) => index > at && ANY_TABLE.test(line));
    const end = next === -1 ? lines.length : next;
    const empty = lines.findIndex((line, index) => index > at && index < end && KEY.test(line));
    const indent = /^[ \t]*/.exec(lines[at]!)![0];
    if (empty === -1) lines.splice(at + 1, 0, `${indent}  config_path = ${quoted(dir)}`);
    else
      lines[empty] = lines[empty]!.replace(
        KEY,
        (_, space: string, rest: string) => `${space}config_path = ${quoted(dir)}${rest}`,
      );
  }
  const edited = lines.join(eol);
  return isRight(text, edited, version, dir) ? edited : undefined;
}

/** `[plugins."NAME".registry]`, in each way of quoting. */
function headerOf(name: string): RegExp {
  const plain = name.replaceAll('.', String.raw`\.`);
  const bare = /^\w+$/.test(name) ? `|${plain}` : '';
  const part = (word: string) => `(?:${word}|"${word}"|'${word}')`;
  const gap = String.raw`[ \t]*\.[ \t]*`;
  return new RegExp(
    `^[ \\t]*\\[[ \\t]*${part('plugins')}${gap}(?:"${plain}"|'${plain}'${bare})${gap}${part('registry')}[ \\t]*\\][ \\t]*(?:#.*)?$`,
  );
}

/** The path is set, and nothing else has changed. */
function isRight(before: string, after: string, version: number, dir: string): boolean {
  const [old, now] = [readToml(before), readToml(after)];
  if (!('table' in old) || !('table' in now)) return false;
  const name = criPlugin(version);
  if (tableAt(now.table, 'plugins', name, 'registry')['config_path'] !== dir) return false;
  return isDeepStrictEqual(withoutPath(now.table, name), withoutPath(old.table, name));
}

/** Without the setting, and without the tables around it where they hold nothing else. */
function withoutPath(table: Table, name: string): unknown {
  const { plugins, ...rest } = table;
  const { [name]: plugin, ...others } = tableOf(plugins);
  const { registry, ...more } = tableOf(plugin);
  const { config_path: _, ...left } = tableOf(registry);
  return JSON.stringify([rest, others, more, left], (_key, one: unknown) =>
    typeof one === 'bigint' ? String(one) : one,
  );
}
