import type { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import { addConfigFlags, configSources } from './config-flags.ts';
import type { Looking } from './looks.ts';
import type { ProcessPort } from './process-port.ts';

/** Adds what changes this node's store, through its proxy: `rm`, `gc`, `pin`, `unpin`. `done` is given the exit status. */
export function addStoreCommands(program: Command, port: ProcessPort, done: (status: number) => void): void {
  const add = (usage: string, description: string): Command =>
    addConfigFlags(program.command(usage).description(description), (key) => key === 'api.listen').option(
      '--json',
      'as JSON',
    );
  const lookingOf = async (command: Command): Promise<Looking> => {
    const { config } = await loadConfig({ ...configSources(command, port), withoutFiles: true });
    return { config, port, json: command.opts<{ json?: true }>().json === true };
  };
  const load = () => import('./node-store.ts');

  const rm = add(
    'rm <digest|image>',
    "remove a blob or an image from this node's store; what is being read is read to its end",
  );
  rm.option('--dry-run', 'only show what would go').action(async (what: string) => {
    const { dryRun = false } = rm.opts<{ dryRun?: boolean }>();
    done(await (await load()).removeFromStore(await lookingOf(rm), what, dryRun));
  });

  const gc = add(
    'gc',
    "tidy this node's store: parts that nobody fetches, blobs of no repository, the least recently used",
  );
  gc.option('--keep <size>', 'go on until the store takes no more than this, as in 5GiB')
    .option('--dry-run', 'only show what would go')
    .action(async () => {
      const { keep, dryRun = false } = gc.opts<{ keep?: string; dryRun?: boolean }>();
      done(await (await load()).collectStore(await lookingOf(gc), keep, dryRun));
    });

  const pin = add('pin <image>', 'keep an image that is in the store of this node from being evicted');
  pin.action(async (image: string) => done(await (await load()).pinImage(await lookingOf(pin), image)));

  const unpin = add('unpin <image>', 'let an image that was pinned be evicted again');
  unpin.action(async (image: string) => done(await (await load()).unpinImage(await lookingOf(unpin), image)));
}
