import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { addConfigFlags, configSources, type Concerns } from './config-flags.ts';
import { DONE, FAILED, failureLine } from './exit.ts';
import type { ProcessPort } from './process-port.ts';
import { hasColour } from './terminal.ts';

export interface Looking {
  readonly config: Config;
  readonly port: ProcessPort;
  readonly json: boolean;
}

/** Adds the commands that ask running services, once, and print what they say. `done` is given the exit status. */
export function addLooks(program: Command, port: ProcessPort, done: (status: number) => void): void {
  const add = (name: string, description: string, concerns: Concerns, look: (looking: Looking) => Promise<number>) => {
    const command = addConfigFlags(program.command(name).description(description), concerns).option(
      '--json',
      'as JSON',
    );
    command.action(async () => {
      const { config } = await loadConfig({ ...configSources(command, port), withoutFiles: true });
      done(await look({ config, port, json: command.opts<{ json?: true }>().json === true }));
    });
  };
  const supernodes: Concerns = (key) => key === 'supernodes' || key.startsWith('cluster.');
  add('peers', 'show who is in the cluster, who is not, and why', supernodes, showPeers);
  addBlobs(program, port, done);
  const both: Concerns = (key) => supernodes(key) || key === 'api.listen';
  add('status', "show how this node's proxy and its supernode are; fails where one does not answer", both, showStatus);
}

/** Of the cluster, or (`--node`) of this node. */
function addBlobs(program: Command, port: ProcessPort, done: (status: number) => void): void {
  const command = program
    .command('blobs')
    .description('show which blobs the cluster holds and fetches, or this node keeps');
  const concerns: Concerns = (key) => key === 'supernodes' || key.startsWith('cluster.') || key === 'api.listen';
  addConfigFlags(command, concerns)
    .option('--node', "this node's store: last use, pins, repositories")
    .option('--json', 'as JSON');
  command.action(async () => {
    const { config } = await loadConfig({ ...configSources(command, port), withoutFiles: true });
    const { node, json = false } = command.opts<{ node?: true; json?: boolean }>();
    const looking = { config, port, json };
    if (node !== true) done(await showBlobs(looking));
    else done(await (await import('./node-store.ts')).showStore(looking));
  });
}

async function showPeers({ config, port, json }: Looking): Promise<number> {
  const [{ askSupernode }, { PeersAnswer }, { peersText }] = await Promise.all([
    import('./api-client.ts'),
    import('../app/answers.ts'),
    import('./peers.ts'),
  ]);
  const { url, answer } = await askSupernode(config, '/api/v1/peers', PeersAnswer);
  port.print(json ? jsonLine(answer) : peersText(url, answer, { colour: hasColour(port) }));
  return DONE;
}

async function showBlobs({ config, port, json }: Looking): Promise<number> {
  const [{ askService, askSupernode, supernodeAt }, { BlobsAnswer, PeersAnswer }, { blobsText }, { peerNames }] =
    await Promise.all([
      import('./api-client.ts'),
      import('../app/answers.ts'),
      import('./blobs.ts'),
      import('./names.ts'),
    ]);
  const { url, answer } = await askSupernode(config, '/api/v1/blobs', BlobsAnswer);
  if (json) {
    port.print(jsonLine(answer));
    return DONE;
  }
  const { peers } = await askService(supernodeAt(url, config), '/api/v1/peers', PeersAnswer);
  port.print(blobsText(url, answer, { names: peerNames(peers), fullDigests: !port.isTerminal }));
  return DONE;
}

async function showStatus({ config, port, json }: Looking): Promise<number> {
  const { lookAtStatus, statusErrors, statusJson, statusText } = await import('./status.ts');
  const look = await lookAtStatus(config);
  port.print(json ? jsonLine(statusJson(look)) : statusText(look));
  const errors = statusErrors(look);
  for (const error of errors) port.complain(failureLine(error));
  return errors.length === 0 ? DONE : FAILED;
}

function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}
