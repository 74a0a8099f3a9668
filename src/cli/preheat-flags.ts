import { Option, type Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import { addConfigFlags, configSources } from './config-flags.ts';
import type { ProcessPort } from './process-port.ts';

/** As commander gives them. */
export interface PreheatFlags {
  readonly zone?: string;
  readonly peers?: string;
  readonly all?: true;
  readonly platform?: string;
  readonly timeout?: string;
  readonly cancel?: string;
  readonly wait?: boolean;
  readonly json?: true;
}

/** Adds `hawker preheat IMAGE`. `done` is given the exit status. */
export function addPreheat(program: Command, port: ProcessPort, done: (status: number) => void): void {
  const command = program
    .command('preheat')
    .description('have peers fetch an image before anybody pulls it; fails unless every one of them has it')
    .argument('[image]', 'as docker names it: docker.io/library/alpine:3');
  addConfigFlags(command, (key) => key === 'supernodes' || key.startsWith('cluster.'))
    .option('--zone <name>', 'only peers of this zone')
    .option('--peers <number>', 'so many peers, always the same ones for an image')
    .option('--all', 'every peer that is connected (the default)')
    .option('--platform <os/arch,…>', "of an index these platforms, or all (default: each peer's own)")
    .option('--timeout <time>', 'who is not done by then has failed (default: 1h)')
    .option('--wait', 'until it is done (the default)')
    .option('--no-wait', 'only order it, and print its id')
    .addOption(
      new Option('--cancel <id>', 'end this order: peers fetch no more of it, and keep what has come').conflicts([
        'zone',
        'peers',
        'all',
        'platform',
        'timeout',
      ]),
    )
    .option('--json', 'as JSON');
  command.action(async (image: string | undefined) => {
    const { config } = await loadConfig({ ...configSources(command, port), withoutFiles: true });
    const { runPreheat } = await import('./preheat.ts');
    done(await runPreheat(image, command.opts<PreheatFlags>(), config, port));
  });
}
