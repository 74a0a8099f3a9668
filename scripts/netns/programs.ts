import { Daemon, type Finished, must, run } from '../../test/e2e/support/programs.ts';
import { until } from '../../test/e2e/support/wait.ts';
import { PROGRAM } from '../support/build-copy.ts';
import { within, type Host } from './host.ts';

export { must, PROGRAM, run, until, type Daemon, type Finished };

/** Starts a program that goes on running on a host, its output in a file. */
export function startOn(
  host: Host,
  command: string,
  args: readonly string[],
  logFile: string,
  extraEnv: NodeJS.ProcessEnv = {},
): Daemon {
  const env = { ...baseEnv(), ...extraEnv };
  return new Daemon(host.name, 'nsenter', [...within(host), command, ...args], logFile, env);
}

/** Runs a program on a host to its end. */
export function runOn(host: Host, command: string, args: readonly string[], boundMs: number): Promise<Finished> {
  return run('nsenter', [...within(host), command, ...args], { env: baseEnv(), boundMs });
}

const baseEnv = () => ({ PATH: `${process.env['PATH']}:/usr/sbin:/sbin`, HOME: '/nonexistent' });

/** The body of an answer to a GET from that host; undefined where none came, or not status 200. */
export async function getOn(host: Host, url: string, authorization?: string): Promise<string | undefined> {
  const { code, stdout } = await run('nsenter', [
    ...within(host),
    'curl',
    '--silent',
    '--fail',
    '--max-time',
    '5',
    ...(authorization === undefined ? [] : ['--header', `Authorization: ${authorization}`]),
    url,
  ]);
  return code === 0 ? stdout : undefined;
}
