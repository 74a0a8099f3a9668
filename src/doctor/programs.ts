import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { Around } from './check.ts';

/** Where daemons lie although a user's PATH may not say so. */
const MORE_DIRECTORIES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const MAX_OUTPUT_BYTES = 8 * 1024 * 1024;

/** Where a program of the node lies, on the PATH or where daemons usually are, below the root. */
export async function findProgram(
  { root, environment }: Pick<Around, 'root' | 'environment'>,
  name: string,
): Promise<string | undefined> {
  const directories = (environment['PATH'] ?? '').split(delimiter).filter((dir) => dir.startsWith('/'));
  for (const directory of new Set([...directories, ...MORE_DIRECTORIES])) {
    const path = join(root, directory, name);
    const runs = await access(path, constants.X_OK).then(
      async () => (await stat(path)).isFile(),
      () => false,
    );
    if (runs) return path;
  }
  return undefined;
}

export interface ProgramRun {
  /** Undefined where it was killed, or could not be run: `said` says so. */
  readonly status: number | undefined;
  readonly output: string;
  /** The last line of its standard error, or why it did not end well. */
  readonly said: string;
}

/** Runs a program without a shell, at most for `boundMs`. Never rejects. */
export function runProgram(
  path: string,
  args: readonly string[],
  options: { readonly environment: Around['environment']; readonly boundMs: number },
): Promise<ProgramRun> {
  const { environment, boundMs } = options;
  const settings = {
    env: { ...environment },
    timeout: boundMs,
    killSignal: 'SIGKILL',
    maxBuffer: MAX_OUTPUT_BYTES,
  } as const;
  return new Promise((resolve) => {
    const child = execFile(path, args, settings, (error, stdout, stderr) => {
      const said = stderr.trim().split('\n').at(-1) ?? '';
      if (!error) return resolve({ status: 0, output: stdout, said });
      const { code, killed } = error as { code?: unknown; killed?: boolean };
      if (killed === true) return resolve({ status: undefined, output: stdout, said: `no end within ${boundMs} ms` });
      if (typeof code === 'number') return resolve({ status: code, output: stdout, said });
      resolve({ status: undefined, output: stdout, said: typeof code === 'string' ? code : error.message });
    });
    child.stdin?.end();
  });
}
