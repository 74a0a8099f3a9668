import { resolve } from 'node:path';
import { Argument, Command, CommanderError } from 'commander';
import { programVersion } from '../app/version.ts';
import type { RuntimeName } from '../setup/runtime.ts';
import { completionScript, SHELLS, type Shell } from './completion.ts';
import { addConfigFlags, configSources, sections, USUAL_FILE, type Concerns } from './config-flags.ts';
import { addDemoFlags } from './demo-flags.ts';
import { DONE, failureLine, statusOf, usageLine, WRONG_USAGE } from './exit.ts';
import { addFetches } from './fetches.ts';
import { addLooks } from './looks.ts';
import { addSetupFlags } from './setup-flags.ts';
import { addPreheat } from './preheat-flags.ts';
import type { ProcessPort } from './process-port.ts';
import type { StartService } from './run-service.ts';
import { addStoreCommands } from './store-flags.ts';
import { versionText } from './version.ts';

interface TokenFlags {
  readonly secretFile?: string;
  readonly operator?: true;
  readonly show?: true;
  readonly rotate?: true;
  readonly newSecretFile?: string;
  readonly force?: true;
  readonly json?: true;
}

/** Runs the command that argv asks for, and gives the exit status. What fails is one line on standard error. */
export async function runCli(port: ProcessPort): Promise<number> {
  let status = DONE;
  try {
    await createProgram(port, (result) => (status = result)).parseAsync(port.argv, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return usageStatus(error, port);
    port.complain(failureLine(error));
    return statusOf(error);
  }
}

/** Every command, with its arguments and flags. `done` is given the exit status of the one that is run. */
export function createProgram(port: ProcessPort, done: (status: number) => void): Command {
  const program = bareProgram(port);

  const service = (name: string, description: string, concerns: Concerns, load: () => Promise<StartService>) => {
    const command = addConfigFlags(program.command(name).description(description), concerns);
    command.action(async () => {
      const [{ runService }, start] = await Promise.all([import('./run-service.ts'), load()]);
      done(await runService(configSources(command, port), port, start, concerns));
    });
  };
  const ofSupernode = sections('supernode');
  service(
    'up',
    'run the mirror until it is stopped',
    () => true,
    async () => (await import('../app/up.ts')).startUp,
  );
  service(
    'proxy',
    "run this node's mirror as a member of a cluster, whose supernode runs elsewhere",
    (key) => !ofSupernode(key),
    async () => (await import('../app/proxy-service.ts')).startProxyService,
  );
  service(
    'supernode',
    'run a supernode, which tells proxies from where to fetch',
    sections('supernode', 'cluster', 'audit', 'log'),
    async () => (await import('../app/supernode-service.ts')).startSupernode,
  );

  addLooks(program, port, done);
  addPreheat(program, port, done);
  addStoreCommands(program, port, done);
  addFetches(program, port, done);

  const doctor = program
    .command('doctor')
    .description(
      'examine this node and its way into the cluster: what was seen, what it means, what to do; fails where anything did',
    );
  addConfigFlags(doctor, () => true).option('--json', 'as JSON');
  doctor.action(async () => {
    const { runDoctor } = await import('./doctor.ts');
    done(await runDoctor(configSources(doctor, port), port, { json: doctor.opts<{ json?: true }>().json === true }));
  });

  const token = program
    .command('token')
    .description("make or find the cluster's join secret, and show how a node joins; or its operator token");
  token
    .option('--config <file>', `YAML file with settings; its cluster.secretFile is where the secret is ${USUAL_FILE}`)
    .option(
      '--secret-file <path>',
      'where it is (default: /etc/hawker/join-secret or operator-token, or in ~/.config for a user)',
    )
    .option('--operator', "the operator's token, which opens the API of a supernode beyond loopback")
    .option('--show', 'print the secret itself, and nothing else')
    .option('--rotate', 'take the next step of replacing it, in its file, once all nodes are so far (docs/rotation.md)')
    .option('--new-secret-file <path>', 'with --rotate: the secret that comes, instead of one that is made')
    .option('--force', 'with --rotate: do not ask the supernodes whether all nodes are so far')
    .option('--json', 'as JSON');
  token.action(async () => {
    const flagsOf = token.opts<TokenFlags>();
    const { secretFile, operator = false, show = false, json = false, newSecretFile } = flagsOf;
    const sources = configSources(token, port);
    const flag = operator ? 'cluster-operator-token-file' : 'cluster-secret-file';
    const flags = secretFile === undefined ? {} : { [flag]: secretFile };
    if (flagsOf.rotate) {
      const { runRotate } = await import('./rotate.ts');
      const newFile = newSecretFile === undefined ? undefined : resolve(port.directory, newSecretFile);
      const options = { operator, newSecretFile: newFile, force: flagsOf.force ?? false, json };
      await runRotate({ ...sources, flags }, port, options);
      return;
    }
    const { runToken } = await import('./token.ts');
    await runToken({ ...sources, flags }, port, { operator, show, json });
  });

  const setup = program
    .command('setup')
    .description('point docker, containerd, podman, CRI-O or k3s at this node’s mirror, or take that back');
  addSetupFlags(setup);
  setup.action(async (name: RuntimeName) => {
    const { runSetup } = await import('./setup.ts');
    done(await runSetup(name, setup.opts(), configSources(setup, port), port));
  });

  const password = program
    .command('password')
    .description(
      'ask for a password, or read it from standard input, and print the line that lets NAME log in at the mirror (proxy.usersFile)',
    )
    .argument('<name>', 'of the user');
  password.action(async (name: string) => {
    const { runPassword } = await import('./password.ts');
    await runPassword(name, port);
  });

  const demo = program
    .command('demo')
    .description('show what it does with a cluster in one process: needs no network and no set-up');
  addDemoFlags(demo);
  demo.action(async () => {
    const { runDemo } = await import('./demo.ts');
    done(await runDemo(demo.opts(), port));
  });

  program
    .command('completion')
    .description('print a script that makes a shell complete commands, flags and values')
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .addHelpText(
      'after',
      `
  bash  hawker completion bash > /etc/bash_completion.d/hawker
  zsh   hawker completion zsh > "\${fpath[1]}/_hawker"
  fish  hawker completion fish > ~/.config/fish/completions/hawker.fish`,
    )
    .action((shell: Shell) => port.print(completionScript(program, shell)));

  const version = program.command('version').description('print the version').option('--json', 'as JSON');
  version.action(() => port.print(versionText(version.opts<{ json?: true }>().json === true)));
  return program;
}

function bareProgram(port: ProcessPort): Command {
  return new Command('hawker')
    .description('A peer-to-peer mirror for container images')
    .version(programVersion(), '--version', 'print the version number')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => port.print(text),
      writeErr: (text) => port.complain(text),
      // Reported as one line below, in the form of every other failure.
      outputError: () => {},
    });
}

function usageStatus(error: CommanderError, port: ProcessPort): number {
  if (error.exitCode === 0) return DONE;
  // Help that nobody asked for (no command) has been printed already.
  if (error.code !== 'commander.help') {
    // Of a flag that there is not, its name is enough: a secret may have been put behind it.
    const message = error.message.replace(/^error: /, '').replaceAll(/(--[\w-]+=)[^']*/g, '$1…');
    port.complain(usageLine(message, 'hawker'));
  }
  return WRONG_USAGE;
}
