import { fileURLToPath } from 'node:url';
import { Daemon, must, run } from '../../test/e2e/support/programs.ts';
import { until } from '../../test/e2e/support/wait.ts';
import { within, type Host } from './host.ts';

export { must, run, until, type Daemon };

/** The built program. */
export const PROGRAM = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));

/** Starts a program that goes on running on a host, its output in a file. */
export function startOn(host: Host, command: string, args: readonly string[], logFile: string): Daemon {
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent' };
  return new Daemon(host.name, 'nsenter', [...within(host), command, ...args], logFile, env);
}

/** The body of an answer to a GET from that host; undefined where none came, or not status 200. */
export async function getOn(host: Host, url: string): Promise<string | undefined> {
  const { code, stdout } = await run('nsenter', [
    ...within(host),
    'curl',
    '--silent',
    '--fail',
    '--max-time',
    '5',
    url,
  ]);
  return code === 0 ? stdout : undefined;
}
