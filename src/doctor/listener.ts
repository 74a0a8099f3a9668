import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';

/** `st` of a listening socket in `/proc/net/tcp` (proc(5)). */
const LISTENING = '0A';
/** Of a command line in a finding. */
const MAX_COMMAND_CHARACTERS = 80;
/** So many processes are looked at. */
const MOST_PROCESSES = 20_000;

/**
 * Which process listens on a TCP port of this machine, as `nginx: master process (pid 123)`; undefined: none, or this user may
 * not see it (other users' sockets need root), or there is no `/proc` below `root`.
 */
export async function whoListens(port: number, root: string): Promise<string | undefined> {
  const tables = await Promise.all(['net/tcp', 'net/tcp6'].map((name) => text(join(root, 'proc', name))));
  const sockets = new Set(tables.flatMap((table) => inodesOf(table, port)).map((inode) => `socket:[${inode}]`));
  if (sockets.size === 0) return undefined;
  const names = await readdir(join(root, 'proc')).catch(() => []);
  for (const pid of names.filter((name) => /^\d+$/.test(name)).slice(0, MOST_PROCESSES)) {
    if (!(await holds(join(root, 'proc', pid, 'fd'), sockets))) continue;
    return `${await commandOf(join(root, 'proc', pid))} (pid ${pid})`;
  }
  return undefined;
}

/** Columns of proc(5): `sl local_address rem_address st … inode`; the address ends with the port in hexadecimal. */
function inodesOf(table: string, port: number): string[] {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return table.split('\n').flatMap((line) => {
    const [, local = '', , state, , , , , , inode = '0'] = line.trim().split(/\s+/);
    return state === LISTENING && local.endsWith(end) && inode !== '0' ? [inode] : [];
  });
}

async function holds(directory: string, sockets: ReadonlySet<string>): Promise<boolean> {
  const descriptors = await readdir(directory).catch(() => []);
  for (const descriptor of descriptors) {
    const target = await readlink(join(directory, descriptor)).catch(() => '');
    if (sockets.has(target)) return true;
  }
  return false;
}

async function commandOf(process: string): Promise<string> {
  const line = (await text(join(process, 'cmdline'))).replaceAll('\0', ' ').trim();
  if (line !== '') return line.slice(0, MAX_COMMAND_CHARACTERS);
  return (await text(join(process, 'comm'))).trim() || 'a process';
}

function text(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
