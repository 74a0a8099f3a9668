import type { Argument, Command, Option } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** What may stand at a place: words, a file, a directory, or something that nobody can guess. */
type Values = readonly string[] | 'file' | 'directory' | 'free';

interface Flag {
  /** `--config`, `-h`. */
  readonly names: readonly string[];
  readonly description: string;
  /** Undefined: it takes none. */
  readonly values: Values | undefined;
  readonly repeats: boolean;
}

interface Shown {
  readonly name: string;
  readonly description: string;
  readonly flags: readonly Flag[];
  /** Of its first argument; undefined: it takes none. */
  readonly values: Values | undefined;
}

const FILES = new Set(['file', 'path']);

/** The script that makes a shell complete this program's commands, flags and values, made from their definitions. */
export function completionScript(program: Command, shell: Shell): string {
  const commands = shownCommands(program);
  const own = flagsOf(program);
  return WRITERS[shell](program.name(), commands, own);
}

function shownCommands(program: Command): Shown[] {
  const helper = program.createHelp();
  const commands = helper.visibleCommands(program);
  const names = commands.map((command) => command.name());
  return commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    flags: flagsOf(command),
    values: command.name() === 'help' ? names : argumentValues(command.registeredArguments[0]),
  }));
}

function flagsOf(command: Command): Flag[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .map((option) => ({
      names: [option.long, option.short].filter((name) => name !== undefined),
      description: option.description,
      values: optionValues(option),
      repeats: option.parseArg !== undefined,
    }));
}

function optionValues({ flags, argChoices }: Option): Values | undefined {
  const [, name] = /[<[]([^>\]]*)[>\]]/.exec(flags) ?? [];
  if (name === undefined) return undefined;
  return argChoices ?? kindOf(name);
}

function argumentValues(argument: Argument | undefined): Values | undefined {
  if (!argument) return undefined;
  return argument.argChoices ?? kindOf(argument.name());
}

/** By the name that help gives to the value. */
function kindOf(name: string): Values {
  if (FILES.has(name)) return 'file';
  return name === 'dir' ? 'directory' : 'free';
}

const WRITERS: Readonly<Record<Shell, (name: string, commands: readonly Shown[], own: readonly Flag[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** For bash 3.2 and later; it needs nothing of bash-completion. */
function bashScript(name: string, commands: readonly Shown[], own: readonly Flag[]): string {
  const values = commands.flatMap((command) =>
    command.flags.flatMap((flag) =>
      flag.values === undefined
        ? []
        : [`    ${flag.names.map((one) => `${command.name},${one}`).join('|')}) ${bashReply(flag.values)}; return ;;`],
    ),
  );
  const names = (flags: readonly Flag[]) => flags.flatMap((flag) => flag.names).join(' ');
  const words = commands.map((command) => {
    const first = command.values === undefined ? '' : `[ "$place" -gt 1 ] || ${bashReply(command.values)}; `;
    return `    ${command.name}) case $cur in -*) ${bashReply([names(command.flags)])} ;; *) ${first}: ;; esac ;;`;
  });
  return `# bash completion for ${name}: source <(${name} completion bash), or write it to /etc/bash_completion.d/${name}
_${name}() {
  local IFS=$' \\t\\n' cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} cmd= place=0 i
  COMPREPLY=()
  # --flag=value comes as three words.
  if [ "$cur" = = ]; then cur=; elif [ "$prev" = = ]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      -*|=) ;;
      *) if [ -z "$cmd" ]; then cmd=\${COMP_WORDS[i]}; place=1; else case \${COMP_WORDS[i-1]} in -*|=) ;; *) place=2 ;; esac; fi ;;
    esac
  done
  case $cmd,$prev in
${values.join('\n')}
  esac
  case $cmd in
    '') case $cur in -*) ${bashReply([names(own)])} ;; *) ${bashReply(commands.map((command) => command.name))} ;; esac ;;
${words.join('\n')}
  esac
}
complete -F _${name} ${name}
`;
}

function bashReply(values: Values): string {
  if (values === 'free') return ':';
  if (values === 'file') return `compopt -o filenames 2>/dev/null; IFS=$'\\n'; COMPREPLY=($(compgen -f -- "$cur"))`;
  if (values === 'directory')
    return `compopt -o filenames 2>/dev/null; IFS=$'\\n'; COMPREPLY=($(compgen -d -- "$cur"))`;
  return `COMPREPLY=($(compgen -W ${quoted(values.join(' '))} -- "$cur"))`;
}

function zshScript(name: string, commands: readonly Shown[], own: readonly Flag[]): string {
  const described = commands.map((command) => quoted(`${command.name}:${short(command.description)}`));
  const cases = commands.map((command) => {
    const specs = [
      ...command.flags.flatMap(zshFlag),
      ...(command.values === undefined ? [] : [`1:${command.name}:${zshArgument(command.name, command.values)}`]),
    ];
    return `        ${command.name}) _arguments -s ${specs.map((spec) => quoted(spec)).join(' ')} ;;`;
  });
  return `#compdef ${name}
# zsh completion for ${name}: write it to a file _${name} in a directory of $fpath, or source <(${name} completion zsh) after compinit
_${name}() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C ${own
    .flatMap(zshFlag)
    .map((spec) => quoted(spec))
    .join(' ')} '1:command:->command' '*::argument:->rest'
  case $state in
    command)
      local -a commands
      commands=(${described.join(' ')})
      _describe -t commands command commands ;;
    rest)
      case $words[1] in
${cases.join('\n')}
      esac ;;
  esac
}
if [ "$funcstack[1]" = _${name} ]; then _${name} "$@"; else compdef _${name} ${name}; fi
`;
}

/** `--config[what it is]:file:_files`, as _arguments has it (zshcompsys(1)). */
function zshFlag({ names, description, values, repeats }: Flag): string[] {
  const what = `[${short(description).replaceAll(/[[\]:\\]/g, String.raw`\$&`)}]`;
  return names.map(
    (name) => `${repeats ? '*' : ''}${name}${what}${values === undefined ? '' : `:value:${zshAction(values)}`}`,
  );
}

function zshAction(values: Values): string {
  if (values === 'free') return ' ';
  if (values === 'file') return '_files';
  if (values === 'directory') return '_files -/';
  return `(${values.join(' ')})`;
}

/**
 * What _arguments says of a word that nobody can guess keeps it from putting any other in, a flag too: of a word that begins as
 * one does nothing is said.
 */
function zshArgument(name: string, values: Values): string {
  return values === 'free' ? `{[[ $PREFIX != -* ]] && _message -e arguments ${name}}` : zshAction(values);
}

function fishScript(name: string, commands: readonly Shown[], own: readonly Flag[]): string {
  const first = `-n __fish_use_subcommand`;
  const lines = commands.flatMap((command) => {
    const on = `-n '__fish_seen_subcommand_from ${command.name}'`;
    return [
      `complete -c ${name} ${first} -f -a ${command.name} -d ${fishQuoted(short(command.description))}`,
      ...command.flags.map((flag) => `complete -c ${name} ${on} ${fishFlag(flag)}`),
      ...(command.values === undefined ? [] : [`complete -c ${name} ${on} ${fishValues(command.values)}`]),
    ];
  });
  return `# fish completion for ${name}: write it to ~/.config/fish/completions/${name}.fish
complete -c ${name} -f
${own.map((flag) => `complete -c ${name} ${first} ${fishFlag(flag)}`).join('\n')}
${lines.join('\n')}
`;
}

function fishFlag({ names, description, values }: Flag): string {
  const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const takes = values === undefined ? [] : ['-r', fishValues(values)];
  return [...flags, ...takes, `-d ${fishQuoted(short(description))}`].join(' ');
}

function fishValues(values: Values): string {
  if (values === 'free') return '-f';
  if (values === 'file') return '-F';
  if (values === 'directory') return `-f -a '(__fish_complete_directories)'`;
  return `-f -a ${fishQuoted(values.join(' '))}`;
}

/** The first part of a description: shells show one line. */
function short(description: string): string {
  return description.split(/; |\. |\n/)[0]!;
}

/** As a POSIX shell takes it for one word. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
}
