import { InvalidArgumentError, Option, type Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import { addConfigFlags, configSources, type Concerns } from './config-flags.ts';
import type { GetFlags } from './get.ts';
import type { ProcessPort } from './process-port.ts';
import type { PullFlags } from './pull.ts';

/** Adds the commands that fetch something through the node's proxy. `done` is given the exit status. */
export function addFetches(program: Command, port: ProcessPort, done: (status: number) => void): void {
  const loaded = async (command: Command) => {
    const { config } = await loadConfig({ ...configSources(command, port), withoutFiles: true });
    return config;
  };

  const pull = program
    .command('pull')
    .description("fetch an image into this node's store, as a runtime would: what it then pulls is here")
    .argument('<image>', 'as docker names it: alpine:3.20, ghcr.io/org/app@sha256:…');
  addConfigFlags(pull, only('proxy.listen'))
    .addOption(
      new Option('--platform <os/arch>', 'of an image for several (default: linux on this processor)')
        .argParser(platformIn)
        .conflicts('allPlatforms'),
    )
    .option('--all-platforms', 'of an image for several, all of them')
    .option('--json', 'as JSON');
  pull.action(async (image: string) => {
    const [{ runPull }, config] = await Promise.all([import('./pull.ts'), loaded(pull)]);
    done(await runPull(image, pull.opts<PullFlags>(), config, port));
  });

  const get = program
    .command('get')
    .description("fetch any file through this node's proxy and the other nodes (files.allow of the proxy says which)")
    .argument('<url>', 'http:// or https://', urlIn);
  addConfigFlags(get, only('api.listen'))
    .requiredOption(
      '-o, --output <file>',
      'where it is to be; what was there goes when the new file is whole. -: standard output; with --sha256 its last bytes go out when all of it is right (else exit status 1), without it nothing is checked',
    )
    .addOption(
      new Option(
        '--sha256 <hex>',
        'what it is to hash to: then any server will do, and any node may give it',
      ).argParser(sha256In),
    )
    .option('--header <line>', "a header for its server, 'Name: value'; other users see what is written here", collect)
    .option('--header-file <file>', 'a file (mode 0600) with such lines: a login stays out of the list of processes')
    .option('--netrc-file <file>', 'a netrc (mode 0600) with a login for its server')
    .addHelpText('after', LOGIN_HELP)
    .option('--json', 'as JSON');
  get.action(async (url: string) => {
    const [{ runGet }, config] = await Promise.all([import('./get.ts'), loaded(get)]);
    done(await runGet(url, get.opts<GetFlags>(), config, port));
  });
}

const LOGIN_HELP = `
Headers and logins go to the server of the URL alone, to no other that it leads to. A file that was asked for with one comes straight
from its server and is kept from other users; with --sha256, and a strong ETag and size from the server, nodes share it with those
whose own login gets the same answer.`;

function collect(line: string, lines: readonly string[] = []): string[] {
  return [...lines, line];
}

function only(name: string): Concerns {
  return (key) => key === name;
}

function platformIn(text: string): string {
  if (/^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/.test(text)) return text;
  throw new InvalidArgumentError('Allowed: os/arch or os/arch/variant, as in linux/arm64.');
}

function urlIn(text: string): string {
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return text;
  throw new InvalidArgumentError('Allowed: a URL that begins with http:// or https://.');
}

function sha256In(text: string): string {
  const hex = text.toLowerCase().replace(/^sha256:/, '');
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  throw new InvalidArgumentError('Allowed: 64 hexadecimal digits, as sha256sum prints them.');
}
