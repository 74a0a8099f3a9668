import type { Argument, Command, Option } from 'commander';
import { createProgram } from '../../src/cli/cli.ts';
import type { ProcessPort } from '../../src/cli/process-port.ts';
import { SETTINGS } from '../../src/config/settings.ts';
import { code, prose, tableOf } from './markdown.ts';

/** Beside a command: nobody runs it. */
const NOBODY: ProcessPort = {
  argv: [],
  environment: {},
  account: { root: false, home: '/home/me' },
  directory: '/',
  isTerminal: false,
  print: () => undefined,
  write: async () => undefined,
  complain: () => undefined,
  readSecret: async () => ({ text: '', isTyped: false }),
  onSignal: () => undefined,
  onCrash: () => undefined,
  terminalGone: () => false,
  exit: () => undefined,
};

/** Every command that `hawker --help` shows, but for `help` itself. */
export function allCommands(): readonly Command[] {
  return createProgram(NOBODY, () => undefined).commands;
}

/** The parts of docs/commands.md: a list of all commands, and one part for each. */
export function commandParts(): Map<string, string> {
  const commands = allCommands();
  const rows = commands.map((command) => [
    `[${code(`hawker ${command.name()}`)}](#hawker-${command.name()})`,
    prose(command.description()),
  ]);
  return new Map([
    ['commands', tableOf(['command', 'what it does'], rows)],
    ...commands.map((command) => [command.name(), partOf(command)] as const),
  ]);
}

function partOf(command: Command): string {
  const ofSettings = new Map<string, string>(
    SETTINGS.flatMap(({ flag, key }) => (flag === undefined ? [] : [[`--${flag}`, key] as const])),
  );
  const visible = command
    .createHelp()
    .visibleOptions(command)
    .filter(({ long }) => long !== '--help');
  // `--log-level` of the demo is no setting: it has choices and a default of its own.
  const settingOf = ({ long, argChoices }: Option) => (argChoices ? undefined : ofSettings.get(long ?? ''));
  const own = visible.filter((option) => settingOf(option) === undefined);
  const settings = visible.flatMap((option) => settingOf(option) ?? []);
  // Of one that says nothing of itself the usage is enough.
  const described = command.registeredArguments.filter(({ description }) => description !== '');
  const rows = [...described.map(argumentRow), ...own.map(optionRow)];
  return [
    code(usageOf(command)),
    tableOf(['', 'meaning'], rows),
    ...(settings.length > 0 ? [settingsLine(settings)] : []),
  ].join('\n\n');
}

function usageOf(command: Command): string {
  return `hawker ${command.name()} ${command.usage()}`;
}

function argumentRow(argument: Argument): string[] {
  const { description, argChoices, required } = argument;
  const name = argument.name();
  const choices = argChoices ? `: ${argChoices.map(code).join(', ')}` : '';
  return [code(required ? `<${name}>` : `[${name}]`), `${prose(description)}${choices}`];
}

function optionRow({ flags, description, argChoices, defaultValue, defaultValueDescription }: Option): string[] {
  // That of a switch is that it is not given.
  const isSaid = typeof defaultValue === 'string' || typeof defaultValue === 'number';
  const shown = defaultValueDescription ?? (isSaid ? String(defaultValue) : undefined);
  const choices = argChoices ? `: ${argChoices.map(code).join(', ')}` : '';
  const fallback = shown === undefined ? '' : ` (default: ${shown})`;
  return [code(flags), `${prose(description)}${choices}${fallback}`];
}

/** Each is described once, with the configuration. */
function settingsLine(keys: readonly string[]): string {
  const shown = SETTINGS.filter(({ flag }) => flag !== undefined);
  const links = (settings: readonly { key: string; flag: string | undefined }[]) =>
    settings.map(({ key, flag }) => `[${code(`--${flag}`)}](configuration.md#${anchorOf(key)})`).join(', ');
  const mine = shown.filter(({ key }) => keys.includes(key));
  const others = shown.filter(({ key }) => !keys.includes(key));
  if (others.length === 0) return 'And a flag for every setting that has one ([configuration.md](configuration.md)).';
  if (others.length < mine.length)
    return `And a flag for every setting that has one ([configuration.md](configuration.md)), but not ${links(others)}.`;
  return `Settings: ${links(mine)}.`;
}

/** Of a heading that is the key, as GitHub makes it. */
export function anchorOf(key: string): string {
  return key.toLowerCase().replaceAll(/[^\w -]/g, '');
}
