import { setTimeout as sleep } from 'node:timers/promises';
import type { Server } from 'node:net';
import { codeOf } from '../base/errors.ts';
import { formatAddress, isLoopback, type Address } from '../config/formats.ts';
import { listenError, SocketElsewhere, SocketsWrong } from './errors.ts';

/** The first descriptor that is handed down (sd_listen_fds(3), SD_LISTEN_FDS_START). */
const FIRST_FD = 3;
const MAX_SOCKETS = 64;
/** How long a process that has been told to end may still have a port, and how often it is tried, in milliseconds. */
const LET_GO_MS = 2000;
const TRY_MS = 50;

/** What takes a socket. Further ones named `mirror` are for `proxy.listeners`, in their order. */
export type SocketName = 'mirror' | 'pieces' | 'api' | 'supernode';
const NAMES: ReadonlySet<string> = new Set(['mirror', 'pieces', 'api', 'supernode'] satisfies SocketName[]);

/** Of an own process, as far as it matters who was meant. */
export interface OwnProcess {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly pid?: number | undefined;
}

/**
 * Where to listen: on sockets that somebody else has opened and handed down (systemd's socket activation: LISTEN_PID, LISTEN_FDS,
 * LISTEN_FDNAMES), else on addresses of the configuration. Handed-down sockets outlive this process: while it is started anew the
 * kernel keeps who connects waiting, and refuses nobody.
 */
export class Sockets {
  readonly #fds = new Map<SocketName, number[]>();

  /**
   * Throws SOCKETS_WRONG where the names are not those of Hawker. A socket without a name of its own has that of its unit: of
   * `hawker-mirror.socket` what stands after the dash counts.
   */
  constructor({ environment, pid }: OwnProcess = { environment: {} }) {
    const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = '' } = environment;
    // Meant for a parent of this process.
    if (LISTEN_PID === undefined || pid === undefined || Number(LISTEN_PID) !== pid) return;
    const count = Number(LISTEN_FDS);
    if (!Number.isSafeInteger(count) || count < 0 || count > MAX_SOCKETS) {
      throw new SocketsWrong({ why: `LISTEN_FDS is ${JSON.stringify(LISTEN_FDS ?? '')}` });
    }
    const names = LISTEN_FDNAMES.split(':');
    for (let i = 0; i < count; i += 1) {
      const name = (names[i] ?? '').replace(/\.socket$/, '').replace(/^hawker-/, '');
      if (!NAMES.has(name)) throw new SocketsWrong({ why: `there is one with the name ${JSON.stringify(name)}` });
      const known = this.#fds.get(name as SocketName) ?? [];
      known.push(FIRST_FD + i);
      this.#fds.set(name as SocketName, known);
    }
  }

  /** Those that nobody has taken. */
  unused(): SocketName[] {
    return [...this.#fds].flatMap(([name, fds]) => fds.map(() => name));
  }

  /**
   * Has `listen` listen on the next socket of that name, or on `address`, of the setting `key`. A port that a process gives up which
   * has just been told to end is waited for. Rejects with ADDRESS_IN_USE and the like, or SOCKET_ELSEWHERE where a socket is
   * open to other machines and the setting is not: rules of the configuration hang on that.
   */
  async listen<T>(
    name: SocketName,
    { address, key }: { address: Address; key: string },
    listen: (where: { host: string; port: number; fd?: number }) => Promise<T>,
    hostOf: () => string,
  ): Promise<T> {
    const fd = this.#fds.get(name)?.shift();
    if (fd === undefined) return listenSoon(address, key, listen);
    // Beside `fd` the others do not count.
    const listening = await listen({ host: '127.0.0.1', port: 0, fd });
    const host = hostOf();
    if (isLoopback(address.host) && !isLoopback(host)) throw new SocketElsewhere({ name, host, key });
    return listening;
  }
}

/** The address that a server of Node listens on. */
export function hostOf(server: Server): string {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.address : '';
}

async function listenSoon<T>(address: Address, key: string, listen: (where: Address) => Promise<T>): Promise<T> {
  for (const end = performance.now() + LET_GO_MS; ;) {
    try {
      return await listen({ ...address });
    } catch (error) {
      if (codeOf(error) === 'EADDRINUSE' && performance.now() < end) await sleep(TRY_MS);
      else throw listenError(error, formatAddress(address), key) ?? error;
    }
  }
}
