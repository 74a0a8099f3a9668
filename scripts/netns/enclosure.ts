import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';

/** Set for the process inside: its directory, a tmpfs. */
const DIR_VARIABLE = 'HAWKER_RIG_DIR';
const NAMESPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
/** /run is where ip(8) keeps the names of network namespaces. */
const ENTER = `
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/netns "$1"
mount -t tmpfs -o size=95% tmpfs "$1"
shift
exec "$@"
`;

/** Where the process that is inside works; undefined: this one is outside. */
export function enclosureDir(): string | undefined {
  return process.env[DIR_VARIABLE];
}

/**
 * Runs this program again in network, mount and process namespaces of its own; gives its exit status. Ended by SIGINT or SIGTERM, or
 * even killed, it leaves nothing: the process inside is the first of its namespace, ends when this one does, and all processes,
 * interfaces and files of the rig end with it.
 */
export async function enclosed(args: readonly string[]): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'hawker-rig-'));
  const inside = [process.execPath, ...process.execArgv, process.argv[1]!, ...args];
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin`, [DIR_VARIABLE]: dir };
  // Its standard input is a pipe that nobody writes to: its end says that this process has ended.
  const child = spawn('unshare', [...NAMESPACES, 'sh', '-c', ENTER, 'rig', dir, ...inside], {
    stdio: ['pipe', 'inherit', 'inherit'],
    env,
    detached: true,
  });
  let signalled: NodeJS.Signals | undefined;
  const end = (signal: NodeJS.Signals) => {
    signalled = signal;
    child.kill('SIGKILL');
  };
  process.on('SIGINT', end).on('SIGTERM', end).on('SIGHUP', end);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(signalled ? 128 + constants.signals[signalled] : (code ?? 1)));
    });
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end).off('SIGHUP', end);
    rmSync(dir, { recursive: true, force: true });
  }
}

/** For the process inside: ends it, and with it everything, when the one outside has ended. */
export function endWithOutside(): void {
  process.stdin.on('end', () => process.exit(1)).resume();
  process.stdin.on('error', () => process.exit(1));
}
