import { readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { lockHolder } from '../store/lock.ts';
import { namesIn, textOf } from './node-files.ts';

/** State of a listening socket in /proc/net/tcp (include/net/tcp_states.h). */
const LISTEN = '0A';
/** Columns of /proc/net/tcp: local address, state, inode (proc(5)). */
const LOCAL = 1;
const STATE = 3;
const INODE = 9;

/** The process of the running proxy, as far as it can be found from outside. */
export type ProxyProcess =
  | { readonly kind: 'found'; readonly pid: number; readonly by: string; readonly userId: number | undefined }
  | { readonly kind: 'none'; readonly why: string };

/**
 * Finds the process that serves this configuration: the holder of the store's lock says its id, and is it if it holds that
 * lock's socket; else who listens on the mirror's port.
 */
export async function findProxyProcess(root: string, { store, proxy }: Config): Promise<ProxyProcess> {
  const holder = await lockHolder(store.dir).catch(() => undefined);
  if (holder?.state === 'held' && holder.pid !== undefined) {
    const sockets = await socketsOf(root, holder.pid);
    const named = await lockSockets(root);
    // A proxy in a container says its number in there, which is another process's here.
    if (sockets?.some((inode) => named.has(inode)) === true) return found(root, holder.pid, `it holds ${store.dir}`);
  }
  const { port } = proxy.listen;
  const inodes = port === 0 ? new Set<string>() : await listenersOn(root, port);
  for (const name of inodes.size === 0 ? [] : await namesIn(root, '/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const sockets = await socketsOf(root, Number(name));
    if (sockets?.some((inode) => inodes.has(inode)) === true)
      return found(root, Number(name), `it listens on port ${port}`);
  }
  if (holder?.state === 'held') {
    const who = holder.pid === undefined ? 'a process' : `process ${holder.pid}`;
    return {
      kind: 'none',
      why: `${who} holds the store, but cannot be looked at from here (another user’s, or in a container)`,
    };
  }
  if (inodes.size > 0) {
    return { kind: 'none', why: `somebody listens on port ${port}, whose process this user may not look at` };
  }
  return { kind: 'none', why: `no proxy runs: nobody holds ${store.dir} or listens on port ${port}` };
}

async function found(root: string, pid: number, by: string): Promise<ProxyProcess> {
  const userId = await stat(join(root, '/proc', String(pid))).then(
    ({ uid }) => uid,
    () => undefined,
  );
  return { kind: 'found', pid, by, userId };
}

/** Inodes of a process's sockets; undefined: it is not there, or another user's. */
async function socketsOf(root: string, pid: number): Promise<string[] | undefined> {
  const folder = join('/proc', String(pid), 'fd');
  const names = await namesIn(root, folder);
  if (names.length === 0) return undefined;
  const links = await Promise.all(names.map((name) => readlink(join(root, folder, name)).catch(() => '')));
  return links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []);
}

/** The sockets that were bound under the name of a store's lock (store/lock.ts: linked to another name afterwards). */
async function lockSockets(root: string): Promise<Set<string>> {
  const lines = ((await textOf(root, '/proc/net/unix')) ?? '').split('\n');
  return new Set(lines.flatMap((line) => /\s(\d+)\s+\S*\/lock-[0-9a-f-]{36}\.new$/.exec(line)?.[1] ?? []));
}

async function listenersOn(root: string, port: number): Promise<Set<string>> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map((path) => textOf(root, path)));
  const rows = tables.flatMap((table) => (table ?? '').split('\n').map((line) => line.trim().split(/\s+/)));
  const listening = rows.filter((row) => row[STATE] === LISTEN && row[LOCAL]?.endsWith(`:${hex}`) === true);
  return new Set(listening.flatMap((row) => row[INODE] ?? []));
}
