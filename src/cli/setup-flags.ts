import { Argument, InvalidArgumentError, Option, type Command } from 'commander';
import { parseAddress } from '../config/formats.ts';
import type { NamedAddress } from '../setup/registries.ts';
import { RUNTIME_NAMES } from '../setup/runtime.ts';
import { USUAL_FILE } from './config-flags.ts';

export interface SetupFlags {
  readonly registry?: readonly string[];
  readonly mirror?: NamedAddress;
  /** False: those of an earlier setup are to go. */
  readonly mirrorCa?: string | false;
  readonly root: string;
  readonly yes?: true;
  readonly dryRun?: true;
  readonly undo?: true;
  readonly forget?: true;
  readonly restart?: true;
  /** An image; false: none is pulled. */
  readonly verify?: string | boolean;
  readonly json?: true;
}

/** Gives `hawker setup` its argument and flags; what they are read into is `SetupFlags`. */
export function addSetupFlags(command: Command): void {
  command
    .addArgument(new Argument('<runtime>', 'what pulls the images').choices(RUNTIME_NAMES))
    .option(
      '--config <file>',
      `YAML file with settings: the mirror’s addresses and the registries are taken from it ${USUAL_FILE}`,
    )
    .addOption(
      new Option(
        '--registry <host>',
        'only this registry; can be repeated; * for all at once (containerd, k3s)',
      ).argParser(collect),
    )
    .addOption(
      new Option(
        '--mirror <url>',
        'the mirror, where it is not proxy.listen: http://host:port, or https://host:port',
      ).argParser(mirrorAddress),
    )
    .option('--mirror-ca <file>', 'of a mirror over TLS: a PEM file, certificates that the runtime is to trust there')
    .option('--no-mirror-ca', 'no longer trust there what an earlier setup has brought by --mirror-ca')
    .option('--root <dir>', 'the root of the system whose files are changed: an image, a chroot', '/')
    .option('--yes', 'write without asking')
    .option('--dry-run', 'only show what would be written')
    .option('--undo', 'put everything back as it was')
    .option('--forget', 'with --undo: leave the files as they are, and only forget what was changed')
    .option('--restart', 'restart the runtime where it needs that')
    .option('--verify <image>', 'pull this image at the end, also where nothing was changed (default: hello-world)')
    .option('--no-verify', 'pull nothing at the end')
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
Shows the change as a diff, asks, keeps each file as it was beside it (FILE.before-hawker), and pulls a small image to see that
it works. What a runtime's files say already stays; where Hawker is down, pulls go to the registry itself. docs/setup.md has the
details for each runtime.`,
    );
}

/** `before`: what was given so far, if anything. */
function collect(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text.toLowerCase()];
}

function mirrorAddress(text: string): NamedAddress {
  const [, scheme, place = ''] = /^(https?):\/\/([^/]+)\/?$/.exec(text) ?? [];
  const listen = parseAddress(place);
  if (!listen || listen.port === 0)
    throw new InvalidArgumentError('Allowed: http://host:port or https://host:port, without a path.');
  return { listen, tls: scheme === 'https' };
}
