import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance } from 'fastify';
import type { Test } from 'tap';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { silentLogger, type Logger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { Inventory, type InventoryOptions } from '../../src/p2p/peer/inventory.ts';
import { PeerSession, type PeerSessionOptions, type SessionUser } from '../../src/p2p/peer/session.ts';
import { networkCandidates, type FindCandidates } from '../../src/p2p/peer/supernode-dial.ts';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import { socketPair, type SessionSocket, type SocketListener } from '../../src/p2p/protocol/socket.ts';
import type { WhoamiAnswer } from '../../src/p2p/protocol/whoami.ts';
import { supernodeApi } from '../../src/p2p/supernode/api.ts';
import { Supernode, type SupernodeOptions } from '../../src/p2p/supernode/supernode.ts';
import { PATIENCE_MS } from './patience.ts';

export const SECRET = 'correct horse battery staple, and then some';
const HOUR_MS = 3_600_000;

/** Who would answer at an address: proxies under test name themselves here instead of listening. */
export type Phonebook = Map<string, { peer: string; instance: string }>;

export function askFrom(book: Phonebook, membership: Membership) {
  return async (address: string, nonce: string): Promise<WhoamiAnswer> => {
    const found = book.get(address);
    if (!found) throw new Error(`${address}: connect ECONNREFUSED`);
    return { ...found, proof: membership.whoamiProof({ ...found, nonce }) };
  };
}

export function makeSupernode(clock: Clock, options: Partial<SupernodeOptions> = {}): Supernode {
  return new Supernode({
    membership: new Membership(SECRET),
    heartbeatMs: HOUR_MS,
    version: '1.2.3',
    clock,
    log: silentLogger,
    metrics: new Metrics(),
    settleMs: 0,
    ask: async (address) => {
      throw new Error(`${address}: nobody there`);
    },
    ...options,
  });
}

/** Serves a supernode on a port of its own. */
export async function serve(
  t: Test | undefined,
  supernode: Supernode,
  {
    port = 0,
    metrics = new Metrics(),
    more,
  }: { port?: number; metrics?: Metrics; more?: ((app: FastifyInstance) => void) | undefined } = {},
): Promise<{ url: string; port: number; close: () => Promise<void> }> {
  const app = fastify();
  const deps = { supernode, metrics, clock: systemClock, log: silentLogger, more };
  await app.register(supernodeApi, { ...deps, access: 'loopback' });
  await app.listen({ host: '127.0.0.1', port });
  const bound = (app.server.address() as AddressInfo).port;
  const close = async () => {
    await app.close();
  };
  t?.teardown(close);
  return { url: `http://127.0.0.1:${bound}`, port: bound, close };
}

/** A supernode in this process, for any URL. */
export function pairedCandidates(supernode: () => Supernode): FindCandidates {
  return async () => [
    {
      address: 'in-process',
      open: async () => {
        const [near, far] = socketPair();
        supernode().accept(far, 'in-process');
        return near;
      },
    },
  ];
}

/** A session whose beats can be waited for: what was said before one has been taken in when its answer comes. */
export class WatchedCandidates {
  readonly #answers = new Map<number, () => void>();
  #socket: SessionSocket | undefined;
  #last = 1_000_000;

  watch(find: FindCandidates): FindCandidates {
    return async (url) =>
      (await find(url)).map((found) => ({
        address: found.address,
        open: async () => this.#wrap(await found.open()),
      }));
  }

  /** Until the supernode has answered what was said so far, and what follows from that. */
  async settle(): Promise<void> {
    for (let round = 0; round < 3; round += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      await this.#round();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  #round(): Promise<void> {
    this.#last += 1;
    const n = this.#last;
    return new Promise((resolve) => {
      this.#answers.set(n, resolve);
      this.#socket!.send(JSON.stringify({ t: 'beat', n, time: 0 }));
    });
  }

  #wrap(socket: SessionSocket): SessionSocket {
    this.#socket = socket;
    const answers = this.#answers;
    return {
      localAddress: socket.localAddress,
      get backlog() {
        return socket.backlog;
      },
      send: (text) => socket.send(text),
      close: (code, reason) => socket.close(code, reason),
      terminate: () => socket.terminate(),
      listen(listener: SocketListener) {
        socket.listen({
          message(text) {
            listener.message(text);
            const message = JSON.parse(text) as { t: string; n?: number };
            if (message.t === 'beat') answers.get(message.n!)?.();
          },
          closed: (code, reason, fault) => listener.closed(code, reason, fault),
        });
      },
    };
  }
}

/** A user of a session that only notes what it is told. */
export class Notes implements SessionUser {
  opens = 0;
  losses = 0;
  heards = 0;
  readonly assigns: unknown[] = [];

  opened(): void {
    this.opens += 1;
  }
  heard(): void {
    this.heards += 1;
  }
  assigned(message: unknown): void {
    this.assigns.push(message);
  }
  lost(): void {
    this.losses += 1;
  }
}

export interface ProxyOptions {
  clock: Clock;
  urls: readonly string[];
  peer?: string;
  instance?: string;
  /** Or how it tells them by the local address of a session's connection. */
  addresses?: string[] | ((localAddress: string | undefined) => string[]);
  zone?: string;
  log?: Logger;
  inventory?: InventoryOptions;
  membership?: Membership;
  candidates?: FindCandidates;
  ask?: PeerSessionOptions['ask'];
  metrics?: Metrics;
  version?: string;
  random?: () => number;
}

export function makeSession(options: ProxyOptions): PeerSession {
  const { clock, urls, peer = 'peer-a-00', instance = 'instance-1', addresses = [], zone = '' } = options;
  return new PeerSession({
    urls,
    clock,
    candidates: options.candidates ?? networkCandidates(clock),
    self: (localAddress) => ({
      peer,
      instance,
      addresses: typeof addresses === 'function' ? addresses(localAddress) : addresses,
      zone,
      version: options.version ?? '1.2.3',
      host: 'node-1',
      uploadSlots: 4,
    }),
    membership: options.membership ?? new Membership(SECRET),
    inventory: new Inventory(options.inventory ?? { shelves: [] }),
    log: options.log ?? silentLogger,
    metrics: options.metrics ?? new Metrics(),
    ...(options.ask && { ask: options.ask }),
    ...(options.random && { random: options.random }),
  });
}

/** Waits for a condition, with a bound. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !condition();) {
    if (performance.now() > end) throw new Error(`it did not come to this: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
