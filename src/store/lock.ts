import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { codeOf, describeError } from '../base/errors.ts';
import { StoreDirUnusable, StoreLocked } from './errors.ts';

/** The longest path that a Unix socket may have: 107 bytes on Linux (unix(7)), 103 on macOS. */
const SOCKET_PATH_BYTES = 103;
/** How long the holder of a lock may take to say its process id. */
const ANSWER_TIMEOUT_MS = 1000;
/** Each attempt that fails means that another process got further; so many in a row do not happen. */
const ATTEMPTS = 20;
/** What a holder says behind its process id once it is about to end. */
const STOPPING = ' stopping';
const ANSWER = new RegExp(`^(\\d{1,10})(${STOPPING})?\\n`);
const MAX_ANSWER_CHARACTERS = 32;
const LOCK_NAME = /^lock-(\d{1,15})\.sock$/;
const FRESH_NAME = /^lock-[0-9a-f-]{36}\.new$/;

/**
 * Holds a store directory for this process, by a Unix socket `lock-<n>.sock` in it that this process listens on: unlike a pid
 * file, it is known to be stale once its process is gone, however that ended.
 *
 * Of several processes that start at once exactly one gets it. The lock is the socket with the highest number. Who
 * finds that one dead links its own socket, which listens already, to the next number: `link` fails where the name is
 * taken. Numbers only grow, and a lower one is removed only by who holds a higher one; so who has linked and then sees a
 * higher number was late, and gives way.
 */
export class StoreLock {
  readonly #server: LockServer;
  readonly #folder: fs.FileHandle;

  private constructor(server: LockServer, folder: fs.FileHandle) {
    this.#server = server;
    this.#folder = folder;
  }

  /** Throws STORE_LOCKED, or STORE_DIR_UNUSABLE where the file system knows no sockets or hard links. */
  static async acquire(dir: string): Promise<StoreLock> {
    const folder = await fs.open(dir, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
        const server = await tryAcquire(dir, folder);
        if (server) return new StoreLock(server, folder);
      }
      throw new StoreLocked({ dir, pid: undefined, isStopping: false });
    } catch (error) {
      await folder.close();
      if (error instanceof StoreLocked) throw error;
      const why = `the lock of the directory cannot be had: ${describeError(error)}`;
      const todo = 'give store.dir a directory on a local, writable file system that knows Unix sockets and hard links';
      throw new StoreDirUnusable({ dir, why, todo }, { cause: error });
    }
  }

  /** From now on whoever asks is told that the directory will be let go soon. */
  stopping(): void {
    this.#server.isStopping = true;
  }

  async release(): Promise<void> {
    await closeServer(this.#server.server);
    await this.#folder.close();
  }
}

/** Who has a store directory: nobody, nobody any more (a socket whose process has ended, well or not), or a process, which may not say its id. */
export type LockHolder =
  | { readonly state: 'free' }
  | { readonly state: 'stale' }
  | { readonly state: 'held'; readonly pid: number | undefined };

/** Looks without taking anything. Rejects with the system's error where the directory or its socket may not be looked at. */
export async function lockHolder(dir: string): Promise<LockHolder> {
  const folder = await fs.open(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const highest = Math.max(0, ...(await lockNumbers(dir)));
    if (highest === 0) return { state: 'free' };
    const { alive, pid } = await askHolder(socketPath(dir, folder, `lock-${highest}.sock`));
    return alive ? { state: 'held', pid } : { state: 'stale' };
  } finally {
    await folder.close();
  }
}

/** Tells whoever connects which process holds the lock, and whether it is about to end. */
interface LockServer {
  readonly server: Server;
  isStopping: boolean;
}

async function tryAcquire(dir: string, folder: fs.FileHandle): Promise<LockServer | undefined> {
  const highest = Math.max(0, ...(await lockNumbers(dir)));
  // What is no socket, a symlink to one neither, holds nothing: no such file is made here.
  if (highest > 0 && (await isSocket(join(dir, `lock-${highest}.sock`)))) {
    const holder = await askHolder(socketPath(dir, folder, `lock-${highest}.sock`));
    if (holder.alive) throw new StoreLocked({ dir, pid: holder.pid, isStopping: holder.isStopping });
  }
  const fresh = `lock-${randomUUID()}.new`;
  const server = await listen(socketPath(dir, folder, fresh));
  try {
    await fs.link(join(dir, fresh), join(dir, `lock-${highest + 1}.sock`));
    await fs.unlink(join(dir, fresh));
    if (Math.max(...(await lockNumbers(dir))) === highest + 1) {
      await removeOlder(dir, highest + 1);
      return server;
    }
  } catch (error) {
    // EEXIST: another was faster. ENOENT: the holder has tidied our socket away.
    if (!['EEXIST', 'ENOENT'].includes(codeOf(error))) {
      await closeServer(server.server);
      throw error;
    }
  }
  await closeServer(server.server);
  return undefined;
}

async function isSocket(path: string): Promise<boolean> {
  const info = await fs.lstat(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  return info?.isSocket() ?? false;
}

async function lockNumbers(dir: string): Promise<number[]> {
  const names = await fs.readdir(dir);
  return names.flatMap((name) => {
    const match = LOCK_NAME.exec(name);
    return match ? [Number(match[1])] : [];
  });
}

async function removeOlder(dir: string, held: number): Promise<void> {
  for (const name of await fs.readdir(dir)) {
    const number = LOCK_NAME.exec(name)?.[1];
    const stale = number === undefined ? FRESH_NAME.test(name) : Number(number) < held;
    if (stale) await fs.rm(join(dir, name), { force: true });
  }
}

/** A path for the socket that is short enough, if need be through the open directory (Linux). */
function socketPath(dir: string, folder: fs.FileHandle, name: string): string {
  const path = join(dir, name);
  return Buffer.byteLength(path) <= SOCKET_PATH_BYTES ? path : join(`/proc/self/fd/${folder.fd}`, name);
}

function listen(path: string): Promise<LockServer> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end(`${process.pid}${lock.isStopping ? STOPPING : ''}\n`, () => socket.destroy());
    });
    const lock: LockServer = { server, isStopping: false };
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      server.unref();
      resolve(lock);
    });
  });
}

/** Only a refused connection shows that nobody listens; what else happens, somebody may be there. */
function askHolder(path: string): Promise<{ alive: boolean; pid: number | undefined; isStopping: boolean }> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(path);
    const alive = (): void => {
      socket.destroy();
      const [, pid, stopping] = ANSWER.exec(answer) ?? [];
      resolve({ alive: true, pid: pid === undefined ? undefined : Number(pid), isStopping: stopping !== undefined });
    };
    socket.setTimeout(ANSWER_TIMEOUT_MS, alive);
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      answer += text;
      if (answer.includes('\n') || answer.length > MAX_ANSWER_CHARACTERS) alive();
    });
    socket.on('end', alive);
    socket.on('error', (error) => {
      const code = codeOf(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve({ alive: false, pid: undefined, isStopping: false });
      else if (code === 'EACCES') reject(error);
      else alive();
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
