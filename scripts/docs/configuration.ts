import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultSettings } from '../../src/config/defaults.ts';
import { dotted, ROOT, SETTINGS, type SchemaNode, type Setting } from '../../src/config/settings.ts';
import { anchorOf } from './commands.ts';
import { code, prose, tableOf } from './markdown.ts';
import { reloadedKeys } from './reloaded-keys.ts';
import { remarksOf, type Remark } from './shipped-file.ts';

/** The parts of docs/configuration.md: a list of all settings, one part for each section, and the built-in registries. */
export function configurationParts(root: string): Map<string, string> {
  const reloaded = reloadedKeys(root);
  const remarks = remarksOf(readFileSync(join(root, 'config/hawker.yaml'), 'utf8'));
  const sections = [...new Set(SETTINGS.map(({ path }) => path[0]!))];
  const rows = SETTINGS.map(({ key, default: value }) => [
    `[${code(key)}](#${anchorOf(key)})`,
    defaultOf(key, value),
    reloaded.has(key) ? 'SIGHUP' : 'restart',
  ]);
  return new Map([
    ['settings', tableOf(['key', 'default', 'a change needs'], rows)],
    ...sections.map((section) => {
      const settings = SETTINGS.filter(({ path }) => path[0] === section);
      const entries = settings.flatMap((setting, index) => [
        ...introOf(setting, settings[index - 1], remarks),
        entryOf(setting, remarks, reloaded),
      ]);
      return [section, entries.join('\n\n')] as const;
    }),
    ['registries', registries()],
  ]);
}

/** What is said of the settings that begin here together, as those of `proxy.tls`. */
function introOf({ path }: Setting, before: Setting | undefined, remarks: ReadonlyMap<string, Remark>): string[] {
  const parent = dotted(path.slice(0, -1));
  if (before && dotted(before.path.slice(0, -1)) === parent) return [];
  const text = remarks.get(parent)?.text ?? '';
  return text === '' ? [] : [`**${code(parent)}.** ${prose(text)}`];
}

function entryOf(setting: Setting, remarks: ReadonlyMap<string, Remark>, reloaded: ReadonlySet<string>): string {
  const { key, description, default: value, flag, variable, path } = setting;
  const node = nodeAt(path);
  const remark = remarks.get(key);
  const text = remark === undefined || remark.text === '' ? sentence(description) : remark.text;
  const facts = [
    ['default', defaultOf(key, value)],
    ['value', prose(node.allowed)],
    ['flag', flag === undefined ? 'none' : code(`--${flag}`)],
    ['variable', code(variable)],
    ['a change needs', reloaded.has(key) ? 'SIGHUP' : 'a restart'],
  ].map(([name, fact]) => `- ${name}: ${fact}`);
  const inner = membersOf(node);
  return [
    `### ${code(key)}`,
    prose(text),
    facts.join('\n'),
    ...(inner ? [inner] : []),
    ...(remark && remark.example !== '' ? [`\`\`\`yaml\n${remark.example}\`\`\``] : []),
  ].join('\n\n');
}

/** Of a list of maps, or a map of maps: what may stand in one of them. */
function membersOf(node: SchemaNode): string | undefined {
  const member = node.items ?? (node.additionalProperties || undefined);
  if (!member?.properties) return undefined;
  const rows = Object.entries(member.properties).map(([name, { description = '', allowed }]) => [
    code(name),
    prose(description),
    prose(allowed),
  ]);
  return tableOf(['in it', 'meaning', 'value'], rows);
}

function nodeAt(path: readonly string[]): SchemaNode {
  return path.reduce((node, name) => node.properties![name]!, ROOT);
}

/** `supernodes` and `upstreams` have theirs elsewhere than in the schema. */
function defaultOf(key: string, value: unknown): string {
  if (key === 'supernodes') return 'the one at `supernode.listen`';
  if (key === 'upstreams') return '[built-in](#built-in-registries)';
  return value === '' ? 'empty' : code(typeof value === 'string' ? value : JSON.stringify(value));
}

function registries(): string {
  return Object.keys(defaultSettings().upstreams).map(code).join(', ');
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
