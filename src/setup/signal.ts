import { readFile } from 'node:fs/promises';
import { textOf } from '../doctor/node-files.ts';
import type { SetupAround } from './runtime.ts';

/** SIGHUP to the daemon whose pid file this is, if that process is it. False: no such process. */
export async function signalDaemon(
  { root }: Pick<SetupAround, 'root'>,
  pidFile: string,
  name: string,
): Promise<boolean> {
  const pid = (await textOf(root, pidFile))?.trim() ?? '';
  if (!/^[1-9]\d*$/.test(pid)) return false;
  // A file that a crash left behind may name anybody.
  const running = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
  if (running.trim() !== name) return false;
  try {
    return process.kill(Number(pid), 'SIGHUP');
  } catch {
    return false;
  }
}
