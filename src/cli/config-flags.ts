import { existsSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { usualConfigFile } from '../config/defaults.ts';
import type { ConfigSources } from '../config/load.ts';
import { SETTINGS, type Setting } from '../config/settings.ts';
import type { ProcessPort } from './process-port.ts';

/** What to write in the place of a flag's value, by the last word of its name. */
const VALUE_NAMES: Record<string, string> = {
  listen: 'host:port',
  upstream: 'host',
  tags: 'time',
  dir: 'path',
  quota: 'size',
  containerd: 'path',
  level: 'level',
  format: 'format',
  advertise: 'host:port,…',
  zone: 'name',
  limit: 'size',
  slots: 'number',
  heartbeat: 'time',
  names: 'host,…',
  supernodes: 'url,…',
  file: 'path',
  cert: 'path',
  key: 'path',
  ca: 'path',
  allow: 'url,…',
};

/** Of `--config`, for its help. */
export const USUAL_FILE =
  '(default: /etc/hawker/hawker.yaml where it is there, for a user ~/.config/hawker/hawker.yaml)';

/** Whether a setting, by its dotted key, matters to a command. */
export type Concerns = (key: string) => boolean;

/** Everything of these sections. */
export function sections(...names: readonly string[]): Concerns {
  return (key) => names.includes(key.split('.')[0]!);
}

/** Gives a command `--config` and a flag for every setting that concerns it and that a person sets by hand. */
export function addConfigFlags(command: Command, concerns: Concerns): Command {
  command.option('--config <file>', `YAML file with settings; config/hawker.yaml shows them all ${USUAL_FILE}`);
  for (const setting of SETTINGS.filter(({ key }) => concerns(key))) {
    const option = optionOf(setting);
    if (option) command.addOption(option);
  }
  return command.addHelpText(
    'after',
    '\nA flag goes before its variable (HAWKER_STORE_QUOTA, …), a variable before the file, the file before the default. A flag of a list takes several with\ncommas between them, or is repeated.',
  );
}

/** Where this command's configuration comes from. Without `--config` it is the usual file, where that is there. */
export function configSources(command: Command, port: ProcessPort): ConfigSources {
  const given = command.opts<Record<string, string>>();
  const flags: Record<string, string> = {};
  for (const setting of SETTINGS) {
    const option = optionOf(setting);
    const text = option && given[option.attributeName()];
    if (setting.flag !== undefined && text !== undefined) flags[setting.flag] = text;
  }
  const { environment, account, directory } = port;
  return { file: given['config'] ?? usualFile(port), flags, environment, account, directory };
}

function usualFile({ account, environment }: ProcessPort): string | undefined {
  const file = usualConfigFile(account, environment['XDG_CONFIG_HOME']);
  return existsSync(file) ? file : undefined;
}

function optionOf({ flag, kind, description, default: value }: Setting): Option | undefined {
  if (flag === undefined) return undefined;
  const name = VALUE_NAMES[flag.split('-').at(-1)!] ?? 'value';
  // That of a list is no list, and not said.
  const suffix = typeof value === 'string' && value !== '' ? ` (default: ${value})` : '';
  const option = new Option(`--${flag} <${name}>`, description + suffix);
  return kind === 'texts' ? option.argParser(collect) : option;
}

/** A list's flag can be repeated: as if all had been written in one, with commas. */
function collect(text: string, before: string | undefined): string {
  return before === undefined ? text : `${before},${text}`;
}
