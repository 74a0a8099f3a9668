import { dirname, resolve } from 'node:path';
import { codeOf } from '../base/errors.ts';
import { readUpTo } from '../base/read-up-to.ts';
import { check, type PlaceOf } from './check.ts';
import { ConfigInvalid, ConfigSyntax, ConfigUnknownKey, ConfigUnreadable } from './errors.ts';
import { defaultSettings } from './defaults.ts';
import type { Settings, WrittenSettings } from './schema.ts';
import { dotted, ROOT, SETTINGS, type SchemaNode, type Setting } from './settings.ts';
import { nearest } from './suggest.ts';
import { parseYaml, type Path } from './yaml.ts';

/** What one source says: checked, its paths absolute. A later layer goes before an earlier one, setting by setting. */
interface Layer {
  readonly value: Tree;
  /** Keys of `upstreams` that it sets to `false`: taken off what the layers below allow. */
  readonly removed: readonly string[];
  readonly placeOf: PlaceOf;
}

interface Tree {
  [key: string]: unknown;
}

/** All layers in one, and where each setting was made. */
export interface Merged {
  readonly settings: Settings;
  readonly placeOf: (path: Path) => string;
}

/** A configuration is a few KiB; this keeps a wrong path (a log, a disk image) from being read whole. */
const MAX_FILE_BYTES = 256 * 1024;
/** As a key with `false`: takes the whole built-in list off. */
const EVERY_UPSTREAM = '*';
/** What Kubernetes sets in every pod for a Service called `hawker` or `hawker-…` (its Docker-links variables): not ours. */
const SERVICE_LINK = /^HAWKER(_\w+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

/** A list as YAML or JSON: no list with commas looks like this, since an address ends with its port. */
const BRACKETED = /^\s*\[[^]*\]\s*$/;

/** Reads a file. Throws CONFIG_UNREADABLE, CONFIG_SYNTAX, CONFIG_UNKNOWN_KEY, CONFIG_INVALID. */
export async function fileLayer(file: string, directory: string): Promise<Layer> {
  const path = resolve(directory, file);
  const text = await readText(path, file);
  const { value, placeOf } = parseYaml(text, file);
  return layer(value, placeOf, dirname(path));
}

/** One layer for each `HAWKER_*` variable that is set; an empty one counts as not set. */
export function variableLayers(environment: Readonly<Record<string, string | undefined>>, directory: string): Layer[] {
  return Object.entries(environment)
    .filter(
      ([name, text]) => name.startsWith('HAWKER_') && !SERVICE_LINK.test(name) && text !== undefined && text !== '',
    )
    .map(([name, text]) => {
      const setting = SETTINGS.find((s) => s.variable === name);
      if (!setting) throw unknownVariable(name);
      return settingLayer(setting, text!, name, directory);
    });
}

/** One layer for each flag that was given; the keys of `flags` are without dashes. */
export function flagLayers(flags: Readonly<Record<string, string>>, directory: string): Layer[] {
  return SETTINGS.flatMap((setting) => {
    const text = setting.flag === undefined ? undefined : flags[setting.flag];
    return text === undefined ? [] : [settingLayer(setting, text, `--${setting.flag}`, directory)];
  });
}

/** Puts layers over the defaults: maps key by key, everything else whole. Throws CONFIG_INVALID. */
export function mergeLayers(layers: readonly Layer[]): Merged {
  const settings = defaultSettings() as unknown as Tree;
  for (const each of layers) {
    for (const key of each.removed) removeUpstream(settings['upstreams'] as Tree, key, each.placeOf);
    merge(settings, each.value);
  }
  return {
    settings: settings as unknown as Settings,
    placeOf: (path) => layers.findLast(({ value }) => has(value, path))?.placeOf(path, 'value') ?? 'the default',
  };
}

/** The defaults with one layer over them, which is none of the operator's. Throws CONFIG_UNKNOWN_KEY, CONFIG_INVALID. */
export function settingsOf(written: WrittenSettings): Settings {
  return mergeLayers([layer(structuredClone(written), (path) => `what is set for ${dotted(path)}`, '/')]).settings;
}

function settingLayer(setting: Setting, text: string, name: string, directory: string): Layer {
  const isYaml = setting.kind === 'tree' || (setting.kind === 'texts' && BRACKETED.test(text));
  const parsed = isYaml ? parseYaml(text, name) : undefined;
  const plain = setting.kind === 'texts' ? splitList(text) : text;
  const value = setting.path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), parsed ? parsed.value : plain);
  const placeOf: PlaceOf = (path, part) => parsed?.placeOf(path.slice(setting.path.length), part) ?? name;
  return layer(value, placeOf, directory);
}

function splitList(text: string): string[] {
  return text.trim() === '' ? [] : text.split(',').map((item) => item.trim());
}

function layer(value: unknown, placeOf: PlaceOf, directory: string): Layer {
  const removed = takeRemoved(value);
  check(value, placeOf);
  return { value: absolutePaths(value, ROOT, directory) as Tree, removed, placeOf };
}

function takeRemoved(value: unknown): string[] {
  const upstreams = isTree(value) ? value['upstreams'] : undefined;
  if (!isTree(upstreams)) return [];
  const removed = Object.keys(upstreams).filter((key) => upstreams[key] === false);
  for (const key of removed) delete upstreams[key];
  return removed;
}

function removeUpstream(upstreams: Tree, key: string, placeOf: PlaceOf): void {
  const keys = key === EVERY_UPSTREAM ? Object.keys(upstreams) : Object.keys(upstreams).filter((k) => k === key);
  if (keys.length === 0) {
    throw new ConfigInvalid({
      key: `upstreams.${key}`,
      place: placeOf(['upstreams'], 'value'),
      why: 'is false, but no such entry is on the list',
      allowed: `false for one of ${Object.keys(upstreams).join(', ')}, or for "*" (all of them)`,
    });
  }
  for (const k of keys) delete upstreams[k];
}

function merge(into: Tree, from: Tree): void {
  for (const [key, value] of Object.entries(from)) {
    const below = into[key];
    if (isTree(below) && isTree(value)) merge(below, value);
    else into[key] = value;
  }
}

/** Relative paths in a file are taken from the file's directory, others from the working directory. Empty ones stay empty. */
function absolutePaths(value: unknown, node: SchemaNode, directory: string): unknown {
  if (typeof value === 'string') return node.format === 'path' && value !== '' ? resolve(directory, value) : value;
  if (Array.isArray(value) && node.items) return value.map((item) => absolutePaths(item, node.items!, directory));
  if (!isTree(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const child = node.properties?.[key] ?? node.additionalProperties;
      return [key, child ? absolutePaths(inner, child, directory) : inner];
    }),
  );
}

async function readText(path: string, file: string): Promise<string> {
  const bytes = await readUpTo(path, MAX_FILE_BYTES).catch((cause: unknown) => {
    throw new ConfigUnreadable({ place: file, why: whyUnreadable(codeOf(cause)) });
  });
  if (!bytes)
    throw new ConfigUnreadable({ place: file, why: `it is larger than ${MAX_FILE_BYTES} bytes` });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ConfigSyntax({ place: file, why: 'it is not UTF-8 text' });
  }
}

function whyUnreadable(code: string): string {
  const known: Record<string, string> = {
    ENOENT: 'there is no such file',
    EISDIR: 'it is a directory',
    EACCES: 'permission denied',
  };
  return known[code] ?? code;
}

function unknownVariable(name: string) {
  const variables = SETTINGS.map((s) => s.variable);
  const meant = nearest(name, variables);
  const todo = `${meant === undefined ? '' : `did you mean ${meant}? `}allowed: ${variables.join(', ')}`;
  return new ConfigUnknownKey({ key: name, place: 'environment', todo });
}

function has(value: unknown, path: Path): boolean {
  let here = value;
  for (const step of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, step)) return false;
    here = (here as Tree)[step];
  }
  return true;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
